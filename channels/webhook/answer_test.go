package webhook

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"carillon/channels"
	"carillon/models"
)

func TestStatuses(t *testing.T) {
	inTwoMinutes := time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status     int
		retryAfter string
		want       channels.Result
		least      time.Duration // of RetryAfter
		most       time.Duration
	}{
		{200, "", channels.Sent, 0, 0},
		{204, "", channels.Sent, 0, 0},
		{302, "", channels.Failed, 0, 0},
		{308, "", channels.Failed, 0, 0},
		{400, "", channels.Failed, 0, 0},
		{401, "", channels.Retry, 0, 0},
		{403, "", channels.Retry, 0, 0},
		{404, "", channels.Failed, 0, 0},
		{408, "", channels.Retry, 0, 0},
		{410, "", channels.Failed, 0, 0},
		{413, "", channels.Retry, 0, 0},
		{422, "", channels.Failed, 0, 0},
		{429, "", channels.Retry, time.Second, time.Second},
		{429, "7", channels.Retry, 7 * time.Second, 7 * time.Second},
		{429, "0", channels.Retry, time.Second, time.Second},
		{429, "soon", channels.Retry, time.Second, time.Second},
		{429, "-5", channels.Retry, time.Second, time.Second},
		{429, inTwoMinutes, channels.Retry, 110 * time.Second, 121 * time.Second},
		{429, "99999999999999999999999", channels.Retry, time.Hour, time.Hour},
		{429, "Sun, 06 Nov 1994 08:49:37 GMT", channels.Retry, time.Second, time.Second},
		{500, "", channels.Retry, 0, 0},
		{500, "7", channels.Retry, 0, 0},
		{502, "", channels.Retry, 0, 0},
		{504, "", channels.Retry, 0, 0},
		{503, "", channels.Retry, 0, 0},
		{503, "9", channels.Retry, 9 * time.Second, 9 * time.Second},
		{503, inTwoMinutes, channels.Retry, 110 * time.Second, 121 * time.Second},
		{503, "Sun, 06 Nov 1994 08:49:37 GMT", channels.Retry, 0, 0},
		{799, "", channels.Ambiguous, 0, 0},
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
			o := sendOne(t, channelAt(t, answering(t, c.status, header, body).URL))
			fault := channels.NoFault
			switch c.status {
			case 500:
				fault = channels.Stumble
			case 502, 503, 504:
				fault = channels.Away
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
			if c.want == channels.Sent {
				if o != (channels.Outcome{Result: channels.Sent}) {
					t.Errorf("outcome %+v", o)
				}
				return
			}
			if o.ErrCode != models.CodeCallback || !strings.Contains(o.ErrMsg, fmt.Sprint(c.status)) {
				t.Errorf("errCode %d, errMsg %q", o.ErrCode, o.ErrMsg)
			}
			if isError := c.status/100 == 4 || c.status/100 == 5; isError != strings.HasSuffix(o.ErrMsg, ": hunter2 u0") {
				t.Errorf("errMsg %q of an error %t", o.ErrMsg, isError)
			}
			if redirect := c.status/100 == 3; redirect != strings.Contains(o.ErrMsg, "to "+target.URL+"; redirects are not followed") {
				t.Errorf("errMsg %q", o.ErrMsg)
			}
		})
	}
}

