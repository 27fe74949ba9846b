package openim

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	double "carillon/internal/testkit/openim"
	"carillon/models"
)

func (k *kit) channel(c *Client) *Channel {
	k.t.Helper()
	ch, err := New(c)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(ch.Close)
	return ch
}

// batchOf is n users, u000001 up.
func batchOf(n int) channels.Batch {
	b := channels.Batch{CampaignID: "01J00000000000000000000000", OperationID: "trace/7", Message: &models.Message{
		SendID: "imAdmin", SenderNickname: "Gordon", Content: json.RawMessage(`{"content":"hello"}`), ContentType: 101, SessionType: 1,
	}}
	for i := range n {
		id := fmt.Sprintf("u%06d", i+1)
		b.Recipients = append(b.Recipients, channels.Recipient{UserID: id, ClientMsgID: models.ClientMsgID(b.CampaignID, models.KindUser, id), Attempt: 1})
	}
	return b
}

func group(b *channels.Batch) {
	b.Message.SessionType = 3
	b.Recipients = []channels.Recipient{{GroupID: "g1", ClientMsgID: models.ClientMsgID(b.CampaignID, models.KindGroup, "g1"), Attempt: 1}}
}

func maybeSent(b *channels.Batch) {
	for i := range b.Recipients {
		b.Recipients[i].MaybeSent, b.Recipients[i].Attempt = true, 2
	}
}

func atMostOnce(b *channels.Batch) { b.AtMostOnce = true }

// calls are the requests of a row by a letter each, in the order of the double's log: s = send_msg, c = check, a =
// account_check, t = get_admin_token.
func (k *kit) calls() string {
	var all strings.Builder
	for _, l := range k.lines("") {
		all.WriteString(map[string]string{routeSend: "s", routeCheck: "c", routeAccounts: "a", routeAdminToken: "t"}[l.Route])
	}
	return all.String()
}

func code(code int, text string) double.Fault {
	return double.Fault{Kind: double.Code, Code: code, Text: text}
}

func delivers(f double.Fault) double.Fault {
	f.Delivers = true
	return f
}

func status(status int) double.Fault { return double.Fault{Kind: double.Status, Status: status} }

// on puts a fault on another route than send_msg.
func on(route string, f double.Fault) double.Fault {
	f.Route = route
	return f
}

func once(f double.Fault) double.Fault {
	f.Times = 1
	return f
}

