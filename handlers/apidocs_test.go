package handlers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"carillon/internal/testkit"
)

// heardPage is what a page asked for, and what the browser had to say about it.
type heardPage struct {
	mu     sync.Mutex
	asked  []string
	faults []string
}

func (h *heardPage) hear(event any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		h.asked = append(h.asked, e.Request.URL)
	case *log.EventEntryAdded:
		h.faults = append(h.faults, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		h.faults = append(h.faults, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			h.faults = append(h.faults, fmt.Sprintf("%s: %v", e.Type, e.Args))
		}
	}
}

// tryIt finds an operation in the page, presses its button, and says what the page then shows.
const tryIt = `(async () => {
	const until = async f => {
		for (let i = 0; i < 500; i++) {
			const found = f()
			if (found) return found
			await new Promise(next => setTimeout(next, 20))
		}
		throw new Error("the page does not come so far: " + f)
	}
	const page = document.querySelector("rapi-doc").shadowRoot
	const shown = await until(() => page.querySelector("[id='get-/v1/users']"))
	const request = (await until(() => shown.querySelector("api-request"))).shadowRoot
	const button = await until(() => request.querySelector(".m-btn.primary"))
	button.click()
	const said = await until(() => request.querySelector(".response-message"))
	const answer = await until(() => said.textContent.includes("Status") && (request.querySelector(".response-panel") || request).querySelector("json-tree, syntax-highlighter"))
	return said.textContent + " " + (answer.shadowRoot || answer).textContent
})()`

// TestDocsPage: the page at /docs shows the contract in a browser and sends a request with the browser's
// session. It asks no other server for anything, and its policy refuses nothing that it needs.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("page-user")
	_, opened := s.logIn(s.adminToken(), "")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(testkit.Chromium(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var h heardPage
	chromedp.ListenTarget(ctx, h.hear)
	var shown string
	err := chromedp.Run(ctx, network.Enable(), log.Enable(), runtime.Enable(),
		network.SetCookie(sessionCookie, session(t, opened).Value).WithURL(s.URL),
		chromedp.Navigate(s.URL+"/docs#get-/v1/users"),
		chromedp.Evaluate(tryIt, &shown, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
	)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || !strings.Contains(shown, "200") || !strings.Contains(shown, "page-user") {
		t.Errorf("%v; the page shows %q", err, shown)
	}
	for _, url := range h.asked {
		if !strings.HasPrefix(url, s.URL+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asks for %s", url)
		}
	}
	for _, fault := range h.faults {
		t.Errorf("the browser says: %s", fault)
	}
	t.Log(h.asked)
}
