package models

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm/schema"
)

// TestListedColumns: lists show all columns of a campaign but those that they leave out on purpose.
func TestListedColumns(t *testing.T) {
	t.Parallel()
	leftOut := []string{
		"message",                                 // can be 64 KiB
		"guard_allows", "guard_run", "guard_base", // the guard reads them by itself
		"retry", "retry_page", // a retry under way reads them by itself
		"traceparent", // the work of the campaign reads it by itself
	}
	gormConfig() // tells gorm how a message is stored
	s, err := schema.Parse(&Campaign{}, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for name := range strings.SplitSeq(listedColumns, ",") {
		listed = append(listed, strings.TrimSpace(name))
	}
	for _, name := range s.DBNames {
		if slices.Contains(listed, name) == slices.Contains(leftOut, name) {
			t.Errorf("%s must stand either in listedColumns or among what they leave out", name)
		}
	}
	for _, name := range append(listed, leftOut...) {
		if !slices.Contains(s.DBNames, name) {
			t.Errorf("a campaign has no column %s", name)
		}
	}
}
