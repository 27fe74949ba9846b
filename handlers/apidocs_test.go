package handlers

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"carillon/internal/testkit/browser"
)

// tryIt finds an operation in the page, presses its button, and says what the page then shows.
const tryIt = `(async () => {
	const until = async (what, f) => {
		for (let i = 0; i < 2000; i++) {
			const found = f()
			if (found) return found
			await new Promise(next => setTimeout(next, 20))
		}
		throw new Error("the page shows no " + what)
	}
	const page = document.querySelector("rapi-doc").shadowRoot
	const shown = await until("operation", () => page.querySelector("[id='get-/v1/users'].expanded-endpoint-body"))
	const request = await until("request", () => shown.querySelector("api-request"))
	const button = await until("button", () => request.shadowRoot.querySelector("[part~='btn-try']"))
	button.click()
	const status = await until("status", () => request.shadowRoot.querySelector(".response-message"))
	const read = () => request.responseText !== "⌛" && request.responseText // the hourglass stands there first
	return status.textContent + await until("answer", read)
})()`

// TestDocsPage: the page at /docs shows the contract in a browser and sends a request with the browser's
// session. It asks no other server for anything, and its policy refuses nothing that it needs.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("page-user")
	_, opened := s.logIn(s.adminToken(), "")
	page := browser.Open(t, s.URL)
	page.SetCookie(session(t, opened))
	page.Go("/docs#get-/v1/users")
	shown := browser.Run(page, chromedp.Evaluate[string](tryIt, chromedp.EvalAwaitPromise))
	if !strings.Contains(shown, "200") || !strings.Contains(shown, "page-user") {
		t.Errorf("the page shows %q", shown)
	}
	asked := page.Asked()
	for _, url := range asked {
		if !strings.HasPrefix(url, s.URL+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asks for %s", url)
		}
	}
	if len(asked) < 4 {
		t.Errorf("the page asks for %v alone", asked)
	}
}
