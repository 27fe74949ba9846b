package channels

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"carillon/models"
)

func TestWebhookStatuses(t *testing.T) {
	inTwoMinutes := time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status     int
		retryAfter string
		want       Result
		least      time.Duration // of RetryAfter
		most       time.Duration
	}{
		{200, "", Sent, 0, 0},
		{204, "", Sent, 0, 0},
		{302, "", Failed, 0, 0},
		{308, "", Failed, 0, 0},
		{400, "", Failed, 0, 0},
		{401, "", Retry, 0, 0},
		{403, "", Retry, 0, 0},
		{404, "", Failed, 0, 0},
		{408, "", Retry, 0, 0},
		{410, "", Failed, 0, 0},
		{413, "", Retry, 0, 0},
		{422, "", Failed, 0, 0},
		{429, "", Retry, time.Second, time.Second},
		{429, "7", Retry, 7 * time.Second, 7 * time.Second},
		{429, "0", Retry, time.Second, time.Second},
		{429, "soon", Retry, time.Second, time.Second},
		{429, "-5", Retry, time.Second, time.Second},
		{429, inTwoMinutes, Retry, 110 * time.Second, 121 * time.Second},
		{429, "99999999999999999999999", Retry, time.Hour, time.Hour},
		{429, "Sun, 06 Nov 1994 08:49:37 GMT", Retry, time.Second, time.Second},
		{500, "", Retry, 0, 0},
		{500, "7", Retry, 0, 0},
		{502, "", Retry, 0, 0},
		{504, "", Retry, 0, 0},
		{503, "", Retry, 0, 0},
		{503, "9", Retry, 9 * time.Second, 9 * time.Second},
		{503, inTwoMinutes, Retry, 110 * time.Second, 121 * time.Second},
		{503, "Sun, 06 Nov 1994 08:49:37 GMT", Retry, 0, 0},
		{799, "", Ambiguous, 0, 0},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.retryAfter), func(t *testing.T) {
			var elsewhere atomic.Int32
			target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
			defer target.Close()
			body := ""
			if c.status != 204 {
				body = "hunter2 u0"
			}
			header := map[string]string{"Location": target.URL}
			if c.retryAfter != "" {
				header["Retry-After"] = c.retryAfter
			}
			o := sendOne(t, webhookAt(t, answering(t, c.status, header, body).URL))
			fault := NoFault
			switch c.status {
			case 500:
				fault = Stumble
			case 502, 503, 504:
				fault = Away
			}
			if o.Result != c.want || o.Fault != fault || o.RetryAfter < c.least || o.RetryAfter > c.most {
				t.Errorf("outcome %+v", o)
			}
			if unsure := slices.Contains([]int{408, 500, 502, 504}, c.status); o.Unsure != unsure {
				t.Errorf("unsure %t", o.Unsure)
			}
			if elsewhere.Load() != 0 {
				t.Error("the redirect was followed")
			}
			if c.want == Sent {
				if o != (Outcome{Result: Sent}) {
					t.Errorf("outcome %+v", o)
				}
				return
			}
			if o.ErrCode != models.CodeCallback || !strings.Contains(o.ErrMsg, fmt.Sprint(c.status)) {
				t.Errorf("errCode %d, errMsg %q", o.ErrCode, o.ErrMsg)
			}
			if strings.Contains(o.ErrMsg, "hunter2") || strings.Contains(o.ErrMsg, "u0") {
				t.Errorf("errMsg quotes the provider's body: %q", o.ErrMsg)
			}
			if redirect := c.status/100 == 3; redirect != strings.Contains(o.ErrMsg, "redirects are not followed") {
				t.Errorf("errMsg %q", o.ErrMsg)
			}
		})
	}
}

// A provider whose clock is an hour ahead and asks for 30 s is left alone for 30 s.
func TestRetryAfterByTheProvidersClock(t *testing.T) {
	ahead := time.Now().Add(time.Hour).UTC()
	h := http.Header{"Date": {ahead.Format(http.TimeFormat)}, "Retry-After": {ahead.Add(30 * time.Second).Format(http.TimeFormat)}}
	if d := retryAfter(h); d != 30*time.Second {
		t.Errorf("%s", d)
	}
}

