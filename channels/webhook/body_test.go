package webhook

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

// wireItem is one recipient as it stands in the body.
type wireItem struct {
	RecvID      string `json:"recvID,omitempty"`
	GroupID     string `json:"groupID,omitempty"`
	ClientMsgID string `json:"clientMsgID"`
}

// plainBody is what the body must be, by encoding/json alone.
func plainBody(t *rapid.T, b channels.Batch) []byte {
	items := make([]wireItem, len(b.Recipients))
	for i, r := range b.Recipients {
		items[i] = wireItem{RecvID: r.UserID, GroupID: r.GroupID, ClientMsgID: r.ClientMsgID}
	}
	body, err := json.Marshal(map[string]any{
		"campaignID": b.CampaignID, "operationID": b.OperationID, "message": b.Message, "recipients": items,
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func testEncoder(t testing.TB, target string) *encoder {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	key, err := decodeSecret(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	_, head, err := provider.New(u, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return newEncoder(head, key)
}

// rendered is the request as it goes over the wire.
func rendered(t interface{ Fatal(...any) }, e *encoder, b channels.Batch, unix int64) string {
	message, err := e.messages.Of(b)
	if err != nil {
		t.Fatal(err)
	}
	s := e.scratch.Get().(*scratch)
	defer e.scratch.Put(s) // the next request must not see what this one left
	s.render(e.head, message, b.Recipients, unix, "")
	return string(s.text)
}

// Whatever the IDs, a provider reads what encoding/json would have written, and the signature holds.
func TestEncoder(t *testing.T) {
	e := testEncoder(t, "https://example.org:8443/a%2Fb?token=x%20y&z")
	verifier, err := standardwebhooks.NewWebhook(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	id := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9<>&"\\/é\x{1F600}\x{2028}\t\x00-\x1f]{1,64}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		b := channels.Batch{CampaignID: id.Draw(t, "campaign"), OperationID: id.Draw(t, "operation"), Message: &models.Message{
			SendID: id.Draw(t, "sender"), Content: json.RawMessage(`{"content":"a <b> & é"}`), ContentType: 101, Ex: id.Draw(t, "ex"),
		}}
		// Drawn campaigns may repeat with another message, which real ones do not.
		b.CampaignID += fmt.Sprint(b.OperationID, b.Message.SendID, b.Message.Ex)
		for i := range rapid.IntRange(1, 5).Draw(t, "n") {
			r := channels.Recipient{ClientMsgID: fmt.Sprintf("%032x", i)}
			if rapid.Bool().Draw(t, "group") {
				r.GroupID = id.Draw(t, "id")
			} else {
				r.UserID = id.Draw(t, "id")
			}
			b.Recipients = append(b.Recipients, r)
		}
		unix := time.Now().Unix()
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(rendered(t, e, b, unix))))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || int64(len(body)) != req.ContentLength {
			t.Fatalf("%d bytes, Content-Length %d: %v", len(body), req.ContentLength, err)
		}
		var got, want any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		if err := json.Unmarshal(plainBody(t, b), &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("body %q, want the like of %q", body, plainBody(t, b))
		}
		if !utf8.Valid(body) {
			t.Fatalf("body %q is not UTF-8", body)
		}
		if content := string(b.Message.Content); !strings.Contains(string(body), content) {
			t.Fatalf("body %q has not the content as it was given", body)
		}
		if err := verifier.Verify(body, req.Header); err != nil {
			t.Fatal(err)
		}
		if k := requestKey(b.Recipients); req.Header.Get("Webhook-Id") != k || req.Header.Get("Idempotency-Key") != k {
			t.Fatalf("keys %v", req.Header)
		}
	})
}
