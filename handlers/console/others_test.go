package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"carillon/internal/testkit"
	"carillon/internal/testkit/browser"
)

// otherPage is a page that somebody else's script draws.
type otherPage struct {
	path  string
	ready string // JavaScript that is true when the page is drawn
	// theirs are selectors of what breaks a rule of axe. The script draws them so, and has no setting for it.
	theirs map[string]string
}

var otherPages = []otherPage{
	{
		path: "/docs#get-/v1/users", ready: `document.querySelector("rapi-doc")?.shadowRoot.querySelector(".expanded-endpoint-body api-request")`,
		theirs: map[string]string{
			"color-contrast":  ".method-fg, .token, .gray-text > span", // names of methods, examples in colours, "None Applied" in red
			"label":           "input.request-param",                   // fields of the request, which only the table's other column names
			"landmark-unique": "nav.nav-bar",                           // the list of operations has no name
		},
	},
	{
		path: "/monitor/", ready: `document.querySelector("#root table")`,
		theirs: map[string]string{
			"color-contrast":              ".recharts-legend-item-text",  // of the dark charts
			"heading-order":               "#root h6",                    // the only headings that it has
			"list":                        "ul.MuiList-root",             // the menu is a list of div and a
			"listitem":                    "#root li",                    // the same
			"region":                      "#root .MuiListItemText-root", // "Send Feedback" stands beside the menu
			"scrollable-region-focusable": "#root .MuiPaper-root",        // charts in a narrow window
		},
	},
}

// TestOtherPagesAreAccessible holds the contract's page and the queue's monitor to the rules of axe-core, light and dark.
func TestOtherPagesAreAccessible(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	e := &eye{Page: browser.Open(t, s.URL), t: t}
	e.Allow("A negative value is not valid") // of charts without data
	e.logIn(s)
	for _, one := range otherPages {
		for _, v := range views()[:2] {
			e.Do(v.show)
			e.Go(one.path)
			testkit.Eventually(t, one.path+" is drawn", testkit.Patience, func() bool {
				return browser.Run(e.Page, chromedp.Evaluate[bool]("!!("+one.ready+")"))
			})
			for _, fault := range one.faults(t, e.Context()) {
				t.Errorf("%s, %s: %s", one.path, v.scheme, fault)
			}
		}
	}
}

func (p otherPage) faults(t *testing.T, ctx context.Context) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, testkit.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, loadAxe); err != nil {
		t.Fatal(err)
	}
	theirs, err := json.Marshal(p.theirs)
	if err != nil {
		t.Fatal(err)
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](fmt.Sprintf(faultsOfOthers, theirs), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// faultsOfOthers are what axe finds without what is theirs.
const faultsOfOthers = `(async () => {
	const theirs = %s
	const found = await axe.run(document, {resultTypes: ["violations"], preload: false, elementRef: true})
	return found.violations.flatMap(v => v.nodes.filter(n => !theirs[v.id] || !n.element.matches(theirs[v.id]))
		.map(n => v.id + ": " + v.help + ": " + n.target.flat().join(" ") + ": " + n.html.slice(0, 200) + " " + n.failureSummary))
})()`
