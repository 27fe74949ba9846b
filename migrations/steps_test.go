package migrations_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"carillon/internal/testkit"
	"carillon/migrations"
	"carillon/models"
)

// interruptions are the ways to stop a migrate at one statement.
var interruptions = []string{"killed before", "killed after", "stopped before", "stopped after"}

// fault is a database whose client is gone at one statement, or is told to stop there: at each statement once in each way.
type fault struct {
	driver.Connector
	met  map[string]bool    // nil = it interrupts nothing
	last string             // the statement before
	gone bool               // this run's connections answer no more
	stop context.CancelFunc // what SIGTERM does
}

func (f *fault) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := f.Connector.Connect(ctx)
	return &faulty{conn.(rawConn), f}, err
}

// at runs one statement, unless it is to be interrupted now.
func (f *fault) at(statement string, run func() error) error {
	if f.gone {
		return errors.New("the client is gone")
	}
	if strings.Contains(statement, "migration_progress") || statement == "COMMIT" {
		statement = f.last + "; " + statement // it stands behind many
	}
	f.last = statement
	how := slices.IndexFunc(interruptions, func(how string) bool { return !f.met[how+statement] })
	if f.met == nil || how < 0 || strings.Contains(statement, "_LOCK(") {
		return run()
	}
	f.met[interruptions[how]+statement] = true
	switch interruptions[how] {
	case "killed before":
		f.gone = true
		return errors.New("killed")
	case "stopped before":
		f.stop()
		return run()
	case "stopped after":
		defer f.stop()
		return run()
	}
	f.gone = true
	return errors.Join(errors.New("killed"), run())
}

type rawConn interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnBeginTx
	driver.NamedValueChecker
	driver.Validator
}

type faulty struct {
	rawConn
	f *fault
}

func (c *faulty) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.f.at(fmt.Sprint(query, args), func() error {
		res, err = c.rawConn.ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *faulty) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.rawConn.BeginTx(ctx, opts)
	return &faultyTx{tx, c.f}, err
}

type faultyTx struct {
	driver.Tx
	f *fault
}

func (t *faultyTx) Commit() error { return t.f.at("COMMIT", t.Tx.Commit) }

// connect opens a MySQL database with connections that f may interrupt.
func (f *fault) connect(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.DBName = "tcp", u.Host, u.User.Username(), strings.Trim(u.Path, "/")
	c.Passwd, _ = u.User.Password()
	c.InterpolateParams = true // so that each statement goes through ExecContext
	if f.Connector, err = mysql.NewConnector(c); err != nil {
		t.Fatal(err)
	}
	f.gone, f.last = false, ""
	return sql.OpenDB(f)
}

// shape is all that migrations make: columns, keys, and rows.
func shape(t *testing.T, db *sql.DB) (all []string) {
	t.Helper()
	for _, query := range []string{
		"SELECT CONCAT_WS(' ', TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_TYPE, IS_NULLABLE, COALESCE(COLUMN_DEFAULT,'-'), COALESCE(COLLATION_NAME,'-'), EXTRA) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE() ORDER BY 1",
		"SELECT CONCAT_WS(' ', TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA=DATABASE() ORDER BY 1",
		"SELECT CONCAT_WS(' ', 'directory', id, rev, live) FROM directory",
		"SELECT CONCAT_WS(' ', 'version', version_id, is_applied) FROM goose_db_version ORDER BY version_id",
		"SELECT CONCAT_WS(' ', 'under way', version, done, begun) FROM migration_progress",
	} {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, texts(t, rows)...)
	}
	return all
}

// texts reads rows of one text each.
func texts(t *testing.T, rows *sql.Rows) (all []string) {
	t.Helper()
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// A migrate that was killed or told to stop, at whatever statement, is finished by the next one: the tables are those of a migrate
// that nobody disturbed.
func TestMigrateIsRepeated(t *testing.T) {
	t.Parallel()
	undisturbed, _, err := testkit.OpenStore(t, testkit.MySQLURL(t)).Writer()
	if err != nil {
		t.Fatal(err)
	}
	want, databaseURL := shape(t, undisturbed), testkit.MySQLURL(t)
	f := &fault{met: map[string]bool{}}
	for runs := 1; ; runs++ {
		if runs > 10_000 {
			t.Fatal("it comes to no end")
		}
		ctx, stop := context.WithCancel(t.Context())
		f.stop = stop
		db := f.connect(t, databaseURL)
		_, err := migrations.Up(ctx, db, "mysql")
		stop()
		if err == nil {
			if got := shape(t, db); !slices.Equal(got, want) {
				t.Errorf("after %d runs:\n%s\nnot\n%s", runs, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			t.Logf("%d runs, interrupted at %d points", runs, len(f.met))
			_ = db.Close()
			break
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(err.Error(), "killed") && !errors.Is(err, context.Canceled) {
			t.Fatalf("run %d: %v", runs, err)
		}
	}
	if len(f.met) < 4*2*15 { // each statement and its note
		t.Errorf("interrupted at %d points only", len(f.met))
	}
}

// A table that is somebody else's is not taken for one of ours, however often migrate is repeated.
func TestMigrateTakesNoTableOfOthers(t *testing.T) {
	t.Parallel()
	f := &fault{}
	f.stop = func() {}
	db := f.connect(t, testkit.MySQLURL(t))
	defer db.Close()
	f.met = nil
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE users (id INT)"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := migrations.Up(t.Context(), db, "mysql"); n != 0 || err == nil || !strings.Contains(err.Error(), "users") {
			t.Errorf("%d, %v", n, err)
		}
	}
	if _, err := db.ExecContext(t.Context(), "DROP TABLE users"); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context(), db, "mysql"); err != nil {
		t.Error(err)
	}
}

// Eight processes migrate an empty database at once: each of them ends well, and each migration runs once.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	databaseURL := testkit.MySQLURL(t)
	var wg sync.WaitGroup
	var ran atomic.Int64
	for range 8 {
		store, err := models.Open(databaseURL)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		wg.Go(func() {
			db, dialect, err := store.Writer()
			if err != nil {
				t.Error(err)
				return
			}
			n, err := migrations.Up(t.Context(), db, dialect)
			if err != nil {
				t.Error(err)
			}
			ran.Add(int64(n))
		})
	}
	wg.Wait()
	store, err := models.Open(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	db, dialect, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	status, err := migrations.Check(t.Context(), db, dialect)
	if err != nil || status.Current != status.Latest || ran.Load() == 0 {
		t.Errorf("%+v, %v", status, err)
	}
	var rows int64
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM goose_db_version WHERE version_id>0").Scan(&rows); err != nil || rows != ran.Load() {
		t.Errorf("%d ran, %d rows, %v", ran.Load(), rows, err)
	}
}

// An older program finds the tables of a newer one: it says so and changes nothing.
func TestMigrateOfAnOlderProgram(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		db, dialect, err := testkit.OpenStore(t, s.DatabaseURL).Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		if n, err := migrations.Up(t.Context(), db, dialect); n != 0 || err == nil || !strings.Contains(err.Error(), "run the newer carillon") {
			t.Errorf("%d, %v", n, err)
		}
	})
}