// The table of docs/openim.md, row by row: what an answer makes of a recipient, and which calls are made.
func TestTable(t *testing.T) {
	type o = channels.Outcome
	closed, html := double.Fault{Kind: double.Closed}, double.Fault{Kind: double.Malformed}
	lost := "the connection broke before the answer was complete"
	for _, tc := range []struct {
		name   string
		faults []double.Fault
		change []func(*channels.Batch)
		want   channels.Outcome // ErrMsg: its beginning
		calls  string           // behind the first t
	}{
		{name: "sent", calls: "s"},
		{name: "group", change: []func(*channels.Batch){group}, calls: "s"},
		{name: "refuses messages", faults: []double.Fault{{Kind: double.Refuses}}, want: o{Result: channels.Skipped, ErrMsg: "refuses messages"}, calls: "s"},

		// This recipient.
		{name: "unknown user", faults: []double.Fault{{Kind: double.Unknown, Users: "u*"}}, want: o{Result: channels.Failed, ErrCode: 1004, ErrMsg: "OpenIM has no such user"}, calls: "sa"},
		{name: "1004 of something else", faults: []double.Fault{code(1004, "x")}, want: o{Result: channels.Retry, ErrCode: 1004, ErrMsg: "OpenIM did not find something that the message needs"}, calls: "sa"},
		{name: "1004 of a group", faults: []double.Fault{code(1004, "x")}, change: []func(*channels.Batch){group}, want: o{Result: channels.Failed, ErrCode: 1004, ErrMsg: "OpenIM has no such group"}, calls: "sa"},
		{name: "1004, not confirmed", faults: []double.Fault{code(1004, "x"), on(routeAccounts, status(503))}, want: o{Result: channels.Retry, ErrCode: 1004, Fault: channels.Stumble, ErrMsg: "OpenIM did not find the recipient, the sender, or something else: OpenIM cannot answer"}, calls: "sa"},
		{name: "1101", faults: []double.Fault{code(1101, "")}, want: o{Result: channels.Failed, ErrCode: 1101, ErrMsg: "OpenIM has no such user (1101 UserIDNotFoundError)"}, calls: "s"},
		{name: "1302", faults: []double.Fault{code(1302, "")}, want: o{Result: channels.Failed, ErrCode: 1302, ErrMsg: "the recipient has blocked the sender (1302 BlockedByPeer)"}, calls: "s"},
		{name: "1303", faults: []double.Fault{code(1303, "")}, want: o{Result: channels.Failed, ErrCode: 1303, ErrMsg: "the recipient is no friend of the sender's (1303 NotPeersFriend)"}, calls: "s"},
		{name: "1001 not sent", faults: []double.Fault{code(1001, "message is not sent")}, want: o{Result: channels.Failed, ErrCode: 1001, ErrMsg: "OpenIM did not send the message (1001 ArgsError): message is not sent"}, calls: "s"},
		{name: "1201", faults: []double.Fault{code(1201, "")}, change: []func(*channels.Batch){group}, want: o{Result: channels.Failed, ErrCode: 1201, ErrMsg: "OpenIM has no such group"}, calls: "s"},
		{name: "1203", faults: []double.Fault{code(1203, "")}, change: []func(*channels.Batch){group}, want: o{Result: channels.Failed, ErrCode: 1203, ErrMsg: "the sender is not in the group"}, calls: "s"},
		{name: "1204", faults: []double.Fault{code(1204, "")}, change: []func(*channels.Batch){group}, want: o{Result: channels.Failed, ErrCode: 1204, ErrMsg: "the group is dismissed"}, calls: "s"},
		{name: "1402", faults: []double.Fault{code(1402, "")}, change: []func(*channels.Batch){group}, want: o{Result: channels.Failed, ErrCode: 1402, ErrMsg: "the sender is muted in the group"}, calls: "s"},
		{name: "1403", faults: []double.Fault{code(1403, "")}, change: []func(*channels.Batch){group}, want: o{Result: channels.Failed, ErrCode: 1403, ErrMsg: "the group is muted"}, calls: "s"},
		{name: "webhook's code", faults: []double.Fault{code(20001, "spam")}, want: o{Result: channels.Failed, ErrCode: 20001, ErrMsg: "a webhook of OpenIM's stopped the message (20001 Error20001): spam"}, calls: "s"},
		{name: "unknown code", faults: []double.Fault{code(1999, "")}, want: o{Result: channels.Failed, ErrCode: 1999, ErrMsg: "OpenIM did not take the message (1999"}, calls: "s"},

		// The campaign.
		{name: "unbound", change: []func(*channels.Batch){func(b *channels.Batch) { b.Message.SendID = "" }}, want: o{Result: channels.Failed, Campaign: true, ErrCode: 1001, HTTP: 400, ErrMsg: "OpenIM cannot read the message (1001 ArgsError): sendID is required"}, calls: "s"},
		{name: "1002", faults: []double.Fault{code(1002, "")}, want: o{Result: channels.Failed, Campaign: true, ErrCode: 1002, ErrMsg: "OpenIM does not let the admin send: CARILLON_OPENIM_ADMIN"}, calls: "s"},
		{name: "content", change: []func(*channels.Batch){func(b *channels.Batch) { b.Message.Content = json.RawMessage(`{}`) }}, want: o{Result: channels.Failed, Campaign: true, ErrCode: 500, ErrMsg: "the content does not fit its contentType (500 ServerInternalError): Field validation for 'content'"}, calls: "s"},
		{name: "decoding", change: []func(*channels.Batch){func(b *channels.Batch) { b.Message.Content = json.RawMessage(`{"content":7}`) }}, want: o{Result: channels.Failed, Campaign: true, ErrCode: 500, ErrMsg: "the content does not fit its contentType"}, calls: "s"},
		{name: "unknown sender", change: []func(*channels.Batch){func(b *channels.Batch) { b.Message.SendID = "nobody" }}, want: o{Result: channels.Failed, Campaign: true, ErrCode: 1004, ErrMsg: "the sender is no user of OpenIM"}, calls: "sa"},
		{name: "bad token twice", faults: []double.Fault{code(1505, "")}, want: o{Result: channels.Failed, Campaign: true, ErrCode: 1505, ErrMsg: "OpenIM refuses the admin token (1505 TokenUnknownError)"}, calls: "sts"},

		// The token.
		{name: "1501", faults: []double.Fault{once(code(1501, ""))}, calls: "sts"},
		{name: "1506", faults: []double.Fault{once(double.Fault{Kind: double.Kicked})}, calls: "sts"},
		{name: "1507", faults: []double.Fault{once(code(1507, ""))}, calls: "sts"},
		{name: "1502", faults: []double.Fault{once(code(1502, ""))}, calls: "sts"},
		{name: "1506 for ever", faults: []double.Fault{code(1506, "")}, want: o{Result: channels.Retry, ErrCode: 1506, ErrMsg: "OpenIM refuses the admin token (1506"}, calls: "sts"},

		// Later.
		{name: "429", faults: []double.Fault{{Kind: double.Status, Status: 429, Wait: double.Duration(7 * time.Second)}}, want: o{Result: channels.Retry, ErrCode: 429, HTTP: 429, RetryAfter: 7 * time.Second, ErrMsg: "OpenIM did not take the message (429"}, calls: "s"},
		{name: "429 without a time", faults: []double.Fault{status(429)}, want: o{Result: channels.Retry, ErrCode: 429, HTTP: 429, RetryAfter: time.Second, ErrMsg: "OpenIM did not"}, calls: "s"},
		{name: "HTTP 500", faults: []double.Fault{status(500)}, want: o{Result: channels.Retry, ErrCode: 80000, HTTP: 500, Fault: channels.Stumble, Unsure: true, ErrMsg: "OpenIM cannot answer /msg/send_msg now (HTTP 500 Internal Server Error)"}, calls: "s"},
		{name: "HTTP 502", faults: []double.Fault{status(502)}, want: o{Result: channels.Retry, ErrCode: 80000, HTTP: 502, Fault: channels.Away, Unsure: true, ErrMsg: "OpenIM cannot answer"}, calls: "s"},
		{name: "HTTP 503", faults: []double.Fault{status(503)}, want: o{Result: channels.Retry, ErrCode: 80000, HTTP: 503, Fault: channels.Away, ErrMsg: "OpenIM cannot answer"}, calls: "s"},
		{name: "500", faults: []double.Fault{code(500, "boom")}, want: o{Result: channels.Retry, ErrCode: 500, Fault: channels.Stumble, Unsure: true, ErrMsg: "OpenIM did not take the message (500 ServerInternalError): boom"}, calls: "s"},
		{name: "90002", faults: []double.Fault{code(90002, "")}, want: o{Result: channels.Retry, ErrCode: 90002, Fault: channels.Stumble, Unsure: true, ErrMsg: "OpenIM did not"}, calls: "s"},
		{name: "90004", faults: []double.Fault{code(90004, "")}, want: o{Result: channels.Retry, ErrCode: 90004, Fault: channels.Stumble, Unsure: true, ErrMsg: "OpenIM did not"}, calls: "s"},
		{name: "80000", faults: []double.Fault{code(80000, "")}, want: o{Result: channels.Retry, ErrCode: 80000, Fault: channels.Stumble, Unsure: true, ErrMsg: "a webhook of OpenIM's failed (80000 CallbackError)"}, calls: "s"},
		{name: "gRPC 4", faults: []double.Fault{code(4, "")}, want: o{Result: channels.Retry, ErrCode: 4, Fault: channels.Stumble, Unsure: true, ErrMsg: "OpenIM did not"}, calls: "s"},
		{name: "gRPC 8", faults: []double.Fault{code(8, "")}, want: o{Result: channels.Retry, ErrCode: 8, Fault: channels.Stumble, ErrMsg: "OpenIM did not"}, calls: "s"},
		{name: "gRPC 14", faults: []double.Fault{code(14, "")}, want: o{Result: channels.Retry, ErrCode: 14, Fault: channels.Away, Unsure: true, ErrMsg: "OpenIM did not"}, calls: "s"},

		// No clear answer: asked about at once.
		{name: "lost", faults: []double.Fault{closed}, want: o{Result: channels.Ambiguous, ErrCode: 90004, Fault: channels.Stumble, ErrMsg: lost}, calls: "sc"},
		{name: "lost and delivered", faults: []double.Fault{delivers(closed)}, calls: "sc"},
		{name: "cut and delivered", faults: []double.Fault{delivers(double.Fault{Kind: double.Cut})}, calls: "sc"},
		{name: "lost, not to be asked", faults: []double.Fault{delivers(closed), on(routeCheck, status(500))}, want: o{Result: channels.Ambiguous, ErrCode: 90004, Fault: channels.Stumble, ErrMsg: lost}, calls: "sc"},
		{name: "lost, asked with a kicked token", faults: []double.Fault{delivers(closed), on(routeCheck, once(double.Fault{Kind: double.Kicked}))}, calls: "sctc"},
		{name: "a page", faults: []double.Fault{html}, want: o{Result: channels.Ambiguous, ErrCode: 80000, ErrMsg: "/msg/send_msg was answered by something that is no OpenIM API"}, calls: "sc"},
		{name: "a page of 404", faults: []double.Fault{status(404)}, want: o{Result: channels.Retry, Foreign: true, ErrCode: 80000, HTTP: 404, ErrMsg: "/msg/send_msg was answered by something that is no OpenIM API (HTTP 404 Not Found)"}, calls: "s"},
		{name: "at most once, lost", faults: []double.Fault{closed}, change: []func(*channels.Batch){atMostOnce}, want: o{Result: channels.Ambiguous, ErrCode: 90004, Fault: channels.Stumble, ErrMsg: lost}, calls: "sc"},
		{name: "at most once, 500 and delivered", faults: []double.Fault{delivers(status(500))}, change: []func(*channels.Batch){atMostOnce}, calls: "sc"},
		{name: "at most once, 500", faults: []double.Fault{status(500)}, change: []func(*channels.Batch){atMostOnce}, want: o{Result: channels.Retry, ErrCode: 80000, HTTP: 500, Fault: channels.Stumble, Unsure: true, ErrMsg: "OpenIM cannot"}, calls: "sc"},

		// An earlier attempt may have arrived: asked about first.
		{name: "asked first", change: []func(*channels.Batch){maybeSent}, calls: "cs"},
		{name: "asked first, the token kicked", faults: []double.Fault{on(routeCheck, once(double.Fault{Kind: double.Kicked}))}, change: []func(*channels.Batch){maybeSent}, calls: "ctcs"},
		{name: "cannot be asked now", faults: []double.Fault{on(routeCheck, status(503))}, change: []func(*channels.Batch){maybeSent}, want: o{Result: channels.Retry, ErrCode: 80000, HTTP: 503, Fault: channels.Away, ErrMsg: "OpenIM cannot answer"}, calls: "c"},
		{name: "cannot be asked: lost", faults: []double.Fault{on(routeCheck, closed)}, change: []func(*channels.Batch){maybeSent}, want: o{Result: channels.Retry, ErrCode: 90004, Fault: channels.Stumble, ErrMsg: lost}, calls: "c"},
		{name: "cannot be asked: a page", faults: []double.Fault{on(routeCheck, html)}, change: []func(*channels.Batch){maybeSent}, want: o{Result: channels.Retry, Foreign: true, ErrCode: 80000, ErrMsg: "/msg/"}, calls: "c"},
		{name: "no such route", faults: []double.Fault{on(routeCheck, status(404))}, change: []func(*channels.Batch){maybeSent}, calls: "cs"},
		{name: "at most once, asked first", change: []func(*channels.Batch){maybeSent, atMostOnce}, want: o{Result: channels.Ambiguous, ErrCode: 90004, ErrMsg: "it may have been sent"}, calls: "c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, 1, tc.faults...)
			c := k.channel(k.client(away(t)))
			b := batchOf(1)
			for _, change := range tc.change {
				change(&b)
			}
			told := 0
			b.Answered = func(from int, of []channels.Outcome, took time.Duration) {
				told++
				if from != 0 || len(of) != 1 || took <= 0 {
					t.Errorf("told of %d: %+v, %s", from, of, took)
				}
			}
			out := c.Send(t.Context(), b)
			got, wants := out[0], tc.want
			if !strings.HasPrefix(got.ErrMsg, wants.ErrMsg) || wants.ErrMsg == "" && got.ErrMsg != "" {
				t.Errorf("says %q, not %q", got.ErrMsg, wants.ErrMsg)
			}
			if told := got.Result == channels.Sent && strings.HasSuffix(tc.calls, "s"); told != (got.ServerMsgID != "") {
				t.Errorf("serverMsgID %q", got.ServerMsgID)
			}
			said := got.ErrMsg
			got.ErrMsg, wants.ErrMsg, got.ServerMsgID = "", "", ""
			if got != wants {
				t.Errorf("got  %+v\nwant %+v", got, wants)
			}
			if calls := strings.TrimPrefix(k.calls(), "t"); calls != tc.calls {
				t.Errorf("calls %q, want %q", calls, tc.calls)
			}
			if told != 1 {
				t.Errorf("was told %d times", told)
			}
			k.sameOperation()
			for _, never := range []string{secret, "eyJ"} {
				if strings.Contains(said, never) {
					t.Errorf("tells a secret: %s", said)
				}
			}
		})
	}
}

