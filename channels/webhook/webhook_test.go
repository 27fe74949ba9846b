package webhook

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"carillon/channels"
	"carillon/models"
)

const testSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// webhookAt is a channel that sends to url; change may set more of the config.
func channelAt(t *testing.T, url string, change ...func(*Config)) *Channel {
	t.Helper()
	cfg := Config{URL: url, Secret: testSecret}
	for _, f := range change {
		f(&cfg)
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func withBatch(n int) func(*Config) { return func(c *Config) { c.Batch = n } }

func withTimeout(d time.Duration) func(*Config) {
	return func(c *Config) { c.Timeout = d }
}

// webhookBatch is a text message for n users, u0 up.
func batchOf(n int) channels.Batch {
	b := channels.Batch{
		CampaignID:  "01JZZZZZZZZZZZZZZZZZZZZZZZ",
		OperationID: "op-1",
		Message: &models.Message{
			SendID: "openIMAdmin", SenderNickname: "Gordon", SenderFaceURL: "http://www.head.com", SenderPlatformID: 1,
			Content: json.RawMessage(`{"content":"a <b> & é"}`), ContentType: 101, SessionType: models.SessionSingle,
			OfflinePushInfo: &models.OfflinePushInfo{Title: "send message", IOSPushSound: "default", IOSBadgeCount: true},
		},
	}
	for i := range n {
		b.Recipients = append(b.Recipients, channels.Recipient{UserID: fmt.Sprintf("u%d", i), ClientMsgID: fmt.Sprintf("msg%d", i)})
	}
	return b
}

// wireBody is the body as a provider reads it.
type wireBody struct {
	CampaignID  string         `json:"campaignID"`
	OperationID string         `json:"operationID"`
	Message     map[string]any `json:"message"`
	Recipients  []wireItem     `json:"recipients"`
}

// answering is a provider that answers every request alike.
func answering(t *testing.T, status int, header map[string]string, body string) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func sendOne(t *testing.T, w *Channel) channels.Outcome {
	t.Helper()
	out := w.Send(t.Context(), batchOf(1))
	if len(out) != 1 {
		t.Fatalf("%d outcomes for one recipient", len(out))
	}
	return out[0]
}

func TestConfig(t *testing.T) {
	good := Config{URL: "https://example.org/hook", Secret: testSecret}
	w, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if w.Traits() != (channels.Traits{Name: "webhook", MaxBatch: 1, GroupEach: true, GroupOnce: true}) || good.withDefaults().Timeout != 5*time.Second {
		t.Errorf("defaults: %+v, timeout %s", w.Traits(), good.withDefaults().Timeout)
	}
	for name, change := range map[string]func(*Config){
		"no URL":              func(c *Config) { c.URL = "" },
		"relative URL":        func(c *Config) { c.URL = "/hook" },
		"other scheme":        func(c *Config) { c.URL = "ftp://example.org" },
		"password in URL":     func(c *Config) { c.URL = "https://u:hunter2@example.org" },
		"broken URL":          func(c *Config) { c.URL = "https://example.org/%zz?token=hunter2" },
		"no secret":           func(c *Config) { c.Secret = "" },
		"secret unprefixed":   func(c *Config) { c.Secret = strings.TrimPrefix(testSecret, "whsec_") },
		"secret not base64":   func(c *Config) { c.Secret = "whsec_hunter2hunter2hunter2hunter2!!" },
		"secret of 23 bytes":  func(c *Config) { c.Secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=" },
		"negative batch":      withBatch(-1),
		"batch over a page":   withBatch(1001),
		"negative timeout":    withTimeout(-1),
		"timeout over 8 secs": withTimeout(8*time.Second + 1),
	} {
		cfg := good
		change(&cfg)
		_, err := New(cfg)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error gives a secret away: %v", name, err)
		}
	}
}

func TestRequest(t *testing.T) {
	type seen struct {
		header http.Header
		body   []byte
	}
	requests := make(chan seen, 1)
	verifier, err := standardwebhooks.NewWebhook(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{r.Header.Clone(), body}
	}))
	defer srv.Close()
	if o := sendOne(t, channelAt(t, srv.URL)); o != (channels.Outcome{Result: channels.Sent}) {
		t.Fatalf("outcome %+v", o)
	}
	got := <-requests
	if err := verifier.Verify(got.body, got.header); err != nil {
		t.Errorf("signature: %v", err)
	}
	if err := verifier.Verify(append(got.body, ' '), got.header); err == nil {
		t.Error("the verifier accepts another body, so it proves nothing")
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "carillon", "webhook-id": "msg0", "Idempotency-Key": "msg0", "Accept-Encoding": "",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("header %s is %q, want %q", name, v, want)
		}
	}
	const want = `{"campaignID":"01JZZZZZZZZZZZZZZZZZZZZZZZ","operationID":"op-1","message":{"sendID":"openIMAdmin","senderNickname":"Gordon",` +
		`"senderFaceURL":"http://www.head.com","senderPlatformID":1,"content":{"content":"a <b> & é"},"contentType":101,"sessionType":1,` +
		`"isOnlineOnly":false,"notOfflinePush":false,"offlinePushInfo":{"title":"send message","desc":"","ex":"","iOSPushSound":"default",` +
		`"iOSBadgeCount":true},"ex":""},"recipients":[{"recvID":"u0","clientMsgID":"msg0"}]}`
	if g, w := canonical(t, got.body), canonical(t, []byte(want)); g != w {
		t.Errorf("body\n%s\nwant\n%s", g, w)
	}
}

