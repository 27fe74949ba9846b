package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"carillon/internal/config"
	"carillon/internal/userfile"
	"carillon/models"
)

// exitRefused: the import read the whole file, and refused some lines.
const exitRefused = 3

type usersCmd struct {
	Import    importCmd        `cmd:"" help:"Add and update users from a CSV or NDJSON file."`
	Sync      usersSyncCmd     `cmd:"" help:"Bring the users of OpenIM into the directory, and wait for it."`
	Campaigns userCampaignsCmd `cmd:"" help:"List the campaigns of one user, newest first, with what became of them in each."`
}

type importCmd struct {
	File   string `arg:"" help:"The file; - is the standard input."`
	Format string `enum:"auto,csv,ndjson" default:"auto" help:"csv or ndjson; auto goes by the file's name (.csv, .ndjson, .jsonl)."`
	JSON   bool   `name:"json" help:"Print the result as JSON, with the first 100 refusals."`

	Map                []string `sep:"none" placeholder:"THEIRS=OURS" help:"What a column is called in the file: --map user_id=userID. Repeat it for others."`
	IgnoreOtherColumns bool     `help:"Leave out columns (or keys) that users do not have. Without it the file is refused."`
	Raw                bool     `help:"Take cells as they stand: undo no apostrophe that an export has put before a formula."`
}

// Help is shown by carillon users import --help.
func (importCmd) Help() string {
	return `The columns (or keys) are userID, nickname, faceURL, timezone and ex; only userID is required, and a CSV file names its columns in its first line. Files of any size are taken, beside a carillon that serves. Of users who are there already only what the file says is changed: a column that is absent keeps what is there, an empty cell takes it away.

    printf 'userID,nickname\nalice,Alice\nbob,Bob\n' > users.csv
    carillon users import users.csv
    mysql … | carillon users import --format csv -
    carillon users import --map uid=userID --map "Full name"=nickname --ignore-other-columns people.csv

CSV is read as people have it: user_id, UserID and "User ID" are userID; commas, semicolons and tabs are told apart by the header; a byte order mark, UTF-16 with one, and any line ends are taken. Windows-1252 and UTF-16 without a mark are refused by name: save such a file as UTF-8.

What cannot be taken is listed on stderr with its lines, and the others are kept. Each row of the file is counted, as taken or as refused. A quote that is missing, or one too many, costs its own line; a text of several lines in which a line reads as a row is refused as a whole.

Exit codes: 0 all rows were taken, 3 some were refused, 1 none was taken, or the import did not come to its end.`
}

const maxRefusals = 100 // in the JSON, as in the API

// Run imports the file.
func (c *importCmd) Run(a *app) error {
	if err := a.settings(config.ForDatabase); err != nil {
		return err
	}
	format, err := c.format()
	if err != nil {
		return err
	}
	names, err := userfile.ParseMap(c.Map...)
	if err != nil {
		return err
	}
	file, size, err := c.open()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	ledger, err := a.toldLedger()
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	bar := progress(a.stderr, "import", size, progressbar.OptionShowBytes(true))
	refused, done, taken := []userfile.Refusal{}, models.UserCounts{}, 0
	reader := progressbar.NewReader(&stoppable{a.ctx.Err, file}, bar)
	begun := time.Now()
	n, err := userfile.Read(&reader, format, userfile.Options{Map: names, IgnoreOther: c.IgnoreOtherColumns, Raw: c.Raw},
		func(users []models.UserChange) error {
			some, err := ledger.UpsertUsers(a.ctx, users)
			if err == nil {
				done.Add(some)
				taken += len(users)
				bar.Describe(pace(taken, time.Since(begun)))
			}
			return err
		},
		func(r userfile.Refusal) {
			_ = bar.Clear()
			fmt.Fprintln(a.stderr, r)
			if len(refused) < maxRefusals {
				refused = append(refused, r)
			}
		})
	_ = bar.Finish()
	var unrecorded error
	if done.Sum() > 0 {
		unrecorded = ledger.UsersImported(context.WithoutCancel(a.ctx), done, n.Refused, err == nil)
	}
	return errors.Join(c.report(a, done, n, refused), plain(err), unrecorded, outcome(n, err))
}

// pace words how fast an import went.
func pace(rows int, took time.Duration) string {
	return fmt.Sprintf("import: %d rows, %.0f rows/s", rows, float64(rows)/max(took, time.Millisecond).Seconds())
}

// report says what was imported, also when the import did not come to its end.
func (c *importCmd) report(a *app, done models.UserCounts, n userfile.Counts, refused []userfile.Refusal) error {
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(struct {
			models.UserCounts
			userfile.Counts
			Refused []userfile.Refusal `json:"refused"`
		}{done, n, refused})
	}
	_, err := fmt.Fprintf(a.stdout, "created %d, changed %d, unchanged %d, repeated %d, refused %d: %d rows in %d lines\n",
		done.Created, done.Changed, done.Unchanged, done.Repeated, n.Refused, n.Rows, n.Lines)
	return err
}

// outcome is the exit code of an import that came to its end.
func outcome(n userfile.Counts, err error) error {
	switch {
	case err != nil || n.Refused == 0:
		return nil
	case n.Taken() == 0:
		return fmt.Errorf("none of the %d rows was taken", n.Rows)
	}
	return exit(exitRefused)
}

func (c *importCmd) format() (userfile.Format, error) {
	format := c.Format
	if format == "auto" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(c.File)), ".")
	}
	switch format {
	case "csv":
		return userfile.CSV, nil
	case "ndjson", "jsonl":
		return userfile.NDJSON, nil
	}
	return "", errors.New("the file's name does not tell how it is written: say --format csv or --format ndjson")
}

// open returns the file and its size: -1 if the size is unknown.
func (c *importCmd) open() (file *os.File, size int64, err error) {
	if c.File == "-" {
		return os.Stdin, -1, nil
	}
	file, err = os.Open(c.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	if !info.Mode().IsRegular() {
		return file, -1, nil
	}
	return file, info.Size(), nil
}

// stoppable ends reading when the command is interrupted.
type stoppable struct {
	stopped func() error
	r       io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.stopped(); err != nil {
		return 0, errors.New("interrupted")
	}
	return s.r.Read(p)
}
