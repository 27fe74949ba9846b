package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// offline takes the network and all caches away from the go command, and makes a module the current one.
func offline(t *testing.T, gomod string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": gomod, "x.go": "package x\n", "y/go.mod": "module example.com/y\n\ngo 1.26\n", "y/y.go": "package y\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for name, value := range map[string]string{"GOPROXY": "off", "GOFLAGS": "", "GOMODCACHE": t.TempDir(), "XDG_CACHE_HOME": t.TempDir(), "HOME": t.TempDir()} {
		t.Setenv(name, value)
	}
}

func TestLintWithoutNetwork(t *testing.T) {
	offline(t, "module x\n\ngo 1.26\n")
	var out strings.Builder
	err := lint(t.Context(), nil, &out)
	if !errors.Is(err, errCannotLint) || !strings.Contains(err.Error(), "GOPROXY=off") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestLintOfAnUntidyModule(t *testing.T) {
	offline(t, "module x\n\ngo 1.26\n\nrequire example.com/y v0.0.0\n\nreplace example.com/y => ./y\n")
	var out strings.Builder
	err := lint(t.Context(), nil, &out)
	if err == nil || errors.Is(err, errCannotLint) || !strings.Contains(out.String(), "-require example.com/y") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestHowLintCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		ci     bool
		failed int
		said   string
	}{
		{nil, true, 0, ""},
		{errors.New("golangci-lint: exit status 1"), false, 1, ""},
		{errCannotLint, true, 1, ""},
		{errCannotLint, false, 0, "NOT LINTED"},
	} {
		var out strings.Builder
		r := newReport(&out)
		if r.linted(c.err, c.ci); r.failed() != c.failed || !strings.Contains(out.String(), c.said) || (c.said == "") != (out.Len() == 0) {
			t.Errorf("%v with CI %t: %d failed, %q", c.err, c.ci, r.failed(), out.String())
		}
	}
}
