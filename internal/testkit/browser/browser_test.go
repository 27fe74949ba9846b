package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"carillon/internal/testkit"
)

// TestFaults: what a browser complains about is a fault of the test, and a policy that refuses a script is among that.
func TestFaults(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; img-src 'self'")
			fmt.Fprint(w, `<title>t</title><p onclick="1">hello</p><script>window.pwned = 1</script><img src="missing.png"><button style="color:red">Press</button><script src="script.js"></script>`)
		case "/script.js":
			fmt.Fprint(w, `console.warn("odd"); document.querySelector("button").onclick = () => { throw new Error("thrown") }`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	p := Open(t, server.URL)
	if status := p.Go("/"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	p.Sees("hello")
	p.Click("Press")
	want := []string{"inline script", "inline style", "missing.png", "thrown", "odd"}
	var faults string
	testkit.Eventually(t, "the browser complains", testkit.Patience, func() bool {
		faults = strings.Join(p.Faults(), "\n")
		for _, words := range want {
			if !strings.Contains(faults, words) {
				return false
			}
		}
		return true
	}, func() any { return faults })
	for _, allowed := range append(want, "inline event handler") {
		p.Allow(allowed)
	}
	p.Allow("/nothing")
	if status := p.Go("/nothing"); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}
