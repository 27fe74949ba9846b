package main

import (
	"bufio"
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"

	"carillon/internal/config"
	"carillon/internal/embedded"
	"carillon/models"
)

// ledger examines the database and its tables.
func (x *examination) ledger() {
	cfg := x.a.cfg
	ledger, err := openLedger(cfg)
	var none *embedded.NoDirError
	switch {
	case errors.As(err, &none):
		x.add("data directory", stateOK, "%s is not there yet; carillon serve makes it", none.Path)
		return
	case err != nil:
		x.add("database", stateFail, "%v", err)
		return
	}
	defer func() { _ = ledger.Close() }()
	if cfg.EmbeddedDatabase() {
		path, _ := filepath.Abs(cfg.DataDir) // openLedger has found it
		x.add("data directory", stateOK, "%s", path)
	}
	version, err := databaseVersion(x.a.ctx, ledger)
	switch {
	case err != nil && cfg.EmbeddedDatabase():
		x.add("database", stateFail, "%v", err)
		return
	case err != nil:
		x.add("database", stateFail, "%v: start it, or mend CARILLON_DATABASE_URL", err)
		return
	}
	if err := x.databaseAge(version); err != nil {
		x.add("database", stateFail, "%v", err)
	} else {
		x.writing(ledger, version)
	}
	if err := checkLedger(x.a.ctx, ledger); err != nil {
		x.add("migrations", stateFail, "%v", err)
	} else {
		x.add("migrations", stateOK, "up to date")
	}
}

// writing says whether the database can be written, by this user and now.
func (x *examination) writing(ledger *models.Store, version string) {
	ctx, cancel := context.WithTimeout(x.a.ctx, askTime)
	defer cancel()
	err := checkLedger(ctx, ledger)
	if err == nil { // else there is no table yet to be written to
		err = ledger.TryWrite(ctx)
	}
	if err != nil && !errors.Is(err, errNotMigrated) {
		x.add("database", stateFail, "%s can be read and not be written: %v: name the primary, and a user with all rights on the database's tables, in CARILLON_DATABASE_URL", version, err)
		return
	}
	x.add("database", stateOK, "%s", version)
}

// databaseAge is nil for MariaDB from 10.6 and MySQL from 8.0 on.
func (x *examination) databaseAge(version string) error {
	switch {
	case x.a.cfg.EmbeddedDatabase():
		return nil
	case strings.Contains(version, "MariaDB"):
		return atLeast(version, 10, 6)
	}
	return atLeast(version, 8, 0)
}

func databaseVersion(ctx context.Context, ledger *models.Store) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	db, dialect, err := ledger.Writer()
	if err != nil {
		return "", err
	}
	if dialect == "sqlite" {
		err = db.QueryRowContext(ctx, "SELECT 'SQLite ' || sqlite_version()").Scan(&version)
	} else {
		err = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	}
	return version, err
}

// redis examines Redis: it must be new enough, and must refuse rather than forget when its memory is full.
func (x *examination) redis() {
	if x.a.cfg.EmbeddedRedis() {
		x.add("redis", stateOK, "embedded in the process that serves")
		return
	}
	conn, err := config.Redis(x.a.cfg.RedisURL)
	if err != nil {
		x.add("redis", stateFail, "CARILLON_REDIS_URL %v", err)
		return
	}
	rdb := conn.MakeRedisClient().(redis.UniversalClient) //nolint:forcetypeassert // so it is documented
	defer func() { _ = rdb.Close() }()
	ctx, cancel := context.WithTimeout(x.a.ctx, askTime)
	defer cancel()
	server, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		x.add("redis", stateFail, "%v: start it, or mend CARILLON_REDIS_URL", err)
		return
	}
	version := infoField(server, "redis_version")
	if err := atLeast(version, 6, 2); err != nil {
		x.add("redis", stateFail, "%v", err)
		return
	}
	memory, err := rdb.Info(ctx, "memory").Result()
	switch policy := infoField(memory, "maxmemory_policy"); {
	case err != nil:
		x.add("redis", stateFail, "%v", err)
	case policy != "noeviction" && policy != "":
		x.add("redis", stateFail, "maxmemory-policy is %s, so a full Redis drops tasks: set it to noeviction in redis.conf, and now with: redis-cli config set maxmemory-policy noeviction", policy)
	default:
		if err := tryRedis(ctx, rdb); err != nil {
			x.add("redis", stateFail, "%s cannot be written: %v: name the master and not a replica, give it more memory (maxmemory), and let its user run scripts (EVAL, EVALSHA)", version, err)
			return
		}
		x.add("redis", stateOK, "%s, noeviction", version)
	}
}

// infoField reads one field of the answer to INFO.
func infoField(info, name string) string {
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