// sameOperation: all requests for a recipient have one operationID.
func (k *kit) sameOperation() {
	k.t.Helper()
	ops := map[string]bool{}
	for _, l := range k.lines("") {
		if l.Route == routeSend || l.Route == routeCheck {
			ops[l.OperationID] = true
			if !strings.HasPrefix(l.OperationID, "trace_7-") || len(l.OperationID) != len("trace_7-")+32 {
				k.t.Errorf("operationID %q", l.OperationID)
			}
		}
	}
	if len(ops) != 1 {
		k.t.Errorf("operationIDs %v", ops)
	}
}

// What a refusal of the token makes of a chunk: no request goes out, and nobody is failed one by one.
func TestNoToken(t *testing.T) {
	k := newKit(t, 3)
	for _, tc := range []struct {
		name   string
		config func(*Config)
		fault  double.Fault
		want   channels.Outcome
	}{
		{"wrong secret", func(c *Config) { c.Secret = "another" }, double.Fault{Kind: double.Slow}, channels.Outcome{Result: channels.Failed, Campaign: true, ErrCode: 1002}},
		{"no admin", func(c *Config) { c.Admin = "u000001" }, double.Fault{Kind: double.Slow}, channels.Outcome{Result: channels.Failed, Campaign: true, ErrCode: 1002}},
		{"a page", nil, double.Fault{Kind: double.Malformed}, channels.Outcome{Result: channels.Retry, Foreign: true, ErrCode: models.CodeCallback}},
		{"503", nil, status(503), channels.Outcome{Result: channels.Retry, Fault: channels.Away, HTTP: 503, ErrCode: models.CodeCallback}},
		{"lost", nil, double.Fault{Kind: double.Closed}, channels.Outcome{Result: channels.Retry, Fault: channels.Away, ErrCode: models.CodeNetwork}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := k.Behave(t.Context(), double.Manners{Faults: []double.Fault{on(routeAdminToken, tc.fault)}}); err != nil {
				t.Fatal(err)
			}
			b := batchOf(3)
			told := 0
			b.Answered = func(from int, of []channels.Outcome, _ time.Duration) { told += len(of) }
			c := k.channel(k.client(away(t), func(c *Config) {
				if tc.config != nil {
					tc.config(c)
				}
			}))
			for _, got := range c.Send(t.Context(), b) {
				if got.ErrMsg == "" || strings.Contains(got.ErrMsg, secret) {
					t.Errorf("says %q", got.ErrMsg)
				}
				if got.ErrMsg = ""; got != tc.want {
					t.Errorf("got %+v, want %+v", got, tc.want)
				}
			}
			if told != 3 {
				t.Errorf("was told of %d", told)
			}
		})
	}
	if n := k.seen().Requests[routeSend]; n != 0 {
		t.Errorf("%d sends", n)
	}
}

