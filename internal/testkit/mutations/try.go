package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Without a guard, what a test waits for often never happens. The tests' own patience is for a whole
// suite under the race detector. Here few tests run at a time, and wait for a third of that.
const (
	patienceFile = "internal/testkit/eventually.go"
	patience     = "const Patience = 3 * time.Minute"
	lessPatience = "const Patience = time.Minute"
)

// overlaid writes texts that take the place of files, by the files' absolute paths, and what tells
// the go command to take them.
func overlaid(root, dir string, texts map[string]string) (overlay string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	waits := filepath.Join(root, patienceFile)
	code, err := os.ReadFile(waits)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(code), patience) {
		return "", fmt.Errorf("%s does not say any longer: %s", waits, patience)
	}
	texts[waits] = strings.Replace(string(code), patience, lessPatience, 1)
	replace := map[string]string{}
	for file, text := range texts {
		replace[file] = filepath.Join(dir, fmt.Sprint(len(replace))+filepath.Ext(file))
		if err := os.WriteFile(replace[file], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// compiles compiles the mutant.
func (m mutant) compiles(root, overlay string) error {
	cmd := exec.Command("go", "build", "-overlay", overlay, filepath.Dir(m.file))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("without it the code does not compile: %s", out)
	}
	return nil
}

// sound runs the tests of the mutants with all guards in place. A test that fails then would show
// nothing.
func sound(root, dir string, mutants []mutant, stderr io.Writer) error {
	overlay, err := overlaid(root, dir, map[string]string{})
	if err != nil {
		return err
	}
	tests := map[string][]string{}
	for _, m := range mutants {
		tests[m.pkg] = append(tests[m.pkg], m.pattern())
	}
	for pkg, patterns := range tests {
		if out, err := goTest(root, overlay, strings.Join(patterns, "|"), pkg); err != nil {
			fmt.Fprintf(stderr, "%s\n", out)
			return fmt.Errorf("tests of %s fail with all guards in place", pkg)
		}
	}
	return nil
}

// tried runs the test on the mutant. A mutant that does not compile is an error.
func (m mutant) tried(root, overlay string) (noticed bool, out []byte, err error) {
	out, failed := goTest(root, overlay, m.pattern(), m.pkg)
	if strings.Contains(string(out), "[build failed]") {
		return false, nil, fmt.Errorf("without it the code does not compile: %s", out)
	}
	return failed != nil && strings.Contains(string(out), "--- FAIL: "), out, nil
}

// pattern is the mutant's test for -run, which matches each part between slashes by itself.
func (m mutation) pattern() string { return "^" + strings.ReplaceAll(m.test, "/", "$/^") + "$" }

// goTest builds the tests of a package without what only a debugger or a linter wants, and runs
// some.
func goTest(root, overlay, pattern, pkg string) (out []byte, err error) {
	cmd := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-ldflags=-s -w", "-count=1",
		"-run", pattern, pkg)
	cmd.Dir = root
	return cmd.CombinedOutput()
}