// canonical renders JSON with its keys sorted and without a choice of escapes.
func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestBatches(t *testing.T) {
	for _, c := range []struct{ batch, recipients, requests int }{{1, 250, 250}, {100, 250, 3}, {100, 100, 1}, {100, 0, 0}} {
		t.Run(fmt.Sprintf("%d by %d", c.recipients, c.batch), func(t *testing.T) {
			var mu sync.Mutex
			keys := map[string]bool{}
			got := map[string]string{}
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var body wireBody
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				keys[r.Header.Get("Idempotency-Key")] = true
				if len(body.Recipients) > c.batch {
					t.Errorf("%d recipients in a request", len(body.Recipients))
				}
				var results []map[string]any
				for _, it := range body.Recipients {
					got[it.RecvID] = it.ClientMsgID
					// In reverse, so that only the ID and not the place can match.
					results = append([]map[string]any{{"recvID": it.RecvID, "status": "sent", "serverMsgID": "s-" + it.RecvID}}, results...)
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
			}))
			defer srv.Close()
			b := batchOf(c.recipients)
			out := channelAt(t, srv.URL, withBatch(c.batch)).Send(t.Context(), b)
			if len(out) != c.recipients {
				t.Fatalf("%d outcomes", len(out))
			}
			for i, r := range b.Recipients {
				if want := (channels.Outcome{Result: channels.Sent, ServerMsgID: "s-" + r.UserID}); out[i] != want {
					t.Errorf("outcome %d is %+v, want %+v", i, out[i], want)
				}
				if got[r.UserID] != r.ClientMsgID {
					t.Errorf("%s arrived with clientMsgID %q", r.UserID, got[r.UserID])
				}
			}
			if len(keys) != c.requests {
				t.Errorf("%d distinct keys, want %d", len(keys), c.requests)
			}
		})
	}
}

func TestRequestKey(t *testing.T) {
	items := func(ids ...string) (out []channels.Recipient) {
		for _, id := range ids {
			out = append(out, channels.Recipient{ClientMsgID: id})
		}
		return out
	}
	if k := requestKey(items("abc")); k != "abc" {
		t.Errorf("key of one recipient is %q", k)
	}
	if requestKey(items("a", "b")) != requestKey(items("a", "b")) {
		t.Error("the key is not stable")
	}
	distinct := map[string]bool{}
	for _, ids := range [][]string{{"a", "b"}, {"b", "a"}, {"ab", ""}, {"a", "b", "c"}, {"a", "bc"}} {
		distinct[requestKey(items(ids...))] = true
	}
	if len(distinct) != 5 {
		t.Errorf("5 lists share %d keys", len(distinct))
	}
}

func TestUnencodableMessage(t *testing.T) {
	w := channelAt(t, "http://127.0.0.1:1")
	b := batchOf(3)
	b.Message.Content = json.RawMessage(`{`)
	for _, o := range append(w.Send(t.Context(), b), w.Send(t.Context(), channels.Batch{Recipients: b.Recipients})...) {
		if o.Result != channels.Failed || o.ErrCode != models.CodeInternal {
			t.Errorf("outcome %+v", o)
		}
	}
}

func TestKeepsConnections(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.Header.Get("Idempotency-Key"), "7") {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	w := channelAt(t, srv.URL)
	for i := range 100 {
		b := batchOf(1)
		b.Recipients[0].ClientMsgID = fmt.Sprint(i)
		want := channels.Sent
		if i%10 == 7 {
			want = channels.Retry
		}
		if o := w.Send(t.Context(), b)[0]; o.Result != want {
			t.Fatalf("outcome %+v", o)
		}
	}
	// One is the rule; net/http gives a connection up when its writer is not heard of for 50 ms.
	if n := opened.Load(); n > 5 {
		t.Errorf("100 requests one after another opened %d connections", n)
	}
}
