package embedded_test

import (
	"context"
	"errors"
	"net"
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

// startRedis starts one, with a client.
func startRedis(t *testing.T) (*embedded.Redis, *redis.Client) {
	t.Helper()
	r, err := embedded.StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	rdb := redis.NewClient(&redis.Options{Dialer: func(context.Context, string, string) (net.Conn, error) { return r.Dial() }})
	t.Cleanup(func() { _ = rdb.Close() })
	return r, rdb
}

func TestRedisKeepsTime(t *testing.T) {
	t.Parallel()
	r, rdb := startRedis(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := rdb.Set(ctx, "k", "v", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	for rdb.Exists(ctx, "k").Val() != 0 {
		if ctx.Err() != nil {
			t.Fatal("a key outlives its time")
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.Close()
	r.Close()
	if conn, err := r.Dial(); err == nil {
		_ = conn.Close()
		t.Error("a closed one takes connections")
	}
}

// Both sides write more than the other has read: a pipeline of large commands, and messages to subscribers meanwhile.
func TestRedisTakesLargePipelines(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	heard := rdb.Subscribe(ctx, "news")
	defer heard.Close()
	if _, err := heard.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	got := heard.Channel(redis.WithChannelSize(1000))
	large := strings.Repeat("x", 10_000)
	pipe := rdb.Pipeline()
	for range 300 {
		pipe.Publish(ctx, "news", large)
		pipe.Echo(ctx, large[:100])
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil || len(cmds) != 600 {
		t.Fatal(len(cmds), err)
	}
	for range 300 {
		select {
		case <-got:
		case <-ctx.Done():
			t.Fatal("a message is missing")
		}
	}
}

// A process with the embedded Redis listens nowhere for it: a stranger's bytes could end the process.
func TestRedisListensNowhere(t *testing.T) { //nolint:paralleltest // it counts what the whole process listens on
	before := listening(t)
	_, rdb := startRedis(t)
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if after := listening(t); after != before {
		t.Errorf("it listens on %d sockets more", after-before)
	}
}

// listening counts this process' listening sockets, of TCP and by name.
func listening(t *testing.T) (n int) {
	t.Helper()
	open := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:[") {
			open[strings.Trim(to, "socket:[]")] = true
		}
	}
	for table, col := range map[string][2]int{"tcp": {3, 9}, "tcp6": {3, 9}, "unix": {3, 6}} {
		raw, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(raw), "\n") {
			f := strings.Fields(line)
			listens := len(f) > col[1] && (table != "unix" && f[col[0]] == "0A" || table == "unix" && f[col[0]] == "00010000")
			if listens && open[f[col[1]]] {
				n++
			}
		}
	}
	return n
}
