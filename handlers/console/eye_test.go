package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/gorilla/mux"

	"carillon/handlers"
	"carillon/handlers/console"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/internal/testkit/axe"
	"carillon/internal/testkit/browser"
)

// pictures is what `make pictures` gives.
var pictures = flag.String("pictures", "", "the folder for a picture of each page and state; empty = none")

// parts are routes that are no page of their own. What they answer with stands in a page, or in a file.
var parts = []string{"/assets/{name}", "/campaigns/{id}/live", "/overview/now", "/overview/chart", "/queue/now", "/schedules/preview", "/try/{userID}/live"}

// An eye is a browser that looks at pages.
type eye struct {
	*browser.Page
	t      *testing.T
	router *mux.Router
	unseen map[string]bool // routes by method and path, until a look comes by
	at     string          // the site whose page is open
	looked int             // pages
}

// newEye opens a browser. Its cookies are for all sites of this host, whatever their port.
func newEye(t *testing.T, site string) *eye {
	t.Helper()
	e := &eye{Page: browser.Open(t, site), t: t, router: mux.NewRouter().UseEncodedPath().SkipClean(true), unseen: map[string]bool{}}
	e.Allow("Failed to load resource: the server responded with a status of") // of forms that are refused, and of stores that are away
	console.New(&handlers.API{}).Add(e.router)
	err := e.router.Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err1 := r.GetPathTemplate()
		methods, err2 := r.GetMethods()
		if !slices.Contains(parts, path) {
			e.unseen[methods[0]+" "+path] = true
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// missed fails the test for each route that no look came by.
func (e *eye) missed() {
	for route := range e.unseen {
		e.t.Errorf("no look comes by %s: add one to looks, or the route to parts", route)
	}
}

// saw notes the route of a look, and tells whether no other look came by the route before.
func (e *eye) saw(l look) (isNew bool, err error) {
	method := http.MethodGet
	if l.form != nil {
		method = http.MethodPost
	}
	u, err := url.Parse(l.path)
	var m mux.RouteMatch
	if err != nil || !e.router.Match(&http.Request{Method: method, URL: u}, &m) || m.Route == nil {
		return true, err
	}
	path, err := m.Route.GetPathTemplate()
	isNew = e.unseen[method+" "+path]
	delete(e.unseen, method+" "+path)
	return isNew, err
}

func (e *eye) logIn(s *site) {
	e.t.Helper()
	at, err := url.Parse(s.URL)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, c := range s.browser.Jar.Cookies(at) {
		e.SetCookie(c)
	}
}

func (e *eye) logOut() {
	e.t.Helper()
	if err := chromedp.Do(e.Context(), chromedp.Navigate("about:blank")); err != nil {
		e.t.Fatal(err)
	}
	if _, err := chromedp.Call(e.Context(), network.DeleteCookies, network.DeleteCookiesParams{Name: web.SessionCookie, Domain: "127.0.0.1"}); err != nil {
		e.t.Fatal(err)
	}
}

// look opens a page, and holds it to the rules. A run of axe takes most of a second, so only with pictures it is all views
// of all looks. Without, a page by a new route is seen in two views. Further forms are seen in one of the two, in turn, and
// further pages are left out.
func (e *eye) look(s *site, l look) {
	e.t.Helper()
	isNew, err := e.saw(l)
	if !isNew && l.form == nil && *pictures == "" {
		return
	}
	ctx, cancel := context.WithTimeout(e.Context(), testkit.Patience)
	defer cancel()
	if err := errors.Join(err, e.open(ctx, s, l)); err != nil {
		e.t.Errorf("%s: %v", l.name, err)
		return
	}
	show := views()
	if e.looked++; !isNew && *pictures == "" {
		show = show[e.looked%2:][:1]
	}
	for _, v := range show {
		found, err := e.judge(ctx, l, v)
		if err != nil {
			e.t.Errorf("%s: %v", l.name, err)
		}
		for _, fault := range found {
			e.t.Errorf("%s, %s, %d wide: %s", l.name, v.scheme, v.width, fault)
		}
	}
}

func (e *eye) open(ctx context.Context, s *site, l look) error {
	u, err := url.Parse(s.URL + l.path)
	if err != nil {
		return err
	}
	if l.form == nil {
		err = chromedp.Do(ctx, views()[0].show, chromedp.Navigate(u.String()))
	} else {
		fields, err := json.Marshal(l.form)
		if err != nil {
			return err
		}
		send := fmt.Sprintf(`(%s)(%q, %s, %q)`, sendForm, u, fields, l.file)
		if e.at != s.URL {
			err = chromedp.Do(ctx, chromedp.Navigate(s.URL+"/login"))
		}
		if err = errors.Join(err, chromedp.Do(ctx, views()[0].show)); err != nil {
			return err
		}
		if _, err := chromedp.RunResponse(ctx, chromedp.Evaluate[chromedp.Void](send)); err != nil {
			return err
		}
	}
	e.at = s.URL
	if err == nil && l.click != "" {
		err = chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click()", l.click)))
	}
	err = errors.Join(err, chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](settled, chromedp.EvalAwaitPromise)))
	if l.anew {
		err = errors.Join(err, chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void]("window.stop()")))
	}
	return err
}

