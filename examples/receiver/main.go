// Receiver is a provider to try Carillon's webhook channel with: it verifies each request's signature,
// prints one line per recipient and answers with one result per recipient.
//
//	go run ./examples/receiver --listen 127.0.0.1:9090 --secret whsec_…
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	maxBodyBytes   = 8 << 20
	maxPrintedText = 200 // bytes of a message's content on a line
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. Its first line on stdout is "listening on http://<address>".
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("receiver", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:9090", "address to listen on")
	secret := flags.String("secret", "", "the secret that Carillon signs with; the default is $CARILLON_WEBHOOK_SECRET")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *secret == "" {
		*secret = os.Getenv("CARILLON_WEBHOOK_SECRET") // as a default the help would print it
	}
	if *secret == "" {
		return errors.New("--secret is missing")
	}
	verifier, err := standardwebhooks.NewWebhook(*secret)
	if err != nil {
		return errors.New(`--secret must be "whsec_" and base64`) // err would quote part of it
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: &receiver{verifier: verifier, out: stdout}, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	_, _ = fmt.Fprintf(stdout, "listening on http://%s\n", ln.Addr())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// request is what this program reads of a body; the message holds more (see the README).
type request struct {
	CampaignID  string `json:"campaignID"`
	OperationID string `json:"operationID"`
	Message     struct {
		SendID      string          `json:"sendID"`
		Content     json.RawMessage `json:"content"`
		ContentType int             `json:"contentType"`
	} `json:"message"`
	Recipients []struct {
		RecvID      string `json:"recvID"`
		GroupID     string `json:"groupID"`
		ClientMsgID string `json:"clientMsgID"`
	} `json:"recipients"`
}

type result struct {
	RecvID      string `json:"recvID,omitempty"`
	GroupID     string `json:"groupID,omitempty"`
	Status      string `json:"status"`
	ServerMsgID string `json:"serverMsgID"`
}

type receiver struct {
	verifier *standardwebhooks.Webhook

	mu    sync.Mutex
	out   io.Writer
	count int
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusRequestEntityTooLarge)
		return
	}
	if err := rc.verifier.Verify(body, r.Header); err != nil {
		rc.print("refused a request: %v\n", err)
		http.Error(w, "the signature is not valid", http.StatusUnauthorized)
		return
	}
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		http.Error(w, "the body is not the JSON that was agreed on", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string][]result{"results": rc.accept(req)})
}

// accept prints a line per recipient and accepts them all. A real provider looks each clientMsgID up first and
// answers "sent" without delivering again when it knows it.
func (rc *receiver) accept(req request) []result {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	text := string(req.Message.Content[:min(len(req.Message.Content), maxPrintedText)])
	results := make([]result, 0, len(req.Recipients))
	for _, to := range req.Recipients {
		rc.count++
		results = append(results, result{RecvID: to.RecvID, GroupID: to.GroupID, Status: "sent", ServerMsgID: fmt.Sprintf("receiver-%d", rc.count)})
		kind, id := "user", to.RecvID
		if id == "" {
			kind, id = "group", to.GroupID
		}
		_, _ = fmt.Fprintf(rc.out, "%s %q from %q type %d %s clientMsgID %s campaign %s operationID %q\n",
			kind, id, req.Message.SendID, req.Message.ContentType, text, to.ClientMsgID, req.CampaignID, req.OperationID)
	}
	return results
}

func (rc *receiver) print(format string, args ...any) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	_, _ = fmt.Fprintf(rc.out, format, args...)
}
