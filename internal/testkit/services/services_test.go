package services_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
)

func TestMariaDBLives(t *testing.T) {
	t.Parallel()
	m := testkit.PrivateMariaDB(t)
	url, drop, err := services.CreateDatabase(m.URL())
	if err != nil {
		t.Fatal(err)
	}
	db, err := services.OpenMySQL(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		t.Helper()
		if err := db.QueryRow("SELECT COUNT(*) FROM t").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := m.URL()
	for i, life := range []struct {
		name string
		end  func() error
	}{{"stop", m.Stop}, {"kill", m.Kill}, {"stop while frozen", func() error { return errors.Join(m.Pause(), m.Stop()) }}} {
		if _, err := db.Exec("INSERT INTO t VALUES (?)", i); err != nil {
			t.Fatal(err)
		}
		if err := life.end(); err != nil {
			t.Fatalf("%s: %v", life.name, err)
		}
		if err := db.Ping(); err == nil {
			t.Fatalf("%s: still answers", life.name)
		}
		began := time.Now()
		if err := m.Start(); err != nil {
			t.Fatalf("start after %s: %v", life.name, err)
		}
		t.Logf("start after %s: %s", life.name, time.Since(began).Round(time.Millisecond))
		if n := count(); n != i+1 {
			t.Fatalf("after %s and start: %d rows, want %d", life.name, n, i+1)
		}
	}
	if m.URL() != before {
		t.Errorf("URL moved from %s to %s", before, m.URL())
	}
	if err := m.Start(); err == nil {
		t.Error("a second start of a running server is no error")
	}
	if err := drop(); err != nil {
		t.Error(err)
	}
}

func TestMariaDBSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags []string
		flush string
	}{"default": {nil, "1"}, "fast": {services.FastDurability(), "0"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := services.OpenMySQL(testkit.PrivateMariaDB(t, c.flags...).URL())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var flush, connections, bind string
			err = db.QueryRow("SELECT @@innodb_flush_log_at_trx_commit, @@max_connections, @@bind_address").Scan(&flush, &connections, &bind)
			if err != nil || flush != c.flush || connections != "500" || bind != "127.0.0.1" {
				t.Errorf("flush %s connections %s bind %s, %v", flush, connections, bind, err)
			}
		})
	}
}

func TestRedisLives(t *testing.T) {
	t.Parallel()
	r := testkit.PrivateRedis(t, "appendfsync always")
	for i, end := range []func() error{r.Stop, r.Kill} {
		if n, err := services.RedisDo(r.URL(), "INCR", "n"); err != nil || n != string(rune('1'+i)) {
			t.Fatalf("INCR in life %d: %q, %v", i, n, err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, err := services.RedisDo(r.URL(), "PING"); err == nil {
			t.Fatal("still answers")
		}
		began := time.Now()
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		t.Logf("start: %s", time.Since(began).Round(time.Millisecond))
	}
	if _, err := services.RedisDo(strings.Replace(r.URL(), "redis://:", "redis://:x", 1), "PING"); err == nil {
		t.Error("a wrong password is let in")
	}
	last := strings.TrimSuffix(r.URL(), "0") + "1023"
	if _, err := services.RedisDo(last, "PING"); err != nil {
		t.Errorf("database 1023: %v", err)
	}
}

func TestPauseFreezes(t *testing.T) {
	t.Parallel()
	r := testkit.PrivateRedis(t)
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", strings.SplitN(strings.TrimSuffix(r.URL(), "/0"), "@", 2)[1])
	if err != nil {
		t.Fatal("a frozen server's port must still accept: ", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen server answered: %v", err)
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := services.RedisDo(r.URL(), "PING"); err != nil {
		t.Error(err)
	}
}

func TestStartErrorShowsTheLog(t *testing.T) {
	t.Parallel()
	if err := services.Available(); err != nil {
		testkit.PrivateRedis(t) // says what is missing
	}
	_, err := services.StartRedis(t.TempDir(), "no-such-setting 1")
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("want the reason from the log, got %v", err)
	}
}