// sendForm sends a form with these fields, and with a file if there is one.
const sendForm = `(to, fields, file) => {
	const form = document.createElement("form")
	form.method = "post"
	form.action = to
	for (const [name, values] of Object.entries(fields)) {
		const area = document.createElement("textarea")
		area.name = name
		area.value = values[0]
		form.append(area)
	}
	if (file) {
		const input = document.createElement("input"), data = new DataTransfer()
		data.items.add(new File([file], "users.csv", {type: "text/csv"}))
		input.type = "file"
		input.name = "file"
		input.files = data.files
		form.enctype = "multipart/form-data"
		form.append(input)
	}
	document.body.append(form)
	form.submit()
}`

// settled waits until the page has all of its parts.
const settled = `(async () => {
	for (let i = 0; i < 500; i++) {
		if (document.readyState === "complete" && !document.querySelector(".htmx-request, [hx-trigger=load] > p:only-child > a")) return
		await new Promise(next => setTimeout(next, 20))
	}
	throw new Error("a part of the page does not come")
})()`

// A view is how somebody looks at a page.
type view struct {
	scheme string // light or dark
	width  int64  // of the screen, in CSS pixels
}

// views are of a desk and of a phone. Two of them have all that the four can show: each scheme and each width once. With
// pictures it is all four.
func views() []view {
	two := []view{{"light", 1280}, {"dark", 390}}
	if *pictures != "" {
		return append(two, view{"dark", 1280}, view{"light", 390})
	}
	return two
}

func (v view) show(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		return chromedp.Void{}, err
	}
	return chromedp.EmulateViewport(v.width, 900)(ctx, t)
}

// judge lists what is wrong with the page that is open.
func (e *eye) judge(ctx context.Context, l look, v view) (found []string, err error) {
	if err := chromedp.Do(ctx, v.show); err != nil {
		return nil, err
	}
	if *pictures != "" {
		if err := e.picture(ctx, l, v); err != nil {
			return nil, err
		}
	}
	found, err = chromedp.Run(ctx, chromedp.Evaluate[[]string](tooMuch, chromedp.EvalAwaitPromise))
	err1 := chromedp.Do(ctx, loadAxe)
	more, err2 := chromedp.Run(ctx, chromedp.Evaluate[[]string](faultsOfPage, chromedp.EvalAwaitPromise))
	return append(found, more...), errors.Join(err, err1, err2)
}

// loadAxe gives the page axe-core.
var loadAxe = chromedp.Evaluate[chromedp.Void]("if (!window.axe) {" + axe.Script + "}")

// faultsOfPage are what axe finds, and what it cannot judge.
// An open question lies above the page, whose look without the question has judged what is covered then.
const faultsOfPage = `(async () => {
	if (document.querySelector(".ask[open]")) {
		for (const e of document.querySelectorAll("main *")) e.style.visibility = e.matches("h1, h1 *, .ask[open], .ask[open] *") ? "visible" : "hidden"
	}
	const found = await axe.run(document, {rules: {"target-size": {enabled: true}}, resultTypes: ["violations", "incomplete"], preload: false})
	const faults = found.violations.flatMap(v => v.nodes.slice(0, 3).map(n => v.id + ": " + v.help + ": " + n.html.slice(0, 200) + " " + n.failureSummary))
	const unsure = found.incomplete.flatMap(v => v.nodes.slice(0, 3).map(n => "axe is not sure: " + v.id + ": " + v.help + ": " + n.html.slice(0, 200)))
	return [...faults, ...unsure]
})()`

// tooMuch is what sticks out of the screen or out of its place, and a page that takes more than 200 KB to load for the first time. encodedBodySize
// is what came over the network, also where the browser had the file already. A chart needs a moment to take its new width.
const tooMuch = `(async () => {
	const pen = document.createElement("canvas").getContext("2d")
	const see = () => {
		const faults = [], root = document.documentElement
		for (const e of document.querySelectorAll("body *")) {
			const box = e.getBoundingClientRect()
			if (e.matches("dd, h1, h2, h3, label, li, p, td, th") && e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && !e.closest(".table, .hidden, details:not([open])")) faults.push("a text sticks out of its place: " + e.outerHTML.slice(0, 200))
			if (box.width > 0 && (box.right > root.clientWidth + 1 || box.left < -1) && !e.closest(".table, .skip, .hidden")) faults.push("too wide: " + e.outerHTML.slice(0, 200))
		}
		for (const s of document.querySelectorAll("select")) {
			const style = getComputedStyle(s), arrow = 18
			pen.font = style.font
			const room = s.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - arrow
			for (const o of s.options) if (s.clientWidth > 0 && pen.measureText(o.text).width > room) faults.push("a choice is cut: " + o.outerHTML)
		}
		if (root.scrollWidth > root.clientWidth) faults.push("the page is " + root.scrollWidth + " wide, and the screen " + root.clientWidth)
		const loaded = performance.getEntries().reduce((sum, e) => sum + (e.encodedBodySize || 0), 0)
		if (loaded > 200 << 10) faults.push("a first load of " + loaded + " bytes")
		return faults
	}
	let faults = see()
	for (let i = 0; i < 100 && faults.length > 0; i++) {
		await new Promise(next => setTimeout(next, 20))
		faults = see()
	}
	return faults
})()`

func (e *eye) picture(ctx context.Context, l look, v view) error {
	raw, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*pictures, fmt.Sprintf("%s-%s-%d.png", l.name, v.scheme, v.width)), raw, 0o600)
}
