package models

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestContentDocs: docs/content.md has each contentType, with its push title and an example that is taken; without any of
// the fields that it needs the example is refused.
func TestContentDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/content.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| ([0-9]+) [a-z]+ \\| `(.+?)` \\|.*\\| `(\\{.*\\})` \\|$").FindAllStringSubmatch(string(page), -1)
	seen := map[int]bool{}
	for _, row := range rows {
		contentType, _ := strconv.Atoi(row[1])
		spec, ok := contentSpecs[contentType]
		if !ok || seen[contentType] || spec.pushTitle != row[2] {
			t.Errorf("%d is no contentType, stands there twice, or has the push title %q", contentType, spec.pushTitle)
		}
		seen[contentType] = true
		session := SessionSingle
		if contentType == ContentOANotification {
			session = SessionNotification
		}
		if _, fields := CheckContent(contentType, session, json.RawMessage(row[3])); len(fields) != 0 {
			t.Errorf("%d: %+v", contentType, fields)
		}
		for _, rule := range spec.fields {
			var content map[string]json.RawMessage
			if err := json.Unmarshal([]byte(row[3]), &content); err != nil {
				t.Fatal(contentType, err)
			}
			if !rule.required {
				continue
			}
			delete(content, rule.name)
			without, err := json.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			if _, fields := CheckContent(contentType, session, without); len(fields) == 0 {
				t.Errorf("%d is taken without %s", contentType, rule.name)
			}
		}
	}
	if len(seen) != len(contentSpecs) {
		t.Errorf("%d contentTypes are there, %d are known", len(seen), len(contentSpecs))
	}
}
