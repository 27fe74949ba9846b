package eventhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"carillon/internal/outbound"
	"carillon/internal/stdwebhook"
)

const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func newReceiver(t *testing.T, url string) *Receiver {
	t.Helper()
	r, err := New(url, secret, outbound.AnyNetwork)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// What arrives is verified by another's library.
func TestPostsAreSigned(t *testing.T) {
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(body, r.Header); err != nil {
			t.Error(err)
		}
		got = r.Method + " " + r.URL.String() + " " + r.Header.Get("Webhook-Id") + " " + r.Header.Get("Content-Type") + " " + string(body)
	}))
	t.Cleanup(server.Close)
	if a := newReceiver(t, server.URL+"/hook?a=b").Post(t.Context(), "evt_1_2", []byte(`{"é":1}`)); a != (Answer{}) {
		t.Errorf("%+v", a)
	}
	if want := `POST /hook?a=b evt_1_2 application/json {"é":1}`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestHowPostsEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/302":
			http.Redirect(w, r, "/204", http.StatusFound)
		case "/429":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/rest":
			w.Header().Set("Retry-After", "90000")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/slow":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]Answer{
		"/204":  {},
		"/302":  {Err: errors.New("the receiver answered 302")},
		"/500":  {Err: errors.New("the receiver answered 500")},
		"/503":  {Err: errors.New("the receiver answered 503")},
		"/429":  {Err: errors.New("the receiver answered 429"), Away: true, Rest: 7 * time.Second},
		"/rest": {Err: errors.New("the receiver answered 503"), Away: true, Rest: time.Hour},
		"/cut":  {Err: errors.New("EOF")},
		"/slow": {Err: context.DeadlineExceeded},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		got := newReceiver(t, server.URL+path+"?token=hunter2").Post(ctx, "evt_1_2", nil)
		cancel()
		if (got.Err == nil) != (want.Err == nil) || got.Away != want.Away || got.Rest != want.Rest {
			t.Errorf("%s: %+v", path, got)
		}
		if want.Err != nil && (got.Err.Error() != want.Err.Error() || strings.Contains(got.Err.Error(), "hunter2")) {
			t.Errorf("%s: %v", path, got.Err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:1/", "http://169.254.169.254/", "http://nowhere.invalid/", strings.Replace(server.URL, "http:", "https:", 1)} {
		a := newReceiver(t, url+"?token=hunter2").Post(t.Context(), "evt_1_2", nil)
		if a.Err == nil || !a.Away || strings.Contains(a.Err.Error(), "hunter2") {
			t.Errorf("%s: %+v", url, a)
		}
	}
}

func TestTriesSayWhatToDo(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	self := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(self.Close)
	for url, want := range map[string]string{
		server.URL: "",
		strings.Replace(server.URL, "http:", "https:", 1): "write http:// in CARILLON_EVENTS_URL",
		self.URL:                  "give it a certificate",
		"http://127.0.0.1:1":      "start the receiver",
		"http://169.254.169.254/": "name another receiver in CARILLON_EVENTS_URL",
	} {
		err := newReceiver(t, url).Try(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", url, err)
		}
	}
	public, err := New(server.URL, secret, outbound.PublicNetwork)
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Try(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "CARILLON_EVENTS_NETWORKS=any") {
		t.Error(err)
	}
}

func TestWhatNoReceiverIs(t *testing.T) {
	for _, url := range []string{"", "receiver:80", "ftp://receiver", "http://", "/hook", "http://user:hunter2@receiver/", "http://\x00"} {
		if _, err := New(url, secret, outbound.AnyNetwork); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, secret := range []string{"", "hunter2", "whsec_!", "whsec_aHVudGVyMg=="} {
		if _, err := New("http://receiver/", secret, outbound.AnyNetwork); !errors.Is(err, stdwebhook.ErrSecret) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", secret, err)
		}
	}
}
