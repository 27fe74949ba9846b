package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/internal/testkit/browser"
)

// TestByKeyboardAlone: from the log-in to a paused campaign with keys alone. At each step of Tab the focus shows where it is.
// It stays there while numbers move.
func TestByKeyboardAlone(t *testing.T) {
	t.Parallel()
	site := serve(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret).ready()
	var users []string
	for i := range 60 {
		users = append(users, fmt.Sprintf(`{"userID":"user-%02d"}`, i))
	}
	if r := call(t, http.MethodPost, site+"/v1/users", adminToken(t), `{"users":[`+strings.Join(users, ",")+`]}`); r.status != http.StatusOK {
		t.Fatal(r.body)
	}
	p := browser.Open(t, site)
	focus := func(after, name string) {
		t.Helper()
		if f := p.Focus(); f.Name != name || f.Wrong != "" {
			t.Errorf("after %s the focus is at %q, not %q: %s", after, f.Name, name, f.Wrong)
		}
	}
	p.Go("/campaigns")
	p.At("/login")
	testkit.Eventually(t, "the log-in gives the focus to its field", patience, func() bool { // after it is drawn
		return p.Focus() == browser.Focus{Name: "Admin token"}
	}, func() any { return p.Focus() })
	p.Press(adminToken(t) + "\r")
	p.At("/campaigns")

	p.Press("gu")
	p.At("/users")
	p.Press("/")
	if f := p.Focus(); !strings.HasPrefix(f.Name, "Search for") || f.Wrong != "" {
		t.Errorf("/ leads to %q: %s", f.Name, f.Wrong)
	}
	p.Press("user-5\r")
	p.At("/search")
	p.Sees("user-59")

	p.Press("\t") // the first is the link past the menu
	focus("the first step of Tab", "Skip to the page")
	p.Press("\r\t") // behind the head and the menu
	if f := p.Focus(); !strings.HasPrefix(f.Name, "user-5") {
		t.Errorf("the link past the menu leads to %q", f.Name)
	}

	p.Press("gc")
	p.At("/campaigns")
	p.TabTo("New campaign")
	p.Press("\r")
	p.At("/campaigns/new")
	p.TabTo("Name")
	p.Allow("422") // which the browser calls a failure, and is the answer to a form that is refused
	p.Press("By keys\r")
	p.Sees("Who gets it: must be chosen")
	p.TabTo("Who gets it")
	p.Press("\r\t") // the reason leads to what it is about
	focus("the reason of the refusal", "All users")
	p.Press(" ")
	p.TabTo("Text") // the kind of message, and then its text
	p.TabTo("Text")
	p.Press("Good morning")
	p.TabTo("At most … a second")
	p.Press("3")
	p.TabTo("Check before it goes")
	p.Press("\r")
	p.Sees("What will happen")
	p.TabTo("It goes to all users")
	p.Press("59\r")
	p.Sees("is not the number of recipients that stands here")
	p.TabTo("It goes to all users")
	p.Press("60")
	p.TabTo("Send now to 60")
	p.Press("\r")
	p.Sees("The campaign was created.")
	p.Sees("Pause")
	p.TabTo("Pause")
	moves(p, t)
	moves(p, t)
	focus("some moves of the numbers", "Pause")
	p.Press(" ")
	p.Sees("The campaign is paused.")
	testkit.Eventually(t, "it is paused", patience, func() bool {
		return strings.Contains(get(t, site+"/v1/campaigns", adminToken(t)).body, `"status":"paused"`)
	})
}
