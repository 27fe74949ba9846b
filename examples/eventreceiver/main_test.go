package main

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"carillon/internal/eventhook"
	"carillon/internal/outbound"
)

const (
	secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	other  = "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q="
)

// An event that comes twice is one line, and what another has signed is refused.
func TestEventReceiver(t *testing.T) {
	var out bytes.Buffer
	handler, err := newReceiver(secret, &out)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	body := []byte(`{"at":"2026-11-27T20:46:05.123Z","kind":"campaign.completed","campaignID":"01J"}`)
	for _, signed := range []string{secret, secret, other} {
		to, err := eventhook.New(server.URL, signed, outbound.AnyNetwork)
		if err != nil {
			t.Fatal(err)
		}
		if a := to.Post(t.Context(), "evt_17_1", body); (a.Err == nil) != (signed == secret) {
			t.Errorf("%+v", a)
		}
		to.Close()
	}
	if got, want := out.String(), "evt_17_1 2026-11-27T20:46:05.123Z campaign.completed campaign \"01J\" \n"; got != want {
		t.Errorf("printed %q", got)
	}
	for _, wrong := range []string{"", "whsec_!hunter2"} {
		if _, err := newReceiver(wrong, &out); err == nil || bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
