// Command mutations shows that the tests behind the promises can fail. The product has no switches for that, so the
// command works on a copy of one file at a time:
//
//   - It runs all tests of the table with the guards in place. They must pass.
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
	"flag"
	"fmt"
	"io"
	"os"
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
		if err := sound(root, filepath.Join(dir, "sound"), mutants, stderr); err != nil {
			return err
		}
		fmt.Fprintln(stdout, tableHead)
	}
	survived := 0
	for i, m := range mutants {
		of := filepath.Join(dir, fmt.Sprint(i))
		overlay, err := overlaid(root, of, map[string]string{m.file: m.text})
		if err != nil {
			return err
		}
		if check {
			if err := m.compiles(root, overlay); err != nil {
				return fmt.Errorf("guard %s: %w", m.guard, err)
			}
			continue
		}
		noticed, out, err := m.tried(root, overlay)
		if err != nil {
			return fmt.Errorf("guard %s: %w", m.guard, err)
		}
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
