package pacing

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every name in capitals of a script is a constant of Params, and every constant with a lua tag is
// named by a script.
func TestConstantsGoToTheScripts(t *testing.T) {
	t.Parallel()
	tagged := map[string]bool{}
	for f := range reflect.TypeFor[Params]().Fields() {
		if name := f.Tag.Get("lua"); name != "" {
			tagged[name] = true
		}
	}
	capitals := regexp.MustCompile(`'[^']*'|\b[A-Z][A-Z_]+\b`)
	named := map[string]bool{}
	files, err := luaFiles.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(takeFiles, file.Name()) && !slices.Contains(observeFiles, file.Name()) {
			t.Errorf("%s is in no script", file.Name())
		}
		text, err := luaFiles.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range capitals.FindAllString(withoutComments(string(text)), -1) {
			switch {
			case strings.HasPrefix(name, "'"), name == "KEYS", name == "ARGV":
			case !tagged[name]:
				t.Errorf("%s: %s is not in Params", file.Name(), name)
			default:
				named[name] = true
			}
		}
	}
	for name := range tagged {
		if !named[name] {
			t.Errorf("no script names %s", name)
		}
	}
}
