package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"carillon/handlers/web"
	"carillon/internal/testkit"
)

// Each process reads the admins' file again when it gets the signal, and keeps its list when the file is not right.
func TestSIGHUPReadsTheAdminsAgain(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		file := write(t, "admins", "imAdmin\nleaving\n")
		flags := []string{"serve", "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret, "--listen", "127.0.0.1:0", "--admins-file", file}
		if s.Name != "embedded" {
			flags = append([]string{"serve", "--admins-file", file}, external(migrated(t, s.DatabaseURL), s.RedisURL)...)
		}
		base, process, out := spawned(t, flags...)
		second := ""
		if s.Name != "embedded" {
			second = spawn(t, flags...)
		}
		status := func(base, admin string) int {
			t.Helper()
			token, err := web.AdminToken(testSecret, admin)
			if err != nil {
				t.Fatal(err)
			}
			return get(t, base+"/v1/campaigns", token).status
		}
		want := func(when string, want ...int) {
			t.Helper()
			if got := []int{status(base, "imAdmin"), status(base, "leaving"), status(base, "coming")}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		hangup := func(text, logged string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			testkit.Eventually(t, "it logs "+logged, patience, func() bool { return strings.Contains(out.String(), logged) },
				func() any { return out.String() })
		}
		want("at first", 200, 200, 403)
		hangup("imAdmin\n\x01\n", "SIGHUP: the admins stay as they are")
		want("after a bad file", 200, 200, 403)
		hangup("imAdmin\ncoming\n", "SIGHUP: the file of the admins was read again")
		want("after a good file", 200, 403, 200)
		if second != "" {
			if got := status(second, "leaving"); got != http.StatusOK {
				t.Errorf("the second process got no signal: %d", got)
			}
		}
		for _, id := range []string{"leaving", "coming"} {
			if strings.Contains(out.String(), id) {
				t.Errorf("the log has the ID %s", id)
			}
		}
	})
}
