package testkit

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestContributingNamesWhatIsThere: the files and tests that CONTRIBUTING.md names exist.
func TestContributingNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var code []byte
			code, err = os.ReadFile(path)
			tests.Write(code)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([^` ]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 50 {
		t.Fatalf("%d names", len(names))
	}
	for _, m := range names {
		name := m[1]
		switch ext := filepath.Ext(name); {
		case strings.HasPrefix(name, "Test"):
			if !strings.Contains(tests.String(), "func "+name+"(") {
				t.Errorf("there is no test %s", name)
			}
		case strings.Contains(name, "NAME"), !strings.Contains(name, "/") && ext != ".md" && ext != ".yml":
		default:
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Error(err)
			}
		}
	}
}