// A provider whose clock is an hour ahead and asks for 30 s is left alone for 30 s.
func TestResults(t *testing.T) {
	long := strings.Repeat("é", 300)
	sent := func(id string) channels.Outcome { return channels.Outcome{Result: channels.Sent, ServerMsgID: id} }
	other := func(r channels.Result, code models.Code, msg string) channels.Outcome {
		return channels.Outcome{Result: r, ErrCode: code, ErrMsg: msg}
	}
	unread := func(why string) [2]channels.Outcome {
		o := other(channels.Ambiguous, 80000, "the provider's answer cannot be read: "+why)
		return [2]channels.Outcome{o, o}
	}
	const unnamed = "the provider's results do not name this recipient"
	const numbered = unnamed + "; they have an ID that is a number, and IDs are texts"
	const unknown = "the provider's result for this recipient has no known status"
	const twice = "the provider's result for this recipient has a field twice"
	const noJSON, early = "it is neither one JSON object nor a plain remark", "its JSON ends too early"
	const elsewhere = "it has results elsewhere than in the object's own field results"
	const full = `{"results":[{"recvID":"u0","status":"failed","errMsg":"x"},{"groupID":"g","status":"sent"}]}`
	read := [2]channels.Outcome{other(channels.Failed, 80000, "x"), sent("")}
	packed := gzipped(t, full)
	cutPacked := packed[:len(packed)-9]
	for name, c := range map[string]struct {
		answer string
		want   [2]channels.Outcome // of u0 and the group g
	}{
		"empty":               {``, [2]channels.Outcome{sent(""), sent("")}},
		"a remark":            {"OK", [2]channels.Outcome{sent(""), sent("")}},
		"a longer remark":     {" Accepted: 2 messages, thank you.\r\n", [2]channels.Outcome{sent(""), sent("")}},
		"a remark in Latin-1": {"re\xe7u", [2]channels.Outcome{sent(""), sent("")}},
		"a JSON text":         {`"ok"`, [2]channels.Outcome{sent(""), sent("")}},
		"a JSON number":       {`1`, [2]channels.Outcome{sent(""), sent("")}},
		"no results":          {`{"ok":true,"data":{"count":[1,{"status":"x"}]},"recvID":"u0"}`, [2]channels.Outcome{sent(""), sent("")}},
		"results null":        {`{"results":null}`, [2]channels.Outcome{sent(""), sent("")}},
		"a mark in front":     {"\xef\xbb\xbf" + full, read},
		"a mark alone":        {"\xef\xbb\xbf", [2]channels.Outcome{sent(""), sent("")}},
		"a mark and {}":       {"\xef\xbb\xbf{}", [2]channels.Outcome{sent(""), sent("")}},
		"gzip not announced":  {packed, read},
		"gzip of nothing":     {gzipped(t, ""), [2]channels.Outcome{sent(""), sent("")}},
		"gzip of {}":          {gzipped(t, "{}"), [2]channels.Outcome{sent(""), sent("")}},

		"half JSON":           {`{"results":[{"recvID":"u0","sta`, unread(early)},
		"cut behind an entry": {full[:len(full)-2], unread(early)},
		"cut object":          {`{"ok":tr`, unread(early)},
		"a raw tab":           {strings.Replace(full, `"x"`, "\"a\tb\"", 1), unread("it is no valid JSON at byte 56")},
		"NaN":                 {strings.Replace(full, `"x"`, `"x","errCode":NaN`, 1), unread("it is no valid JSON at byte 68")},
		"a trailing comma":    {strings.Replace(full, `}]`, `},]`, 1), unread("it is no valid JSON at byte 90")},
		"single quotes":       {strings.ReplaceAll(full, `"`, `'`), unread("it is no valid JSON at byte 1")},
		"UTF-16":              {utf16(full), unread(noJSON)},
		"UTF-16 without mark": {utf16(full)[2:], unread("it is no valid JSON at byte 1")},
		"a warning in front":  {"Warning: Undefined variable $x in /srv/hook.php on line 3\n" + full, unread(noJSON)},
		"a page":              {"<!doctype html><title>Log in</title>", unread(noJSON)},
		"a page in front":     {"<br />\n<b>Notice</b>: x<br />\n" + full, unread(noJSON)},
		"a control character": {"OK\x00", unread(noJSON)},
		"results in YAML":     {"Results:\n- recvID: u0\n  status: failed", unread(noJSON)},
		"a form":              {"recvid=u0&status=failed", unread(noJSON)},
		"a JSON list":         {`[1]`, unread("a list must stand in the field results of an object")},
		"a bare list":         {`[{"recvID":"u0","status":"failed"}]`, unread("a list must stand in the field results of an object")},
		"a bare result":       {`{"recvID":"u0","status":"failed"}`, unread(elsewhere)},
		"results deeper":      {`{"data":{"results":[{"recvID":"u0"}]}}`, unread(elsewhere)},
		"another name":        {`{"items":[{"status":"failed","recvID":"u0"}]}`, unread(elsewhere)},
		"results not a list":  {`{"results":"fine"}`, unread("its results are no list")},
		"results by ID":       {`{"results":{"u0":"failed"}}`, unread("its results are no list")},
		"results twice":       {`{"results":[{"recvID":"u0","status":"failed"}],"Results":null}`, unread("it has results twice")},
		"two objects":         {`{}` + full, unread("more than a plain remark stands behind its JSON object")},
		"gzip cut":            {cutPacked, unread(early)},
		"gzip broken":         {packed[:10] + "\xff" + packed[11:], unread("its gzip data is broken")},
		"gzip of gzip":        {gzipped(t, packed), unread(noJSON)},
		"results empty":       {`{"results":[]}`, [2]channels.Outcome{other(channels.Ambiguous, 80000, unnamed), other(channels.Ambiguous, 80000, unnamed)}},
		"each": {`{"results":[{"groupID":"g","status":"retry","errCode":5,"errMsg":"busy"},{"recvID":"u0","status":"failed","errCode":1302,"errMsg":"blocked"}]}`,
			[2]channels.Outcome{other(channels.Failed, 1302, "blocked"), other(channels.Retry, 5, "busy")}},
		"garbage behind": {`{"results":[{"recvID":"u0","status":"failed","errMsg":"x"},{"groupID":"g","status":"sent"}]} trailing`,
			[2]channels.Outcome{other(channels.Failed, 80000, "x"), sent("")}},
		"defaults": {`{"results":[{"recvID":"u0","status":"failed"},{"groupID":"g","status":"retry","errCode":-1}]}`,
			[2]channels.Outcome{other(channels.Failed, 80000, "the provider refused this recipient"), other(channels.Retry, 80000, "the provider asked to try this recipient again")}},
		"errCode out of range": {`{"results":[{"recvID":"u0","status":"failed","errCode":4294967296,"errMsg":"x"},{"groupID":"g","status":"failed","errCode":"7","errMsg":"y"}]}`,
			[2]channels.Outcome{other(channels.Failed, 80000, "x"), other(channels.Failed, 80000, "y")}},
		"unknown and missing": {`{"results":[{"recvID":"u0","status":"queued"},{"recvID":"g","status":"sent"}]}`,
			[2]channels.Outcome{other(channels.Ambiguous, 80000, unknown+`: "queued" is none of sent, failed and retry`), other(channels.Ambiguous, 80000, unnamed)}},
		"another status": {`{"results":[{"recvID":"u0","status":"ok"},{"groupID":"g","status":"SENT\u001b[2J\u0000\n"}]}`,
			[2]channels.Outcome{other(channels.Ambiguous, 80000, unknown+`: "ok" is none of sent, failed and retry`),
				other(channels.Ambiguous, 80000, unknown+`: "SENT [2J" is none of sent, failed and retry`)}},
		"only the failed": {`{"results":[{"recvID":"u0","status":"failed","errMsg":"x"}]}`,
			[2]channels.Outcome{other(channels.Failed, 80000, "x"), other(channels.Ambiguous, 80000, unnamed)}},
		"strangers": {`{"results":[{"recvID":"u9","status":"failed"},{"recvID":"u0","status":"failed","errMsg":"x"},{"groupID":"g","status":"sent"}]}`, read},
		"wrong types": {`{"results":[{"recvID":"u0","status":1},{"groupID":"","status":"sent"},7,null,[{}]]}`,
			[2]channels.Outcome{other(channels.Ambiguous, 80000, unknown), other(channels.Ambiguous, 80000, unnamed)}},
		"numbers for IDs": {`{"results":[{"recvID":"u0","status":"sent"},{"groupID":5,"status":"sent"}]}`,
			[2]channels.Outcome{sent(""), other(channels.Ambiguous, 80000, numbered)}},
		"a field twice": {`{"results":[{"recvID":"u0","status":"failed","Status":"sent"},{"groupID":"g","groupID":"g","status":"sent"}]}`,
			[2]channels.Outcome{other(channels.Ambiguous, 80000, twice), other(channels.Ambiguous, 80000, twice)}},
		"the key in other letters": {strings.Replace(full, "results", "rEſults", 1), read},
		"text with escapes": {`{"results":[{"recvID":"\u00750","status":"s\u0065nt","serverMsgID":"a\/b"},{"groupID":"g","status":"sent"}]}`,
			[2]channels.Outcome{sent("a/b"), sent("")}},
		"marks cleaned": {`{"results":[{"recvID":"u0","status":"failed","errMsg":"\u0000a\r\nb\u001b[31mc\u0085d\u202ee\u2028f\u007f"},{"groupID":"g","status":"sent","serverMsgID":"a\u001b"}]}`,
			[2]channels.Outcome{other(channels.Failed, 80000, "a  b [31mc d e f"), sent("")}},
		"nothing but marks": {`{"results":[{"recvID":"u0","status":"failed","errMsg":"\n \u0000"},{"groupID":"g","status":"sent","serverMsgID":"a\nb"}]}`,
			[2]channels.Outcome{other(channels.Failed, 80000, "the provider refused this recipient"), sent("")}},
		"contradiction": {`{"results":[{"recvID":"u0","status":"sent"},{"recvID":"u0","status":"failed"},{"groupID":"g","status":"sent"},{"groupID":"g","status":"sent"}]}`,
			[2]channels.Outcome{other(channels.Ambiguous, 80000, "the provider's results contradict each other about this recipient"), sent("")}},
		"serverMsgID kept": {`{"results":[{"recvID":"u0","status":"sent","serverMsgID":"` + strings.Repeat("x", 64) + `"},{"groupID":"g","status":"sent","serverMsgID":"é"}]}`,
			[2]channels.Outcome{sent(strings.Repeat("x", 64)), sent("é")}},
		"serverMsgID dropped": {`{"results":[{"recvID":"u0","status":"sent","serverMsgID":"` + strings.Repeat("x", 65) + `"},{"groupID":"g","status":"sent","serverMsgID":"a` + "\xff" + `"}]}`,
			[2]channels.Outcome{sent(""), sent("")}},
		"errMsg cut": {`{"results":[{"recvID":"u0","status":"failed","errMsg":"` + long + `"},{"groupID":"g","status":"failed","errMsg":"a` + "\xff" + `"}]}`,
			[2]channels.Outcome{other(channels.Failed, 80000, strings.Repeat("é", 255)), other(channels.Failed, 80000, "a\uFFFD")}},
	} {
		t.Run(name, func(t *testing.T) {
			b := batchOf(1)
			b.Recipients = append(b.Recipients, channels.Recipient{GroupID: "g", ClientMsgID: "msg-g"})
			out := channelAt(t, answering(t, 200, nil, c.answer).URL, withBatch(100)).Send(t.Context(), b)
			if len(out) != 2 || [2]channels.Outcome(out) != c.want {
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

func TestLargeAnswer(t *testing.T) {
	const refusal = `{"results":[{"recvID":"u0","status":"failed"}]}`
	for name, c := range map[string]struct {
		answer string
		want   channels.Result
	}{
		"2 MiB of text":   {strings.Repeat("x", 2<<20), channels.Ambiguous},
		"1 MiB of text":   {strings.Repeat("x", 1<<20), channels.Sent},
		"a bomb of 3 MiB": {gzipped(t, "{"+strings.Repeat(" ", 3<<20)+"}"), channels.Ambiguous},
		"a long text":     {`{"pad":"` + strings.Repeat("x", 100<<10) + `"}`, channels.Ambiguous},
		"a deep one":      {`{"pad":` + strings.Repeat("[", 1<<20-7), channels.Ambiguous},
		"2 MiB of JSON":   {` {"pad":"` + strings.Repeat("x", 2<<20) + `","results":[{"recvID":"u0","status":"failed"}]}`, channels.Ambiguous},
		"1 MiB of JSON":   {refusal + strings.Repeat(" ", 1<<20-len(refusal)), channels.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			if o := sendOne(t, channelAt(t, answering(t, 200, nil, c.answer).URL)); o.Result != c.want {
				t.Errorf("outcome %+v for %d bytes", o, len(c.answer))
			}
		})
	}
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// utf16 is ASCII text in UTF-16, with its mark in front.
func utf16(text string) string {
	out := []byte{0xff, 0xfe}
	for i := range len(text) {
		out = append(out, text[i], 0)
	}
	return string(out)
}

// Gzip is read when it is announced, too; what has another encoding cannot be read.
func TestContentEncoding(t *testing.T) {
	const refusal = `{"results":[{"recvID":"u0","status":"failed"}]}`
	for _, c := range []struct {
		encoding, body string
		want           channels.Result
	}{
		{"gzip", gzipped(t, refusal), channels.Failed},
		{"X-GZIP", gzipped(t, refusal), channels.Failed},
		{"gzip", refusal, channels.Failed}, // a proxy unpacked it and left the header
		{"gzip", "", channels.Sent},
		{"identity", refusal, channels.Failed},
		{"br", "\x8b\x02\x80{}\x03", channels.Ambiguous},
		{"deflate", refusal, channels.Ambiguous},
		{"gzip, br", gzipped(t, refusal), channels.Ambiguous},
	} {
		header := map[string]string{"Content-Encoding": c.encoding}
		o := sendOne(t, channelAt(t, answering(t, 200, header, c.body).URL))
		if o.Result != c.want || (c.want == channels.Ambiguous) != (o.Unread() && strings.Contains(o.ErrMsg, "Content-Encoding")) {
			t.Errorf("%s: %+v", c.encoding, o)
		}
	}
}

// What an operator sees of a redirect is where it goes, and no token.
func TestRedirectShown(t *testing.T) {
	for location, want := range map[string]string{
		"https://www.example.com/hook":                     " to https://www.example.com/hook",
		"https://u:p@example.com/login?next=%2Fs3cr3t#top": " to https://example.com/login?…",
		"/hooks/s3cr3t-t0ken/":                             " to /hooks/…/",
		"//other.example/hooks/s3cr3t-t0ken?x=1":           " to //other.example/hooks/…?…",
		"http://a.example/\x1b[2J":                         "",
		"mailto:ops@example.com":                           " to mailto:ops@example.com",
		"":                                                 "",
	} {
		w := channelAt(t, "http://127.0.0.1:1/hooks/s3cr3t-t0ken?key=hunter2")
		o := w.statusOutcome(302, http.Header{"Location": {location}}.Get)
		if got := "the provider answered 302 Found" + want + "; redirects are not followed"; o.Result != channels.Failed || o.ErrMsg != got {
			t.Errorf("%q: %+v, want %q", location, o, got)
		}
	}
	long := channelAt(t, "http://127.0.0.1:1/").statusOutcome(301, http.Header{"Location": {"http://example.com/" + strings.Repeat("é", 500)}}.Get)
	if n := utf8.RuneCountInString(long.ErrMsg); n > models.MaxTextChars {
		t.Errorf("%d characters", n)
	}
}
