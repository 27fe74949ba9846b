package client

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var write = flag.Bool("write", false, "write api.sum: api.gen.go was just made")

// The generated calls are those of the contract as it is. What is compared is the contract without
// its words, so that nobody has to generate again because of a comma.
func TestGeneratedIsCurrent(t *testing.T) {
	t.Parallel()
	sum := sha256.New()
	for _, name := range []string{"../docs/openapi.yaml", "overlay.yaml", "oapi-codegen.yaml"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := yaml.Unmarshal(raw, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		fmt.Fprintf(sum, "%v\n", withoutWords(doc, false)) // maps are printed in the order of their keys
	}
	now := hex.EncodeToString(sum.Sum(nil))
	if *write {
		if err := os.WriteFile("api.sum", []byte(now+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile("api.sum")
	if err != nil || strings.TrimSpace(string(was)) != now {
		t.Errorf("docs/openapi.yaml has changed since api.gen.go was made (%v): run go generate ./client", err)
	}
}

// words are keys of which nothing but comments is generated.
var words = map[string]bool{"summary": true, "description": true, "example": true, "examples": true, "tags": true, "info": true}

// withoutWords leaves them out. names: the keys are names of fields, which may be anything.
func withoutWords(v any, names bool) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, value := range v {
			if names || !words[key] {
				kept[key] = withoutWords(value, !names && key == "properties")
			}
		}
		return kept
	case []any:
		kept := make([]any, len(v))
		for i, one := range v {
			kept[i] = withoutWords(one, false)
		}
		return kept
	}
	return v
}
