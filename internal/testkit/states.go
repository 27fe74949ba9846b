package testkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"carillon/models"
)

// pageStates are the names of models.PageState in docs/states.md, by number.
var pageStates = []string{"new", "queued", "running", "waiting", "done", "open", "parked"}

var pageArrow = regexp.MustCompile(`(?m)^  (\w+) --> (\w+)`)

// drawnPageStates are the arrows of the page's diagram in docs/states.md, each as numbers of two states.
func drawnPageStates() (arrows [][2]int, err error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("the place of the source is not known")
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../docs/states.md"))
	if err != nil {
		return nil, err
	}
	_, section, ok := strings.Cut(string(text), "\n## Page\n")
	diagram, _, ok2 := strings.Cut(section, "\n## ")
	if !ok || !ok2 {
		return nil, errors.New("docs/states.md has no section Page")
	}
	for _, m := range pageArrow.FindAllStringSubmatch(diagram, -1) {
		from, to := slices.Index(pageStates, m[1]), slices.Index(pageStates, m[2])
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("docs/states.md draws %s --> %s, and a page has no such state", m[1], m[2])
		}
		arrows = append(arrows, [2]int{from, to})
	}
	return arrows, nil
}

// holdPageStates makes a SQLite ledger note each change of a page's state that docs/states.md does not
// draw. So every test on the embedded store holds the diagram against the code.
//
// The change itself is let through: to refuse it looks to the code like a database that is away for a while, and a
// test of that would only become slow.
func holdPageStates(db *sql.DB) error {
	arrows, err := drawnPageStates()
	if err != nil {
		return err
	}
	var drawn []string
	for _, a := range arrows {
		drawn = append(drawn, fmt.Sprintf("(OLD.state=%d AND NEW.state=%d)", a[0], a[1]))
	}
	_, err = db.ExecContext(context.Background(), "CREATE TABLE undrawn_page_states (was, became);"+
		"CREATE TRIGGER page_states AFTER UPDATE OF state ON pages WHEN OLD.state<>NEW.state AND NOT ("+strings.Join(drawn, " OR ")+") "+
		"BEGIN INSERT INTO undrawn_page_states VALUES (OLD.state, NEW.state); END")
	return err
}

// undrawnPageStates are the changes that the ledger has noted, as "parked --> done".
func undrawnPageStates(ctx context.Context, db *sql.DB) (changes []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT DISTINCT was, became FROM undrawn_page_states")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var was, became int
		if err := rows.Scan(&was, &became); err != nil {
			return nil, err
		}
		changes = append(changes, pageStates[was]+" --> "+pageStates[became])
	}
	return changes, rows.Err()
}

// checkPageStates fails a test whose ledger has noted a change.
func checkPageStates(tb testing.TB, rawURL string) {
	tb.Helper()
	store, err := models.Open(rawURL)
	if err != nil {
		tb.Error(err)
		return
	}
	defer store.Close()
	db, _, err := store.Writer()
	if err != nil {
		tb.Error(err)
		return
	}
	changes, err := undrawnPageStates(context.WithoutCancel(tb.Context()), db)
	if err != nil {
		tb.Error(err)
	}
	for _, change := range changes {
		tb.Errorf("a page went %s, and docs/states.md does not draw that", change)
	}
}

// FreePageStates lets a test put pages into states by hand that they do not come into by themselves.
func FreePageStates(tb testing.TB, db *sql.DB) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), "DROP TRIGGER IF EXISTS page_states"); err != nil {
		tb.Fatal(err)
	}
}
