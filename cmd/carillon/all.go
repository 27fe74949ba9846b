package main

import (
	"errors"
	"fmt"
	"strings"

	"carillon/client"
	"carillon/models"
)

// exitNothing: there was nothing to pause or resume, so nothing has changed.
const exitNothing = 3

// helpAll explains --all in the help of pause and resume.
const helpAll = `resume --all resumes exactly what the last pause --all paused, on whichever machine that was. What the guard or somebody else has paused stays paused.

With --local the command writes to the ledger, without an API. It says on stderr which way it took: "server: …" or "ledger: …".

Exit codes: 0 it was done, 3 there was nothing to pause or to resume, 1 it could not be done.`

// oneOrAll accepts either an ID or --all.
func oneOrAll(what, id string, all bool) error {
	if all == (id != "") {
		return fmt.Errorf("say which %s, or --all", what)
	}
	return nil
}

// all changes all campaigns or schedules over the API, and lists what has changed.
func (c control) all(a *app, done, what, nothing string, do func(*client.Client) (client.ChangedAll, error)) error {
	return withAPI(a, orLocal, func(api *client.Client) error {
		changed, err := do(api)
		list := []client.Named{}
		for _, some := range []*[]client.Named{changed.Campaigns, changed.Schedules} {
			if some != nil {
				list = append(list, *some...)
			}
		}
		return a.reportAll(done, what, list, c.JSON, nothing, err)
	})
}

// reportAll lists what a command with --all has changed. done is "paused" or "resumed". nothing
// says why there was nothing to do. With err, the list is not complete.
func (a *app) reportAll(done, what string, list []client.Named, asJSON bool, nothing string, err error) error {
	switch {
	case err != nil && len(list) == 0:
		return err
	case asJSON:
		if list == nil {
			list = []client.Named{}
		}
		err = errors.Join(err, a.printJSON(map[string]any{done: len(list), what: list}))
	case len(list) > 0:
		fmt.Fprintf(a.stdout, "%s %s\n", done, counted(len(list), what))
		for _, one := range list {
			fmt.Fprintln(a.stdout, strings.TrimRight(one.ID+"  "+models.Shown(one.Name), " "))
		}
	}
	if len(list) > 0 || err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "carillon: nothing was %s: %s\n", done, nothing)
	return exit(exitNothing)
}

// counted writes a number with its noun. The plural of the noun ends with an s.
func counted(n int, plural string) string {
	if n == 1 {
		return "1 " + strings.TrimSuffix(plural, "s")
	}
	return fmt.Sprintf("%d %s", n, plural)
}
