package embedded_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"carillon/internal/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func lock(t *testing.T, path string) *embedded.Dir {
	t.Helper()
	d, err := embedded.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestOneProcessHoldsADataDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "data")
	d := lock(t, path)
	_, err := embedded.Lock(path)
	if want := "the data directory " + path + " is in use by another carillon: stop that one, or set CARILLON_DATA_DIR to another directory"; err == nil || err.Error() != want {
		t.Fatalf("%v, want %s", err, want)
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	lock(t, path)
}

func TestFilesAreTheirOwnersOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	d := lock(t, path)
	if _, err := d.MakeSecret(); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, path); m != 0o700 {
		t.Errorf("the directory has mode %o", m)
	}
	for _, name := range []string{"secret", "carillon.db", "lock"} {
		if m := mode(t, filepath.Join(path, name)); m != 0o600 {
			t.Errorf("%s has mode %o", name, m)
		}
	}
}

func TestADirectoryOfOthersKeepsItsMode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		want os.FileMode
	}{
		"empty":          {"", 0o700},
		"ours":           {"carillon.db-wal", 0o700},
		"somebody's own": {"letter.txt", 0o755},
	} {
		path := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(path, c.file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lock(t, path)
		if m := mode(t, path); m != c.want {
			t.Errorf("%s: mode %o, want %o", name, m, c.want)
		}
	}
}

func TestSecretIsMadeOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	d := lock(t, path)
	if _, err := d.Secret(); err == nil || !strings.Contains(err.Error(), "holds no secret") {
		t.Errorf("without a secret: %v", err)
	}
	first, err := d.MakeSecret()
	if err != nil || len(first) < 32 {
		t.Fatalf("a secret of %d bytes, %v", len(first), err)
	}
	if again, err := d.MakeSecret(); err != nil || again != first {
		t.Errorf("another one the second time: %v", err)
	}
	found, err := embedded.Find(path)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := found.Secret(); err != nil || read != first {
		t.Errorf("another one for who only reads: %v", err)
	}
	if err := os.WriteFile(filepath.Join(path, "secret"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.MakeSecret(); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty secret is taken: %v", err)
	}
}

func TestFindMakesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	var none *embedded.NoDirError
	if _, err := embedded.Find(path); !errors.As(err, &none) || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatal("it has made the directory")
	}
	// Somebody else's directory is not a data directory.
	if _, err := embedded.Find(t.TempDir()); !errors.As(err, &none) {
		t.Fatalf("%v", err)
	}
}

func TestRedisNeedsItsPasswordAndKeepsTime(t *testing.T) {
	t.Parallel()
	r, err := embedded.StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	o, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	rdb := redis.NewClient(o)
	defer rdb.Close()
	if err := rdb.Set(ctx, "k", "v", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	for rdb.Exists(ctx, "k").Val() != 0 {
		if ctx.Err() != nil {
			t.Fatal("a key outlives its time")
		}
		time.Sleep(10 * time.Millisecond)
	}
	o.Password = ""
	stranger := redis.NewClient(o)
	defer stranger.Close()
	if err := stranger.Get(ctx, "k").Err(); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("without the password: %v", err)
	}
	r.Close()
}
