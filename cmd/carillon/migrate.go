package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carillon/internal/config"
	"carillon/internal/embedded"
	"carillon/models"
)

type migrateCmd struct{}

// Help is shown by carillon migrate --help.
func (migrateCmd) Help() string {
	return `Run it before the first carillon serve on a database of your own, and after every update. Several at once wait for each other, and one that finds nothing to do does nothing. One that was interrupted is repeated. With embedded stores carillon serve does it by itself.

    CARILLON_DATABASE_URL=mysql://carillon:password@db:3306/carillon carillon migrate`
}

// Run applies what is missing.
func (migrateCmd) Run(a *app) error {
	if err := a.settings(config.ForDatabase); err != nil {
		return err
	}
	databaseURL := a.cfg.DatabaseURL
	if a.cfg.EmbeddedDatabase() {
		dir, err := lockSoon(a.ctx, a.cfg.DataDir)
		if err != nil {
			return err
		}
		defer func() { _ = dir.Close() }()
		databaseURL = dir.DatabaseURL()
	}
	ledger, err := models.Open(databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	where, _ := ledgerName(a.ctx, a.cfg, ledger) // if the server does not answer, migrate says so
	fmt.Fprintf(a.stderr, "ledger: %s\n", where)
	n, err := migrate(a.ctx, ledger)
	if err != nil {
		return err
	}
	name := config.MaskURL(databaseURL)
	if a.cfg.EmbeddedDatabase() {
		name = databaseURL
	}
	if n == 0 {
		_, err = fmt.Fprintf(a.stdout, "%s is up to date\n", name)
	} else {
		_, err = fmt.Fprintf(a.stdout, "%s: applied %d migrations\n", name, n)
	}
	return err
}

// lockWait is how long to wait for another migrate to end. A process that serves does not end.
const lockWait = 15 * time.Second

// lockSoon takes a data directory that another migrate may hold for a moment.
func lockSoon(ctx context.Context, path string) (*embedded.Dir, error) {
	for began := time.Now(); ; {
		dir, err := embedded.Lock(path)
		if inUse := new(embedded.InUseError); !errors.As(err, &inUse) || time.Since(began) > lockWait {
			return dir, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
