package jobs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The package's doc names each file of the folder once, and no other.
func TestDocNamesTheFiles(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^//(?:\t| And )([a-z_]+\.go) `).FindAllStringSubmatch(string(doc), -1) {
		named = append(named, m[1])
	}
	all, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := slices.DeleteFunc(all, func(f string) bool { return f == "doc.go" || strings.HasSuffix(f, "_test.go") })
	slices.Sort(named)
	if !slices.Equal(named, files) {
		t.Errorf("doc.go names\n%s\nand the folder has\n%s", strings.Join(named, " "), strings.Join(files, " "))
	}
}
