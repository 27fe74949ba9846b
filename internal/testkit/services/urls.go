package services

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

func parseMySQL(rawURL string) (*mysql.Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mysql" {
		return nil, fmt.Errorf("not a mysql:// URL: %q", rawURL)
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.Logger = &mysql.NopLogger{} // waiting for a server that is coming up is not news
	return c, nil
}

// CreateDatabase makes an empty database with a random name on the server of a mysql:// URL and returns its
// URL and a function that drops it.
func CreateDatabase(serverURL string) (dbURL string, drop func() error, err error) {
	u, err := url.Parse(serverURL)
	if err != nil {
		return "", nil, err
	}
	name := "carillon_test_" + strings.ToLower(rand.Text()[:12])
	if err := execMySQL(serverURL, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() error {
		// A transaction still open would make DROP wait a day, which is MariaDB's default.
		return execMySQL(serverURL, "SET lock_wait_timeout=10", "DROP DATABASE IF EXISTS "+name)
	}, nil
}

func execMySQL(rawURL string, statements ...string) error {
	db, err := OpenMySQL(rawURL)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // so that SET holds for the next statement
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// ownDir makes a server's directory and returns its absolute path.
func ownDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return abs, os.MkdirAll(abs, 0o700)
}

// Versions asks both servers what they are, for the report of a test run.
func Versions(mysqlURL, redisURL string) (string, error) {
	db, err := OpenMySQL(mysqlURL)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var sqlVersion string
	if err := db.QueryRow("SELECT VERSION()").Scan(&sqlVersion); err != nil {
		return "", err
	}
	// EVAL answers in one line, INFO does not.
	redisVersion, err := RedisDo(redisURL, "EVAL", `return {ok=string.match(redis.call('INFO','server'),'redis_version:([^\r\n]+)')}`, "0")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s + Redis %s", sqlVersion, redisVersion), nil
}
