package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"carillon/client"
)

type usersSyncCmd struct {
	JSON  bool `name:"json" help:"Print the result as JSON."`
	Fewer bool `help:"Complete the sync although it sees fewer than half of the users that the sync before saw."`
}

// Help is shown by carillon users sync --help.
func (usersSyncCmd) Help() string {
	return `Brings the users of OpenIM into the directory. The command asks for the sync and waits; a carillon serve with CARILLON_OPENIM_URL and the scheduler's role does the work. When the command is interrupted the sync goes on.

    carillon users sync

Users who are gone from OpenIM leave the directory after two complete syncs that did not see them. Users who were added here, and whom OpenIM never had, stay. A sync that sees nobody, or fewer than half of the users that the sync before saw, takes nobody away and fails; --fewer says that this is right.

Exit codes: 0 the directory is synced, 1 it is not.`
}

const (
	syncPoll = 300 * time.Millisecond
	// syncPatience is how long the command waits for a process that does the work.
	syncPatience = 15 * time.Second
)

// Run asks for a sync and waits for its end.
func (c *usersSyncCmd) Run(a *app) error {
	return withAPI(a, "", func(api *client.Client) error {
		y, err := c.follow(a, api)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(y)
		}
		_, err = fmt.Fprintf(a.stdout, "created %d, changed %d, unchanged %d, vanished %d, refused %d, shortened %d: %d users seen in pass %d\n",
			y.Created, y.Changed, y.Unchanged, y.Vanished, y.Refused, y.Shortened, y.Seen, y.Pass)
		return err
	})
}

// follow asks for a sync and shows how it goes, until a pass is complete.
func (c *usersSyncCmd) follow(a *app, api *client.Client) (y client.DirectorySync, err error) {
	before, err := client.Data[client.DirectorySync](api.GetDirectorySync(a.ctx))
	if err != nil {
		return before, err
	}
	if y, err = client.Data[client.DirectorySync](api.StartDirectorySync(a.ctx, &client.StartDirectorySyncParams{Fewer: &c.Fewer})); err != nil {
		return y, err
	}
	bar := progress(a.stderr, "sync", 1) // a bar without an end has a goroutine of its own, which races with Describe
	defer func() { _ = bar.Finish() }()
	for idleSince := time.Now(); ; {
		switch {
		case y.CompletedAt != nil && (before.CompletedAt == nil || y.CompletedAt.After(*before.CompletedAt)):
			return y, nil
		case y.Error != "" && y.NextTryAt != nil:
			return y, fmt.Errorf("the directory cannot be synced: %s", y.Error)
		case y.State == client.SyncRunning:
			idleSince = time.Now()
			showSync(bar, y)
		case time.Since(idleSince) > syncPatience:
			return y, fmt.Errorf("no process has taken up the sync within %s: start carillon serve with CARILLON_OPENIM_URL, which then does it", syncPatience)
		}
		select {
		case <-a.ctx.Done():
			return y, errors.New("interrupted; the sync goes on")
		case <-time.After(syncPoll):
		}
		if y, err = client.Data[client.DirectorySync](api.GetDirectorySync(a.ctx)); err != nil {
			return y, err
		}
	}
}

func showSync(bar *progressbar.ProgressBar, y client.DirectorySync) {
	bar.Describe(fmt.Sprintf("sync: pass %d, %d of %d users, %.0f users/s", y.Pass, y.Seen, y.Total, y.PerSecond))
	bar.ChangeMax64(y.Total + 1) // a bar that has come to its end shows nothing any more
	_ = bar.Set64(y.Seen)
}