func TestWebhookResults(t *testing.T) {
	long := strings.Repeat("é", 300)
	sent := func(id string) Outcome { return Outcome{Result: Sent, ServerMsgID: id} }
	other := func(r Result, code models.Code, msg string) Outcome {
		return Outcome{Result: r, ErrCode: code, ErrMsg: msg}
	}
	const unnamed = "the provider's results do not name this recipient"
	const unknown = "the provider's result for this recipient has no known status"
	for name, c := range map[string]struct {
		answer string
		want   [2]Outcome // of u0 and the group g
	}{
		"empty":              {``, [2]Outcome{sent(""), sent("")}},
		"not JSON":           {`OK`, [2]Outcome{sent(""), sent("")}},
		"half JSON":          {`{"results":[{"recvID":"u0","sta`, [2]Outcome{sent(""), sent("")}},
		"a JSON list":        {`[1]`, [2]Outcome{sent(""), sent("")}},
		"no results":         {`{"ok":true}`, [2]Outcome{sent(""), sent("")}},
		"results null":       {`{"results":null}`, [2]Outcome{sent(""), sent("")}},
		"results not a list": {`{"results":"fine"}`, [2]Outcome{sent(""), sent("")}},
		"results empty":      {`{"results":[]}`, [2]Outcome{other(Ambiguous, 80000, unnamed), other(Ambiguous, 80000, unnamed)}},
		"each": {`{"results":[{"groupID":"g","status":"retry","errCode":5,"errMsg":"busy"},{"recvID":"u0","status":"failed","errCode":1302,"errMsg":"blocked"}]}`,
			[2]Outcome{other(Failed, 1302, "blocked"), other(Retry, 5, "busy")}},
		"garbage behind": {`{"results":[{"recvID":"u0","status":"failed","errMsg":"x"},{"groupID":"g","status":"sent"}]} trailing`,
			[2]Outcome{other(Failed, 80000, "x"), sent("")}},
		"defaults": {`{"results":[{"recvID":"u0","status":"failed"},{"groupID":"g","status":"retry","errCode":-1}]}`,
			[2]Outcome{other(Failed, 80000, "the provider refused this recipient"), other(Retry, 80000, "the provider asked to try this recipient again")}},
		"errCode out of range": {`{"results":[{"recvID":"u0","status":"failed","errCode":4294967296,"errMsg":"x"},{"groupID":"g","status":"failed","errCode":"7","errMsg":"y"}]}`,
			[2]Outcome{other(Failed, 80000, "x"), other(Failed, 80000, "y")}},
		"unknown and missing": {`{"results":[{"recvID":"u0","status":"queued"},{"recvID":"g","status":"sent"}]}`,
			[2]Outcome{other(Ambiguous, 80000, unknown), other(Ambiguous, 80000, unnamed)}},
		"wrong types": {`{"results":[{"recvID":"u0","status":1},{"groupID":5,"status":"sent"},7,null]}`,
			[2]Outcome{other(Ambiguous, 80000, unknown), other(Ambiguous, 80000, unnamed)}},
		"contradiction": {`{"results":[{"recvID":"u0","status":"sent"},{"recvID":"u0","status":"failed"},{"groupID":"g","status":"sent"},{"groupID":"g","status":"sent"}]}`,
			[2]Outcome{other(Ambiguous, 80000, "the provider's results contradict each other about this recipient"), sent("")}},
		"serverMsgID kept": {`{"results":[{"recvID":"u0","status":"sent","serverMsgID":"` + strings.Repeat("x", 64) + `"},{"groupID":"g","status":"sent","serverMsgID":"é"}]}`,
			[2]Outcome{sent(strings.Repeat("x", 64)), sent("é")}},
		"serverMsgID dropped": {`{"results":[{"recvID":"u0","status":"sent","serverMsgID":"` + strings.Repeat("x", 65) + `"},{"groupID":"g","status":"sent","serverMsgID":"a` + "\xff" + `"}]}`,
			[2]Outcome{sent(""), sent("")}},
		"errMsg cut": {`{"results":[{"recvID":"u0","status":"failed","errMsg":"` + long + `"},{"groupID":"g","status":"failed","errMsg":"a` + "\xff" + `"}]}`,
			[2]Outcome{other(Failed, 80000, strings.Repeat("é", 255)), other(Failed, 80000, "a\uFFFD")}},
	} {
		t.Run(name, func(t *testing.T) {
			b := webhookBatch(1)
			b.Recipients = append(b.Recipients, Recipient{GroupID: "g", ClientMsgID: "msg-g"})
			out := webhookAt(t, answering(t, 200, nil, c.answer).URL, withBatch(100)).Send(t.Context(), b)
			if len(out) != 2 || [2]Outcome(out) != c.want {
				t.Errorf("\n got %+v\nwant %+v", out, c.want)
			}
			for _, o := range out {
				if !utf8.ValidString(o.ErrMsg) || !utf8.ValidString(o.ServerMsgID) {
					t.Errorf("not valid UTF-8: %+v", o)
				}
			}
		})
	}
}

func TestWebhookLargeAnswer(t *testing.T) {
	const refusal = `{"results":[{"recvID":"u0","status":"failed"}]}`
	for name, c := range map[string]struct {
		answer string
		want   Result
	}{
		"2 MiB of text": {strings.Repeat("x", 2<<20), Sent},
		"2 MiB of JSON": {` {"pad":"` + strings.Repeat("x", 2<<20) + `","results":[{"recvID":"u0","status":"failed"}]}`, Ambiguous},
		"1 MiB of JSON": {refusal + strings.Repeat(" ", 1<<20-len(refusal)), Failed},
	} {
		t.Run(name, func(t *testing.T) {
			if o := sendOne(t, webhookAt(t, answering(t, 200, nil, c.answer).URL)); o.Result != c.want {
				t.Errorf("outcome %+v for %d bytes", o, len(c.answer))
			}
		})
	}
}