// A chunk with everything in it: each recipient has their own outcome, all 1004 are confirmed by one call, and the token is
// renewed once.
func TestChunk(t *testing.T) {
	k := newKit(t, 60, double.Fault{Kind: double.Unknown, Users: "*1"}, double.Fault{Kind: double.Refuses, Users: "*2"},
		double.Fault{Kind: double.Closed, Delivers: true, Users: "u00005[3-9]"}, double.Fault{Kind: double.Kicked, Times: 1})
	c := k.channel(k.client(redisAt(t, testkit.EmbeddedRedisURL(t))))
	b := batchOf(60)
	out := c.Send(t.Context(), b)
	for i, o := range out {
		want := channels.Sent
		switch b.Recipients[i].UserID[6] {
		case '1':
			want = channels.Failed
		case '2':
			want = channels.Skipped
		}
		if o.Result != want {
			t.Errorf("%s: %+v", b.Recipients[i].UserID, o)
		}
	}
	s := k.seen()
	if s.Requests[routeAccounts] != 1 || s.Issued != 2 || s.Repeats != 0 || s.Delivered != 48 || s.Requests[routeCheck] != 7 {
		t.Errorf("%+v", s)
	}
	ids := map[string]string{}
	for _, l := range k.lines(routeSend) {
		if l.Delivered {
			ids[l.RecvID] = l.ServerMsgID
		}
	}
	for i, o := range out {
		if o.ServerMsgID != "" && o.ServerMsgID != ids[b.Recipients[i].UserID] {
			t.Errorf("%s has the serverMsgID of another", b.Recipients[i].UserID)
		}
	}
	// Another Send of the same: asked first, nobody gets it twice.
	maybeSent(&b)
	for i, o := range c.Send(t.Context(), b) {
		if b.Recipients[i].UserID[6] > '2' && o.Result != channels.Sent {
			t.Errorf("%s: %+v", b.Recipients[i].UserID, o)
		}
	}
	if s := k.seen(); s.Repeats != 0 || s.Delivered != 48 {
		t.Errorf("%+v", s)
	}
}

