package channels_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestNamesStayInTheirFolders: neither models nor handlers knows a channel by its name. What they must know of a channel
// stands in its Traits.
func TestNamesStayInTheirFolders(t *testing.T) {
	t.Parallel()
	names := namesOfChannels(t)
	if !slices.Contains(names, "inbox") || !slices.Contains(names, "webhook") || !slices.Contains(names, "openim") {
		t.Fatalf("the channels' folders name %q", names)
	}
	for _, dir := range []string{"../models", "../handlers"} {
		files := productFiles(t, dir)
		if len(files) < 10 {
			t.Fatalf("%s has %d files", dir, len(files))
		}
		for _, file := range files {
			for _, at := range literalsIn(t, file, nil, names) {
				t.Errorf("%s: a channel's name; ask its Traits, or tell the store as models.Store.InboxChannels does", at)
			}
		}
	}
	const sample = "package x\n\n// inbox\nvar a = []string{\"/v1/inbox\", `openim`, \"my webhook\"}\n\nfunc f(c string) bool { return c == \"inbox\" }\n"
	if got := literalsIn(t, "x.go", sample, names); fmt.Sprint(got) != "[x.go:4 x.go:6]" {
		t.Errorf("of the sample: %q", got)
	}
}

// namesOfChannels reads the constant Name of each channel's folder.
func namesOfChannels(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			consts, ok := decl.(*ast.GenDecl)
			if !ok || consts.Tok != token.CONST {
				continue
			}
			for _, spec := range consts.Specs {
				one := spec.(*ast.ValueSpec)
				if lit, ok := first(one.Values).(*ast.BasicLit); ok && one.Names[0].Name == "Name" {
					names = append(names, unquoted(lit))
				}
			}
		}
	}
	return names
}

func first(values []ast.Expr) ast.Expr {
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

// productFiles are the Go files of a folder and of those below it, without tests.
func productFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// literalsIn says where a file holds a string that is exactly one of names. src is as for parser.ParseFile.
func literalsIn(t *testing.T, file string, src any, names []string) (places []string) {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && slices.Contains(names, unquoted(lit)) {
			at := set.Position(lit.Pos())
			places = append(places, at.Filename+":"+strconv.Itoa(at.Line))
		}
		return true
	})
	return places
}

func unquoted(lit *ast.BasicLit) string {
	text, _ := strconv.Unquote(lit.Value)
	return text
}
