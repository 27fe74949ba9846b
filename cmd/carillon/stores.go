package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels/inbox"
	"carillon/internal/config"
	"carillon/internal/embedded"
	"carillon/migrations"
	"carillon/models"
)

// stores are the ledger and Redis, embedded or elsewhere, with the secret that signs tokens.
type stores struct {
	dir    *embedded.Dir // nil without an embedded database
	ledger *models.Store
	conn   config.RedisConn
	redis  redis.UniversalClient
	secret string

	inside   *embedded.Redis // nil without an embedded Redis
	migrated atomic.Bool     // the ledger's tables are those that this program needs
}

// openStores opens what a process that serves needs. It locks and migrates the data directory, if
// one is used. It asks nothing yet of stores elsewhere.
func openStores(ctx context.Context, cfg *config.Config) (_ *stores, err error) {
	s := &stores{secret: cfg.Secret}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	databaseURL := cfg.DatabaseURL
	if cfg.EmbeddedDatabase() {
		if s.dir, err = embedded.Lock(cfg.DataDir); err != nil {
			return nil, err
		}
		databaseURL = s.dir.DatabaseURL()
		if s.secret == "" {
			if s.secret, err = s.dir.MakeSecret(); err != nil {
				return nil, err
			}
		}
	}
	if cfg.EmbeddedRedis() {
		if s.inside, err = embedded.StartRedis(); err != nil {
			return nil, err
		}
		s.conn = config.RedisInside(s.inside.Dial)
	} else if s.conn, err = config.Redis(cfg.RedisURL); err != nil {
		return nil, fmt.Errorf("CARILLON_REDIS_URL %w", err)
	}
	if s.ledger, err = openModels(databaseURL); err != nil {
		return nil, err
	}
	awaitSync(cfg, s.ledger)
	if err := s.ledger.LimitConnections(cfg.DatabasePool); err != nil {
		return nil, err
	}
	if s.dir != nil {
		if _, err := migrate(ctx, s.ledger); err != nil {
			return nil, err
		}
	}
	s.redis = s.conn.MakeRedisClient().(redis.UniversalClient) //nolint:forcetypeassert // RedisConn documents this type
	return s, nil
}

// close closes what is open. It may be called twice.
func (s *stores) close() {
	if s.redis != nil {
		_ = s.redis.Close()
	}
	if s.inside != nil {
		s.inside.Close()
	}
	if s.ledger != nil {
		_ = s.ledger.Close()
	}
	if s.dir != nil {
		_ = s.dir.Close()
	}
}

// openLedger opens the database alone. A process that serves may run at the same time. It makes no
// data directory.
func openLedger(cfg *config.Config) (*models.Store, error) {
	if !cfg.EmbeddedDatabase() {
		return openModels(cfg.DatabaseURL)
	}
	dir, err := embedded.Find(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	return openModels(dir.DatabaseURL())
}

// openModels opens a ledger and tells it which channels store in the inbox, whichever of them are set up.
func openModels(databaseURL string) (*models.Store, error) {
	ledger, err := models.Open(databaseURL)
	if err == nil {
		ledger.InboxChannels(inbox.Name)
	}
	return ledger, err
}

// toldLedger opens the database alone, names it on stderr, and checks its tables. In the wrong
// folder, a command would speak to another ledger than the process that serves. Changes made
// through the result are recorded as the operator's.
func (a *app) toldLedger() (*models.Store, error) {
	ledger, err := openLedger(a.cfg)
	if err != nil {
		return nil, err
	}
	awaitSync(a.cfg, ledger)
	a.ctx = models.WithActor(a.ctx, operator())
	name, err := ledgerName(a.ctx, a.cfg, ledger)
	fmt.Fprintf(a.stderr, "ledger: %s\n", name)
	if err == nil {
		err = checkLedger(a.ctx, ledger)
	}
	if err != nil {
		_ = ledger.Close()
		return nil, err
	}
	return ledger, nil
}

// ledgerName says what a ledger is and where, without user and password. It returns an error if the
// server does not say what it is.
func ledgerName(ctx context.Context, cfg *config.Config, ledger *models.Store) (string, error) {
	if cfg.EmbeddedDatabase() {
		path, err := filepath.Abs(cfg.DataDir)
		return "SQLite " + models.Shown(path), err
	}
	version, err := databaseVersion(ctx, ledger)
	return databaseKind(version) + " " + models.Shown(config.Place(cfg.DatabaseURL)), err
}

// databaseKind is the server product that has this version; "" if the server did not answer.
func databaseKind(version string) string {
	switch {
	case version == "":
		return "database"
	case strings.Contains(version, "MariaDB"):
		return "MariaDB"
	}
	return "MySQL"
}

// migrate brings a ledger up to date and returns the number of migrations applied.
func migrate(ctx context.Context, ledger *models.Store) (int, error) {
	db, dialect, done, err := ledger.Migrator()
	if err != nil {
		return 0, err
	}
	defer done()
	return migrations.Up(ctx, db, dialect)
}

// errNotMigrated: the database answers, but its tables are not those of this program.
var errNotMigrated = errors.New("the database is not up to date")

const askTime = 5 * time.Second // for one question to a database

// checkLedger returns nil if the database answers and its tables are those of this program. If they
// are not, the error wraps errNotMigrated.
func checkLedger(ctx context.Context, ledger *models.Store) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	db, dialect, err := ledger.Writer()
	if err != nil {
		return err
	}
	status, err := migrations.Check(ctx, db, dialect)
	switch {
	case err != nil:
		return err
	case status.Current < status.Latest:
		return fmt.Errorf("%w (it is at migration %d, this program needs %d): run carillon migrate", errNotMigrated, status.Current, status.Latest)
	}
	if err := status.TooNew(); err != nil {
		return fmt.Errorf("%w: %w", errNotMigrated, err)
	}
	return nil
}

// tryRedisScript needs what the work needs: scripts, and room for one more key. It removes the key.
var tryRedisScript = redis.NewScript(`
redis.call('SET', KEYS[1], '1', 'PX', 1000)
return redis.call('DEL', KEYS[1])
`)

// tryRedis reports an error if Redis cannot be written by scripts, as queue and limiter write it.
func tryRedis(ctx context.Context, rdb redis.UniversalClient) error {
	return tryRedisScript.Run(ctx, rdb, []string{"carillon:try"}).Err()
}

// await returns when the ledger can be used. While the database is away it asks again, and reports
// the failure once per spell. It gives up with errNotMigrated.
func (s *stores) await(ctx context.Context, failing func(error)) error {
	for away := false; ; {
		err := checkLedger(ctx, s.ledger)
		if err == nil {
			s.migrated.Store(true)
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, errNotMigrated) {
			return err
		}
		if !away {
			away = true
			failing(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