// The caller may stop a chunk at any request, the follow-ups included.
func TestMayStart(t *testing.T) {
	k := newKit(t, 1, double.Fault{Kind: double.Closed, Delivers: true})
	c := k.channel(k.client(away(t)))
	for may, want := range []struct {
		result channels.Result
		calls  string
	}{
		{channels.NotTried, ""}, {channels.NotTried, "t"}, {channels.Ambiguous, "ts"}, {channels.Sent, "tsc"},
	} {
		b := batchOf(1)
		b.Recipients[0].ClientMsgID = fmt.Sprintf("%032d", may)
		left := may
		b.MayStart = func() bool { left--; return left >= 0 }
		before := len(k.calls())
		if may > 1 {
			want.calls = strings.TrimPrefix(want.calls, "t") // it is there by now
		}
		if o := c.Send(t.Context(), b)[0]; o.Result != want.result || k.calls()[before:] != want.calls {
			t.Errorf("%d may start: %+v, calls %q", may, o, k.calls()[before:])
		}
	}
	// An ask that may start, and a send that may not: not tried.
	b := batchOf(1)
	maybeSent(&b)
	b.Recipients[0].ClientMsgID = strings.Repeat("e", 32)
	left := 2
	b.MayStart = func() bool { left--; return left >= 0 }
	if o := c.Send(t.Context(), b)[0]; o.Result != channels.NotTried {
		t.Errorf("%+v", o)
	}
}

// When the context ends, nothing more is begun, and what is under way is said as it is.
func TestStopped(t *testing.T) {
	k := newKit(t, 1, double.Fault{Kind: double.Hangs, Delivers: true})
	c := k.channel(k.client(away(t)))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		testkit.Eventually(t, "the send is at the double", testkit.Patience, func() bool { return len(k.lines(routeSend)) > 0 })
		cancel()
	}()
	if o := c.Send(ctx, batchOf(1))[0]; o.Result != channels.Ambiguous || !o.Stopped {
		t.Errorf("%+v", o)
	}
	if o := c.Send(ctx, batchOf(1))[0]; o.Result != channels.Retry || !o.Stopped {
		t.Errorf("%+v", o)
	}
	if calls := k.calls(); calls != "ts" {
		t.Errorf("calls %q", calls)
	}
}
