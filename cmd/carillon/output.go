package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"carillon/models"
)

// jsonFlag is --json of what is shown once.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print it as JSON, as the API has it."`
}

// listFlags are the flags of a list.
type listFlags struct {
	Limit int  `default:"20" help:"How many."`
	JSON  bool `name:"json" help:"Print one JSON object a line, as the API has it."`
}

// page is how many entries to ask the API for at once.
func (l listFlags) page() *int {
	n := max(1, min(l.Limit, 1000))
	return &n
}

// printJSON prints a value on a line of its own.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printList prints up to l.Limit entries of a list: as JSON, or as a table with a head. Each row has
// as many cells as the head. Where the list is empty the table is its head alone.
func printList[T any](a *app, l listFlags, list iter.Seq2[T, error], head []string, row func(T) []string) error {
	if l.Limit < 1 {
		return errors.New("--limit must be 1 or more")
	}
	t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	n, begun := 0, l.JSON
	begin := func() { // not before there is something to show, or nothing is wrong
		if !begun {
			begun = true
			fmt.Fprintln(t, strings.Join(head, "\t"))
		}
	}
	for one, err := range list {
		if err != nil {
			return errors.Join(t.Flush(), err)
		}
		begin()
		if l.JSON {
			if err := a.printJSON(one); err != nil {
				return err
			}
		} else {
			cells := row(one)
			for i, c := range cells {
				cells[i] = models.Shown(c)
			}
			fmt.Fprintln(t, strings.Join(cells, "\t"))
		}
		if n++; n == l.Limit {
			break
		}
	}
	begin()
	return t.Flush()
}

// orDash is "-" for an empty text, so that a table's column does not seem to be missing.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// textOf is the text that p points to; empty for nil.
func textOf(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// given is nil for an empty text: the field or parameter is left out of a request.
func given[T ~string](text T) *T {
	if text == "" {
		return nil
	}
	return &text
}
