package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/internal/config"
	"carillon/internal/embedded"
	"carillon/models"
)

// ledger examines the database and its tables.
func (x *examination) ledger() {
	cfg := x.a.cfg
	if cfg.EmbeddedDatabase() && !x.dataDirectory() {
		return
	}
	ledger, err := openLedger(cfg)
	switch none := new(embedded.NoDirError); {
	case errors.As(err, &none):
		return // the finding is reported already
	case err != nil:
		x.add("database", stateFail, "%v", err)
		return
	}
	defer func() { _ = ledger.Close() }()
	version, err := databaseVersion(x.a.ctx, ledger)
	switch {
	case err != nil && cfg.EmbeddedDatabase():
		x.add("database", stateFail, "%v", err)
		return
	case err != nil:
		x.add("database", stateFail, "%s: %v: %s", config.Place(cfg.DatabaseURL), err, mendDatabase(x.a.ctx, cfg.DatabaseURL, err))
		return
	}
	if err := x.databaseAge(version); err != nil {
		x.add("database", stateFail, "%v", err)
	} else {
		x.writing(ledger, version)
	}
	if !cfg.EmbeddedDatabase() {
		x.server(ledger)
	}
	if err := checkLedger(x.a.ctx, ledger); err != nil {
		x.add("migrations", stateFail, "%v", err)
	} else {
		x.add("migrations", stateOK, "up to date")
		x.events(ledger)
	}
}

// writing examines whether this user can write to the database now.
func (x *examination) writing(ledger *models.Store, version string) {
	ctx, cancel := context.WithTimeout(x.a.ctx, askTime)
	defer cancel()
	err := checkLedger(ctx, ledger)
	if err == nil { // otherwise there may be no table to write to yet
		err = ledger.TryWrite(ctx)
	}
	if err != nil && !errors.Is(err, errNotMigrated) {
		x.add("database", stateFail, "%s can be read and not be written: %v: name the primary, and a user with all rights on the database's tables, in CARILLON_DATABASE_URL", version, err)
		return
	}
	if !x.a.cfg.EmbeddedDatabase() {
		version = databaseKind(version) + " " + version + " at " + config.Place(x.a.cfg.DatabaseURL)
	}
	x.add("database", stateOK, "%s", version)
}

// server examines what only a database server can have wrong.
func (x *examination) server(ledger *models.Store) {
	ctx, cancel := context.WithTimeout(x.a.ctx, askTime)
	defer cancel()
	if why, err := smallPackets(ctx, ledger); err != nil || why != "" {
		x.add("database", stateFail, "%s", cmp.Or(why, fmt.Sprint(err)))
	}
	if c, err := readClock("the database", func() (time.Time, error) {
		now, err := ledger.Now(ctx)
		return now.Time(), err
	}); err == nil {
		x.clocks = append(x.clocks, c)
	}
}

// needPacket is the largest statement in bytes: the lists of 100 pages, 100,000 IDs of 64 bytes,
// half of them escaped.
const needPacket = 16 << 20

// smallPackets says in words that the server refuses statements that a POST can need. It is "" if
// the server accepts them. SQLite always does.
func smallPackets(ctx context.Context, ledger *models.Store) (string, error) {
	db, dialect, err := ledger.Writer()
	if err != nil || dialect == "sqlite" {
		return "", err
	}
	var size int64
	if err := db.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&size); err != nil || size >= needPacket {
		return "", err
	}
	return fmt.Sprintf("max_allowed_packet is %d, and a POST with 100,000 recipients needs %d: set it to 16M in the server's configuration, and now with: SET GLOBAL max_allowed_packet=%d", size, needPacket, needPacket), nil
}

// databaseAge is nil for MariaDB from 10.6 and MySQL from 8.0.
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

// closeRedis closes what redis has opened.
func (x *examination) closeRedis() {
	if x.rdb != nil {
		_ = x.rdb.Close()
	}
}

// redis examines Redis. It must be new enough and, when its memory is full, must refuse writes and
// not drop data.
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
	rdb := conn.MakeRedisClient().(redis.UniversalClient) //nolint:forcetypeassert // RedisConn documents this type
	x.rdb = rdb
	ctx, cancel := context.WithTimeout(x.a.ctx, askTime)
	defer cancel()
	server, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		x.add("redis", stateFail, "%s: %v: %s", config.Place(x.a.cfg.RedisURL), err, mendRedis(ctx, x.a.cfg.RedisURL, err))
		return
	}
	version := infoField(server, "redis_version")
	if err := atLeast(version, 6, 2); err != nil {
		x.add("redis", stateFail, "%v", err)
		return
	}
	if c, err := readClock("Redis", func() (time.Time, error) { return rdb.Time(ctx).Result() }); err == nil {
		x.clocks = append(x.clocks, c)
	}
	switch why, err := evicts(ctx, rdb); {
	case err != nil:
		x.add("redis", stateFail, "%v", err)
	case why != "":
		x.add("redis", stateFail, "%s", why)
	default:
		if err := tryRedis(ctx, rdb); err != nil {
			x.add("redis", stateFail, "%s cannot be written: %v: name the master and not a replica, give it more memory (maxmemory), and let its user run scripts (EVAL, EVALSHA)", version, err)
			return
		}
		x.add("redis", stateOK, "%s at %s, noeviction", version, config.Place(x.a.cfg.RedisURL))
	}
}

// evicts says in words that a full Redis drops data; "" when it refuses writes instead.
func evicts(ctx context.Context, rdb redis.UniversalClient) (string, error) {
	memory, err := rdb.Info(ctx, "memory").Result()
	if policy := infoField(memory, "maxmemory_policy"); err == nil && policy != "noeviction" && policy != "" {
		return fmt.Sprintf("maxmemory-policy is %s, so a full Redis drops tasks: set it to noeviction in redis.conf, and now with: redis-cli config set maxmemory-policy noeviction", policy), nil
	}
	return "", err
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
