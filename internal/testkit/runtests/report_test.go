package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample is a module whose packages end in every way a package can.
var sample = map[string]string{
	"go.mod": "module sample\n\ngo 1.26\n",
	"good/x_test.go": `package good
import "testing"
func TestPlain(t *testing.T) {}
func TestStores(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { t.Run("deeper", func(t *testing.T) {}) })
	t.Run("mariadb+redis", func(t *testing.T) {})
}`,
	"bad/x_test.go": `package bad
import "testing"
func TestChild(t *testing.T) { t.Run("mariadb+redis", func(t *testing.T) { t.Error("the child's reason") }) }
func TestParent(t *testing.T) { t.Run("embedded", func(t *testing.T) {}); t.Error("the parent's reason") }
func TestFine(t *testing.T) { t.Log("nobody reads this") }`,
	"skips/x_test.go": `package skips
import "testing"
func TestSkipped(t *testing.T) { t.Skip("the skip's reason") }
func TestNot(t *testing.T) {}`,
	"panics/x_test.go": `package panics
import "testing"
func TestPanic(t *testing.T) { t.Run("embedded", func(t *testing.T) { panic("the panic's reason") }) }`,
	"exits/x_test.go": `package exits
import ("fmt"; "os"; "testing")
func TestMain(m *testing.M) { m.Run(); fmt.Println("the exit's reason"); os.Exit(3) }
func TestFine(t *testing.T) {}`,
	"nobuild/x_test.go": "package nobuild\nimport \"testing\"\nfunc TestX(t *testing.T) { undefinedThing() }\n",
	"none/x.go":         "package none\n",
}

func runSample(t *testing.T, packages ...string) (out string, ok bool) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(sample)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(sample[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"test", "-json", "-vet=off"}, packages...)...)
	cmd.Dir = dir
	events, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r := newReport(&b)
	if err := r.read(events); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // some packages fail on purpose
	ok = r.summary()
	return b.String(), ok
}

func TestReport(t *testing.T) {
	t.Parallel()
	out, ok := runSample(t, "./...")
	if ok {
		t.Error("a run with failures is called good")
	}
	for _, want := range []string{
		"the child's reason", "the parent's reason", "the skip's reason", "the panic's reason", "the exit's reason",
		"undefined: undefinedThing",
		"FAILED sample/bad TestChild/mariadb+redis\n", "FAILED sample/bad TestParent\n", "FAILED sample/panics TestPanic/embedded\n",
		"FAILED sample/nobuild failed outside of its tests\n", "FAILED sample/exits failed outside of its tests\n",
		"here: sample/skips TestSkipped\n",
		"-     sample/none has no tests\n",
		"embedded             2       1       0\n",
		"mariadb+redis        1       1       0\n",
		"neither              4       1       1\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	// Passed: good 3, bad 2, skips 1, exits 1. Failed: bad 2, panics 1, and two packages as a whole.
	if last := "\n7 passed, 5 failed, 1 skipped\n"; !strings.HasSuffix(out, last) {
		t.Errorf("the last line is not %q", last)
	}
	if strings.Contains(out, "nobody reads this") {
		t.Error("the output of a test that passed is shown")
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestReportOfGoodAndEmptyRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg  string
		ok   bool
		last string
	}{
		{"./good", true, "\n3 passed, 0 failed, 0 skipped\n"},
		{"./skips", false, "\n1 passed, 0 failed, 1 skipped\n"},
		{"./none", false, "FAILED no test ran\n0 passed, 1 failed, 0 skipped\n"},
	} {
		if out, ok := runSample(t, c.pkg); ok != c.ok || !strings.HasSuffix(out, c.last) {
			t.Errorf("%s: %t, want %t and %q at the end of\n%s", c.pkg, ok, c.ok, c.last, out)
		}
	}
}

func TestNamesPackages(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]bool{
		"":                     false,
		"-run X -count=2":      false,
		"./models":             true,
		"-run X carillon/jobs": true,
		"-v .":                 true,
	} {
		if got := namesPackages(strings.Fields(args)); got != want {
			t.Errorf("%q: %t", args, got)
		}
	}
}
