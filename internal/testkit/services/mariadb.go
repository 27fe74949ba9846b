package services

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

const mariadbUser = "carillon"

// MariaDB is a private MariaDB server.
type MariaDB struct {
	process
	password string
}

// FastDurability are MariaDB flags for tests that never pull the plug: a commit does not wait for the disk.
// After Kill the last second may be lost, so tests of durability leave them out.
func FastDurability() []string {
	return []string{"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-flush-method=nosync"}
}

// StartMariaDB starts a server with its files in dir, which is made if absent and whose data, if any, is used
// again. flags are added to its command line and win over ours; without any it has MariaDB's default
// durability.
func StartMariaDB(dir string, flags ...string) (*MariaDB, error) {
	dir, err := ownDir(dir)
	if err != nil {
		return nil, err
	}
	m := &MariaDB{password: rand.Text()}
	if err := os.MkdirAll(tmpDir(dir), 0o700); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	m.process = process{
		name: "mariadbd", image: mariadbImage, dir: dir, ping: m.ping,
		args: func() []string {
			return append(m.flags(data), flags...)
		},
	}
	if _, err := os.Stat(filepath.Join(data, "mysql")); err != nil {
		if err := install(dir, data); err != nil {
			return nil, err
		}
	}
	if err := m.writeInit(); err != nil {
		return nil, err
	}
	return m, m.startOnFreePort()
}

func (m *MariaDB) flags(data string) []string {
	return append([]string{
		"--no-defaults", // first, or it is refused: the machine's my.cnf is none of ours
		"--datadir=" + data,
		"--tmpdir=" + tmpDir(m.dir),
		"--init-file=" + m.initFile(),
		"--bind-address=" + m.bindAddress(),
		"--port=" + strconv.Itoa(m.port),
		// Relative to datadir: the absolute path of a socket must stay under 107 bytes, which a test's
		// directory does not.
		"--socket=my.sock",
		"--pid-file=my.pid",
		"--skip-name-resolve",
		"--max-connections=500",
		// Both are traps for product code on purpose: tables must name their character set (MariaDB's built-in
		// default is latin1) and sessions their time zone.
		"--character-set-server=latin1",
		"--default-time-zone=+05:45",
	}, asRoot()...)
}

// tmpDir must be the server's own: a starting server removes the temporary tables of every other one in it.
func tmpDir(dir string) string { return filepath.Join(dir, "tmp") }

// asRoot: MariaDB refuses to run as root unless told so. Changing to another user instead would clear
// Pdeathsig, and the server would outlive a killed test run.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

func install(dir, data string) error {
	p := process{name: "mariadb-install-db", image: mariadbImage, dir: dir}
	c, err := p.command(append([]string{
		"--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
		"--force", // a bare container cannot look its own host name up, and nothing here asks for it
		"--datadir=" + data, "--tmpdir=" + tmpDir(dir),
	}, asRoot()...)...)
	if err != nil {
		return err
	}
	if out, err := c.cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w:\n%s", err, out)
	}
	return nil
}

// writeInit writes what the server runs at each start before it lets anybody in: one user with a password.
func (m *MariaDB) writeInit() error {
	statements := fmt.Sprintf("CREATE OR REPLACE USER %[1]s@'%%' IDENTIFIED BY '%[2]s';\n"+
		"GRANT ALL ON *.* TO %[1]s@'%%' WITH GRANT OPTION;\n"+
		"DROP USER IF EXISTS root@localhost, root@'127.0.0.1', root@'::1';\n", mariadbUser, m.password)
	return os.WriteFile(m.initFile(), []byte(statements), 0o600)
}

func (m *MariaDB) initFile() string { return filepath.Join(m.dir, "init.sql") }

// URL is mysql://user:password@127.0.0.1:port/ without a database.
func (m *MariaDB) URL() string {
	return fmt.Sprintf("mysql://%s:%s@%s/", mariadbUser, m.password, addr(m.port))
}

func (m *MariaDB) ping() error {
	db, err := OpenMySQL(m.URL())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return db.PingContext(ctx)
}

// OpenMySQL opens a mysql:// URL for the housekeeping of tests; the product has its own way with its own settings.
func OpenMySQL(rawURL string) (*sql.DB, error) {
	c, err := parseMySQL(rawURL)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
