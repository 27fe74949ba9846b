// Command mutations shows that the tests behind the promises can fail. The product has no switches for that, so the
// command works on a copy of one file at a time:
//
//   - It takes one guard out of the copy.
//   - It runs the test that should notice.
//   - It fails if that test passes.
//
// A comment in the source marks each guard: `// guard: NAME`, or `-- guard: NAME` in Lua. table.go says what happens to
// each, and which test must notice.
//
//	make mutations
//	make mutations ARGS=--check
//	make mutations ARGS='--only fence,rate'
//
// With --check no test runs: the command looks whether each guard can be taken out and what is left compiles.
// All tests use the embedded stores alone.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	check := flag.Bool("check", false, "only look whether each guard can be taken out and what is left compiles")
	only := flag.String("only", "", "these guards alone, with commas")
	root := flag.String("root", ".", "the root of the code")
	flag.Parse()
	if err := run(*root, *only, *check, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mutations:", err)
		os.Exit(1)
	}
}

func run(root, only string, check bool, stdout, stderr io.Writer) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	mutants, err := mutantsOf(root)
	if err != nil {
		return err
	}
	if only != "" {
		chosen := strings.Split(only, ",")
		mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !slices.Contains(chosen, m.guard) })
		if len(mutants) != len(chosen) {
			return fmt.Errorf("not all of these are guards: %s", only)
		}
	}
	dir, err := os.MkdirTemp("", "carillon-mutations-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if !check {
		fmt.Fprintln(stdout, tableHead)
	}
	survived := 0
	for i, m := range mutants {
		overlay, err := m.compiled(root, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("guard %s: %w", m.guard, err)
		}
		if check {
			continue
		}
		noticed, out := m.tried(root, overlay)
		if !noticed {
			survived++
			fmt.Fprintf(stderr, "%s\n", out)
		}
		fmt.Fprintln(stdout, m.line(noticed))
	}
	if survived > 0 {
		return fmt.Errorf("%d guards can be taken out unnoticed", survived)
	}
	if check {
		fmt.Fprintf(stdout, "%d guards can be taken out\n", len(mutants))
	}
	return nil
}

// mutant is a file of the code without one of its guards.
type mutant struct {
	mutation
	file string // absolute
	text string
}

// mutantsOf reads the code and takes each guard of the table out of it. Its error says what the table and the code do
// not agree about; nothing is compiled.
func mutantsOf(root string) ([]mutant, error) {
	sites, err := findSites(root)
	if err != nil {
		return nil, err
	}
	var list []mutant
	for _, m := range mutations {
		s, ok := sites[m.guard]
		if !ok {
			return nil, fmt.Errorf("no comment marks the guard %s", m.guard)
		}
		delete(sites, m.guard)
		text, err := s.without(m.change)
		if err != nil {
			return nil, fmt.Errorf("guard %s: %w", m.guard, err)
		}
		if err := m.testExists(root); err != nil {
			return nil, fmt.Errorf("guard %s: %w", m.guard, err)
		}
		list = append(list, mutant{m, s.file, text})
	}
	for name, s := range sites {
		return nil, fmt.Errorf("%s:%d: table.go has no guard %s", s.file, s.line, name)
	}
	return list, nil
}

// compiled writes the mutant and what tells the go command to take it. A mutant that does not compile is an error.
func (m mutant) compiled(root, dir string) (overlay string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file, overlay := filepath.Join(dir, "mutant"+filepath.Ext(m.file)), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, []byte(m.text), 0o600); err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {m.file: file}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, filepath.Dir(m.file))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("without it the code does not compile: %s", out)
	}
	return overlay, nil
}

// tried runs the test on the mutant.
func (m mutant) tried(root, overlay string) (noticed bool, out []byte) {
	// -run matches each part between slashes by itself.
	cmd := exec.Command("go", "test", "-overlay", overlay, "-count=1", "-run", "^"+strings.ReplaceAll(m.test, "/", "$/^")+"$", m.pkg)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return err != nil && strings.Contains(string(out), "--- FAIL: "), out
}
