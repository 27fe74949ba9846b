package testkit_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
)

func TestEachStoreIsFresh(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]string{}
	for _, user := range []string{"first", "second"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				if !strings.HasSuffix(t.Name(), "/"+s.Name) {
					t.Errorf("subtest %s runs with the stores %q", t.Name(), s.Name)
				}
				mu.Lock()
				for _, u := range []string{s.DatabaseURL, s.RedisURL} {
					if other := seen[u]; other != "" {
						t.Errorf("%s belongs to %s too", u, other)
					}
					seen[u] = t.Name()
				}
				mu.Unlock()
				if n, err := services.RedisDo(s.RedisURL, "INCR", "n"); err != nil || n != "1" {
					t.Errorf("Redis is not fresh: INCR n is %q, %v", n, err)
				}
				databaseIsEmpty(t, s)
			})
		})
	}
}

func databaseIsEmpty(t *testing.T, s testkit.Stores) {
	t.Helper()
	if path, ok := strings.CutPrefix(s.DatabaseURL, "sqlite:"); ok {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there already: %v", path, err)
		}
		return
	}
	db, err := services.OpenMySQL(s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d tables in a fresh database, %v", n, err)
	}
	if _, err := db.Exec("CREATE TABLE t (n INT)"); err != nil {
		t.Error(err)
	}
}

// TestDatabaseIsDropped looks from outside at what a test leaves behind.
func TestDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	var dbURL string
	t.Run("user", func(t *testing.T) { dbURL = testkit.MySQLURL(t) })
	if dbURL == "" {
		t.Skip("the user of the database was skipped")
	}
	db, err := services.OpenMySQL(dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err == nil || !strings.Contains(err.Error(), "Unknown database") {
		t.Errorf("the database of an ended test: %v", err)
	}
}

// TestMissingServer runs TestEachStoreIsFresh again in a process without servers.
func TestMissingServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  string
		want string
	}{
		{"CI=", "--- SKIP: TestEachStoreIsFresh/first/mariadb+redis"},
		{"CI=true", "--- FAIL: TestEachStoreIsFresh/first/mariadb+redis"},
		{"CARILLON_TEST_REQUIRE=1", "--- FAIL: TestEachStoreIsFresh/first/mariadb+redis"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEachStoreIsFresh$", "-test.v")
		cmd.Env = append(os.Environ(), "CARILLON_TEST_MYSQL_URL=", "CARILLON_TEST_REDIS_URL=", "CARILLON_TEST_REQUIRE=", "CI=", c.env)
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), c.want) || !strings.Contains(string(out), "run make test") {
			t.Errorf("%s: %v, want %q in\n%s", c.env, err, c.want, out)
		}
		if !strings.Contains(string(out), "--- PASS: TestEachStoreIsFresh/first/embedded") {
			t.Errorf("%s: the embedded stores need no server:\n%s", c.env, out)
		}
	}
}
