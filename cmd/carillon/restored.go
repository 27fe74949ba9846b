package main

import (
	"encoding/json"
	"fmt"

	"carillon/models"
)

type restoredCmd struct {
	JSON bool `name:"json" help:"Print how many campaigns are held as JSON."`
}

// Help is shown by carillon restored --help.
func (restoredCmd) Help() string {
	return `A ledger that was restored from a backup does not know what was sent since, and would send it again. Run this before the first carillon serve after a restore: every campaign that has not ended is paused, and slots of schedules up to now do not fire. Then resume what may go on, or cancel it.

    carillon migrate
    carillon restored
    carillon campaigns list --status paused
    carillon campaigns resume 01J9ZQ4X…

Where Redis was not lost with the database, carillon serve finds out by itself and does the same. It cannot when Redis is new, or inside carillon serve.`
}

// Run holds what has not ended.
func (c *restoredCmd) Run(a *app) error {
	return withLedger(a, func(ledger *models.Store) error {
		n, err := ledger.Restored(a.ctx)
		if err != nil {
			return err
		}
		a.notify(ledger, "the ledger was restored; its campaigns are held until an operator resumes them", "", n)
		if c.JSON {
			return json.NewEncoder(a.stdout).Encode(map[string]any{"held": n})
		}
		_, err = fmt.Fprintf(a.stdout, "%d campaigns are held until you resume or cancel them; slots of schedules up to now do not fire\n", n)
		return err
	})
}
