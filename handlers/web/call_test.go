package web

import (
	"net/http/httptest"
	"testing"
)

// TestWithKey: a form's key stands for the form, whatever the headers said.
func TestWithKey(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
	r.Header.Set("Idempotency-Key", "of the header")
	call := CallOf(r)
	call.Raw = []byte("as it came")

	form := call.WithKey("of the form", []byte("body"))
	idem, err := form.Idempotency(form.Raw)
	want, _ := call.Idempotency([]byte("body"))
	if err != nil || idem.Key != "of the form" || idem.BodyHash != want.BodyHash {
		t.Errorf("%v: %+v", err, idem)
	}
	if idem, err = call.Idempotency(call.Raw); err != nil || idem.Key != "of the header" {
		t.Errorf("the call itself has changed: %v %q", err, idem.Key)
	}
	none := call.WithKey("", nil)
	if idem, err = none.Idempotency(none.Raw); err != nil || idem.Key != "" {
		t.Errorf("%v: an empty key is %q", err, idem.Key)
	}
	blank := call.WithKey(" ", nil)
	if _, err = blank.Idempotency(nil); err == nil {
		t.Error("a blank key passes")
	}
}
