package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/channels/webhook"
	"carillon/models"
)

const (
	secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	other  = "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q="
)

// start runs the receiver; it returns its URL and its further lines.
func start(t *testing.T) (url string, lines *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--listen", "127.0.0.1:0", "--secret", secret}, write)
		_ = write.CloseWithError(io.EOF)
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		_ = read.Close()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	lines = bufio.NewScanner(read)
	if !lines.Scan() {
		t.Fatal("nothing was printed")
	}
	url, ok := strings.CutPrefix(lines.Text(), "listening on ")
	if !ok {
		t.Fatalf("first line %q", lines.Text())
	}
	return url, lines
}

// send sends to two users and a group, two a request, while the printed lines are read; it returns both.
func send(t *testing.T, url, secret string, lines *bufio.Scanner, expect int) (out []channels.Outcome, printed string) {
	t.Helper()
	w, err := webhook.New(webhook.Config{URL: url, Secret: secret, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		out = w.Send(t.Context(), channels.Batch{
			CampaignID: "01JZ", OperationID: "op-7",
			Message: &models.Message{SendID: "openIMAdmin", Content: json.RawMessage(`{"content":"hello"}`), ContentType: 101, SessionType: 1},
			Recipients: []channels.Recipient{
				{UserID: "alice", ClientMsgID: "m1"}, {UserID: "bob ", ClientMsgID: "m2"}, {GroupID: "choir", ClientMsgID: "m3"},
			},
		})
	}()
	for range expect {
		if lines.Scan() {
			printed += lines.Text() + "\n"
		}
	}
	<-done
	return out, printed
}

func TestReceiver(t *testing.T) {
	url, lines := start(t)
	out, printed := send(t, url, secret, lines, 3)
	seen := map[string]bool{}
	for i, o := range out {
		if o.Result != channels.Sent || !strings.HasPrefix(o.ServerMsgID, "receiver-") || seen[o.ServerMsgID] {
			t.Errorf("outcome %d: %+v", i, o)
		}
		seen[o.ServerMsgID] = true
	}
	for _, want := range []string{
		`user "alice" from "openIMAdmin" type 101 {"content":"hello"} clientMsgID m1 campaign 01JZ operationID "op-7"` + "\n",
		`user "bob " from "openIMAdmin" type 101 {"content":"hello"} clientMsgID m2 campaign 01JZ operationID "op-7"` + "\n",
		`group "choir" from "openIMAdmin" type 101 {"content":"hello"} clientMsgID m3 campaign 01JZ operationID "op-7"` + "\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("printed\n%swithout\n%s", printed, want)
		}
	}
}

func TestReceiverRefusesAnotherSecret(t *testing.T) {
	url, lines := start(t)
	out, printed := send(t, url, other, lines, 2)
	for i, o := range out {
		if o.Result != channels.Retry || o.ErrMsg != "the provider answered 401 Unauthorized: the signature is not valid" {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
	if strings.Count(printed, "refused a request: ") != 2 || strings.Contains(printed, "alice") {
		t.Errorf("printed %q", printed)
	}
}

func TestReceiverRefusesUnsigned(t *testing.T) {
	url, lines := start(t)
	go lines.Scan() // takes the line about it
	resp, err := http.Post(url, "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %s", resp.Status)
	}
}

// The help names the variable, and not what is in it.
func TestTheHelpPrintsNoSecret(t *testing.T) {
	t.Setenv("CARILLON_WEBHOOK_SECRET", secret)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = write // where the flag package prints to
	err = run(t.Context(), []string{"--help"}, io.Discard)
	os.Stderr = stderr
	_ = write.Close()
	text, _ := io.ReadAll(read)
	if !errors.Is(err, flag.ErrHelp) || !strings.Contains(string(text), "CARILLON_WEBHOOK_SECRET") || strings.Contains(string(text), "whsec_") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRunRefusesBadFlags(t *testing.T) {
	t.Setenv("CARILLON_WEBHOOK_SECRET", "")
	for _, args := range [][]string{{}, {"--secret", "whsec_!hunter2"}, {"--secret", secret, "--listen", "nowhere:port"}} {
		if err := run(t.Context(), args, io.Discard); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
