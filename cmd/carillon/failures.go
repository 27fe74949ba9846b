package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"carillon/handlers"
	"carillon/models"
)

type failuresCmd struct {
	ID    string `arg:"" help:"The campaign."`
	Limit int    `default:"20" help:"How many reasons, the most frequent first."`
	JSON  bool   `name:"json" help:"Print one JSON object a reason."`
}

// Run counts the reasons.
func (c *failuresCmd) Run(a *app) error {
	if c.Limit < 1 {
		return errors.New("--limit must be 1 or more")
	}
	return withLedger(a, func(ledger *models.Store) error {
		v, err := ledger.Campaign(a.ctx, c.ID)
		if err != nil {
			return err
		}
		f, err := ledger.Failures(a.ctx, v.Campaign, c.Limit)
		if err != nil {
			return err
		}
		if c.JSON {
			enc := json.NewEncoder(a.stdout)
			enc.SetEscapeHTML(false)
			for _, one := range f.List {
				if err := enc.Encode(handlers.FailureJSON(one)); err != nil {
					return err
				}
			}
		} else {
			t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			if len(f.List) > 0 {
				fmt.Fprintln(t, "COUNT\tSTATUS\tERRCODE\tREASON")
			}
			for _, one := range f.List {
				fmt.Fprintf(t, "%d\t%s\t%d\t%s\n", one.Count, one.Status, one.ErrCode, models.Shown(one.ErrMsg))
			}
			if err := t.Flush(); err != nil {
				return err
			}
		}
		if c.JSON { // the sum is not an entry of the list
			return nil
		}
		_, err = fmt.Fprintf(a.stdout, "%d failed or unknown, of them %d for other reasons and %d not counted\n", f.Total, f.Rest, f.Uncounted)
		return err
	})
}
