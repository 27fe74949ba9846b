package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"carillon/channels/openim"
	"carillon/client"
	"carillon/internal/config"
	double "carillon/internal/testkit/openim"
)

// openIM starts a stand-in for OpenIM with made-up users, and sends all campaigns of the demo
// through it. The stand-in speaks OpenIM's REST API on a port of its own, as the tests use it.
func (c *demoCmd) openIM(cfg *config.Config, dir string) (*double.Double, error) {
	// Lists of OpenIM's users hold its admins too. The sender is one of them and gets no message.
	o := double.Options{Secret: rand.Text(), Users: c.Users, Log: filepath.Join(dir, "openim.ndjson"), Admins: []string{exampleSender}}
	d, err := double.Start(o)
	if err != nil {
		return nil, fmt.Errorf("start a stand-in for OpenIM: %w", err)
	}
	cfg.OpenIM = openim.Config{URL: d.URL(), Secret: o.Secret, Admin: exampleSender, Timeout: cfg.OpenIM.Timeout, Sync: time.Hour, Tokens: "secret"}
	cfg.Channel = openim.Name
	return d, nil
}

// syncUsers brings OpenIM's users into the directory.
func (s *show) syncUsers(ctx context.Context) error {
	bar := progress(s.a.stderr, "sync", int64(s.users))
	defer func() { _ = bar.Finish() }()
	_, err := client.Data[client.DirectorySync](s.api.StartDirectorySync(ctx, nil))
	for began := time.Now(); err == nil; {
		var sync client.DirectorySync
		sync, err = client.Data[client.DirectorySync](s.api.GetDirectorySync(ctx))
		switch {
		case err != nil:
		case sync.CompletedAt != nil:
			return nil
		case sync.Error != "":
			err = errors.New(sync.Error)
		case time.Since(began) > stalledAfter:
			err = fmt.Errorf("no sync was complete within %s", stalledAfter)
		}
		_ = bar.Set64(min(sync.Seen, int64(s.users)))
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case <-time.After(lookEvery):
		}
	}
	return err
}

// askOpenIM shows what arrived at OpenIM.
func (s *show) askOpenIM(ctx context.Context) error {
	seen, err := double.Client{URL: s.openIM}.Seen(ctx)
	if err != nil {
		return err
	}
	s.say("\nOpenIM at %s took %d messages, %d of them twice; it gave out %d admin token", s.openIM, seen.Delivered, seen.Repeats, seen.Issued)
	if seen.Delivered != s.users || seen.Repeats > 0 {
		return fmt.Errorf("OpenIM should have taken %d messages, each once", s.users)
	}
	return nil
}
