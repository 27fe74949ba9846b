// Eventreceiver takes Carillon's events: it verifies each post's signature, passes over what it has seen, and
// prints a line for each new event.
//
//	go run ./examples/eventreceiver --listen 127.0.0.1:9091 --secret whsec_…
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const maxBodyBytes = 1 << 20

func main() {
	listen := flag.String("listen", "127.0.0.1:9091", "address to listen on")
	secret := flag.String("secret", "", "the secret that Carillon signs with; the default is $CARILLON_EVENTS_SECRET")
	flag.Parse()
	if *secret == "" {
		*secret = os.Getenv("CARILLON_EVENTS_SECRET") // as a default the help would print it
	}
	if err := run(*listen, *secret, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "eventreceiver:", err)
		os.Exit(1)
	}
}

func run(listen, secret string, out io.Writer) error {
	handler, err := newReceiver(secret, out)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "listening on http://%s\n", ln.Addr())
	return (&http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}).Serve(ln)
}

// receiver keeps the IDs that it has seen in memory. A real one stores event and ID in one transaction.
type receiver struct {
	verifier *standardwebhooks.Webhook

	mu   sync.Mutex
	out  io.Writer
	seen map[string]bool
}

func newReceiver(secret string, out io.Writer) (*receiver, error) {
	if secret == "" {
		return nil, errors.New("--secret is missing")
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, errors.New(`--secret must be "whsec_" and base64`) // err would quote part of it
	}
	return &receiver{verifier: verifier, out: out, seen: map[string]bool{}}, nil
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	if err := rc.verifier.Verify(body, r.Header); err != nil {
		http.Error(w, "the signature is not valid", http.StatusUnauthorized)
		return
	}
	var event struct{ At, Kind, CampaignID, ReasonCode string }
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "the body is no event", http.StatusBadRequest)
		return
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	id := r.Header.Get(standardwebhooks.HeaderWebhookID)
	if rc.seen[id] {
		return // 200: it is taken already
	}
	rc.seen[id] = true
	_, _ = fmt.Fprintf(rc.out, "%s %s %s campaign %q %s\n", id, event.At, event.Kind, event.CampaignID, event.ReasonCode)
}
