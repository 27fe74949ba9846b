package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// site is the place of a guard in the code: a node of Go, or a line of Lua.
type site struct {
	file string // absolute
	src  []byte
	line int // of the comment
	fset *token.FileSet
	node ast.Node // nil: Lua
	lua  span
}

// span is a part of a file, in bytes.
type span struct{ from, to int }

var (
	goGuard  = regexp.MustCompile(`^// guard: (\S+)$`)
	luaGuard = regexp.MustCompile(`(?m)^(.*)-- guard: (\S+)$`)
)

// findSites finds the guards of all Go and Lua files below root, but for tests and this command.
func findSites(root string) (map[string]site, error) {
	all := map[string]site{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || path == filepath.Join(root, "internal/testkit/mutations")):
			return filepath.SkipDir
		case d.IsDir(), strings.HasSuffix(path, "_test.go"), filepath.Ext(path) != ".go" && filepath.Ext(path) != ".lua":
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(src, []byte("guard: ")) {
			return err
		}
		found, err := sitesIn(path, src)
		for name, s := range found {
			if other, twice := all[name]; twice {
				return fmt.Errorf("two comments mark the guard %s: %s:%d and %s:%d", name, other.file, other.line, s.file, s.line)
			}
			all[name] = s
		}
		return err
	})
	return all, err
}

// sitesIn finds the guards of one file.
func sitesIn(path string, src []byte) (map[string]site, error) {
	found := map[string]site{}
	add := func(name string, s site) error {
		if _, twice := found[name]; twice {
			return fmt.Errorf("%s: two comments mark the guard %s", path, name)
		}
		s.file, s.src = path, src
		found[name] = s
		return nil
	}
	for _, at := range luaGuard.FindAllSubmatchIndex(src, -1) {
		s := site{line: 1 + bytes.Count(src[:at[0]], []byte("\n")), lua: span{at[2], at[3]}}
		if err := add(string(src[at[4]:at[5]]), s); err != nil {
			return nil, err
		}
	}
	if filepath.Ext(path) != ".go" {
		return found, nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			m := goGuard.FindStringSubmatch(c.Text)
			if m == nil {
				continue
			}
			s := site{line: fset.Position(c.Pos()).Line, fset: fset}
			if s.node = nodeAt(fset, file, s.line); s.node == nil {
				s.node = nodeAt(fset, file, fset.Position(group.End()).Line+1)
			}
			if s.node == nil {
				return nil, fmt.Errorf("%s:%d: no statement stands on the line of the guard %s or below it", path, s.line, m[1])
			}
			if err := add(m[1], s); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// nodeAt is the largest statement or expression that begins on a line.
func nodeAt(fset *token.FileSet, file *ast.File, line int) (found ast.Node) {
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil || found != nil {
			return false
		}
		if fset.Position(n.Pos()).Line == line {
			switch n.(type) {
			case *ast.BlockStmt: // begins with what it belongs to
			case ast.Stmt, ast.Expr:
				found = n
			}
		}
		return found == nil
	})
	return found
}

// without is the file's text without the guard.
func (s site) without(c change) (string, error) {
	edits, err := c(s)
	if err != nil {
		return "", fmt.Errorf("%s:%d: %w", s.file, s.line, err)
	}
	text := bytes.Clone(s.src)
	for i := len(edits) - 1; i >= 0; i-- { // the last first: the others stay where they are
		e := edits[i]
		text = append(text[:e.from:e.from], append([]byte(e.text), text[e.to:]...)...)
	}
	if bytes.Equal(text, s.src) {
		return "", errors.New("the change changes nothing")
	}
	if filepath.Ext(s.file) == ".go" {
		if _, err := format.Source(text); err != nil {
			return "", fmt.Errorf("without it the file is no Go: %w", err)
		}
	}
	return string(text), nil
}

// of is where a node stands in the file.
func (s site) of(from, to token.Pos) span {
	return span{s.fset.Position(from).Offset, s.fset.Position(to).Offset}
}

func (s site) text(at span) string { return string(s.src[at.from:at.to]) }
