package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"carillon/internal/config"
)

// defaults are the settings by their names in the environment, each with its default; "" = none.
func defaults() map[string]string {
	list := map[string]string{}
	var add func(of reflect.Type)
	add = func(of reflect.Type) {
		for field := range of.Fields() {
			if _, part := field.Tag.Lookup("embed"); part {
				add(field.Type)
				continue
			}
			list[config.EnvName(field.Tag.Get("name"))] = field.Tag.Get("default")
		}
	}
	add(reflect.TypeFor[config.Config]())
	return list
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeHasTheSettings: the table of README has each setting with its default. Settings that give a file's name are
// explained above the table.
func TestReadmeHasTheSettings(t *testing.T) {
	t.Parallel()
	want, seen := defaults(), map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:CARILLON|OTEL)_[A-Z_]+)` \\| (.+?) \\| .+ \\|$").FindAllStringSubmatch(page(t, "README.md"), -1) {
		name, said := row[1], row[2]
		value, ok := want[name]
		if !ok || seen[name] {
			t.Errorf("%s is no setting, or stands there twice", name)
		}
		seen[name] = true
		code, _, _ := strings.Cut(strings.TrimPrefix(said, "`"), "`")
		if isCode := strings.HasPrefix(said, "`"); isCode != (value != "") || isCode && code != value {
			t.Errorf("the default of %s is %q, README says %s", name, value, said)
		}
	}
	for name := range want {
		if !seen[name] && name != "CARILLON_CONFIG" && !strings.HasSuffix(name, "_FILE") {
			t.Errorf("README's table has no %s", name)
		}
	}
}

// inCompose are the settings that docker-compose.yml gives values to, or that have no use in its containers.
var inCompose = []string{
	"CARILLON_CONFIG",               // no file is mounted
	"CARILLON_LISTEN",               // the image's
	"CARILLON_DATA_DIR",             // the image's
	"CARILLON_DATABASE_URL",         // of its own MariaDB,
	"CARILLON_DATABASE_URL_FILE",    // from a volume
	"CARILLON_REDIS_URL",            // of its own Redis,
	"CARILLON_REDIS_URL_FILE",       // from a volume
	"CARILLON_SECRET",               // made at the first start,
	"CARILLON_SECRET_FILE",          // in a volume
	"CARILLON_SERVER",               // of the commands: in a container, its own API
	"CARILLON_TOKEN",                // of the commands: in a container, one that they sign
	"CARILLON_TOKEN_FILE",           // the same
	"CARILLON_SECRET_PREVIOUS_FILE", // needs a file of the operator's
	"CARILLON_WEBHOOK_SECRET_FILE",  // needs a file of the operator's
	"CARILLON_EVENTS_SECRET_FILE",   // needs a file of the operator's
	"CARILLON_OPENIM_SECRET_FILE",   // needs a file of the operator's
}

// TestComposeHandsOnTheSettings: docker-compose.yml hands on each setting that is the operator's, and .env.example lists those with
// their defaults.
func TestComposeHandsOnTheSettings(t *testing.T) {
	t.Parallel()
	var compose struct {
		Shared struct {
			Environment map[string]*string `yaml:"environment"`
		} `yaml:"x-carillon"`
	}
	if err := yaml.Unmarshal([]byte(page(t, "docker-compose.yml")), &compose); err != nil {
		t.Fatal(err)
	}
	all := defaults()
	var want, handedOn []string
	for name := range all {
		if !slices.Contains(inCompose, name) {
			want = append(want, name)
		}
	}
	for name, value := range compose.Shared.Environment {
		switch _, known := all[name]; {
		case !known, value != nil && !slices.Contains(inCompose, name):
			t.Errorf("docker-compose.yml sets %s, which is no setting or the operator's", name)
		case value == nil:
			handedOn = append(handedOn, name)
		}
	}
	slices.Sort(want)
	if slices.Sort(handedOn); !slices.Equal(handedOn, want) {
		t.Errorf("docker-compose.yml hands on\n%s\nnot\n%s", handedOn, want)
	}

	example := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^#((?:CARILLON|OTEL)_[A-Z_]+)=(.*)$`).FindAllStringSubmatch(page(t, ".env.example"), -1) {
		name, value := line[1], line[2]
		if example[name] {
			t.Errorf(".env.example has %s twice", name)
		}
		example[name] = true
		if all[name] != "" && all[name] != value {
			t.Errorf("the default of %s is %s, .env.example says %s", name, all[name], value)
		}
	}
	delete(example, "CARILLON_PORT") // docker-compose.yml's own
	if got := slices.Sorted(maps.Keys(example)); !slices.Equal(got, want) {
		t.Errorf(".env.example has\n%s\nnot\n%s", got, want)
	}
}

// TestSettingsThatPagesName: no page names a setting that does not exist.
func TestSettingsThatPagesName(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatal(err, pages)
	}
	for _, name := range append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../Dockerfile", "../../docker-compose.yml", "../../.env.example",
		"../../examples/carillon.service", "../../examples/receiver/README.md") {
		text := page(t, strings.TrimPrefix(name, "../../"))
		named := regexp.MustCompile(`\bCARILLON_[A-Z_]*[A-Z]`).FindAllString(text, -1)
		named = slices.DeleteFunc(named, func(n string) bool { return strings.HasPrefix(n, "CARILLON_TEST_") })
		if unknown, _ := config.UnknownNames(named); len(unknown) > 0 {
			t.Errorf("%s names %s", name, unknown)
		}
	}
}
