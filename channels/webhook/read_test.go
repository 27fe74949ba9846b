package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/internal/testkit"
	"carillon/models"
)

// readAnswer is what becomes of items by the answer, which arrives as in reads it.
func readAnswer(in io.Reader, items []channels.Recipient) []channels.Outcome {
	out := make([]channels.Outcome, len(items))
	newAnswerReader().outcomes(in, "", items, out)
	return out
}

// saidSent counts the items that an answer may at most mean to be sent, by encoding/json and the grammar's own words: each
// result of the status "sent" one for each ID in it, and all of them without results.
func saidSent(answer []byte, items []channels.Recipient) int {
	var object map[string]json.RawMessage
	answer = bytes.TrimPrefix(answer, []byte("\xef\xbb\xbf"))
	if json.NewDecoder(bytes.NewReader(answer)).Decode(&object) != nil {
		return len(items) // a remark, or not JSON: that one is told apart below
	}
	listed, sent := false, 0
	for name, value := range object {
		var entries []map[string]json.RawMessage
		if !strings.EqualFold(name, "results") || string(value) == "null" {
			continue
		}
		listed = true
		if json.Unmarshal(value, &entries) != nil {
			var mixed []json.RawMessage
			if json.Unmarshal(value, &mixed) != nil {
				return 0
			}
			for _, raw := range mixed {
				var entry map[string]json.RawMessage
				if json.Unmarshal(raw, &entry) == nil {
					entries = append(entries, entry)
				}
			}
		}
		for _, entry := range entries {
			ids, says := 0, false
			for name, value := range entry {
				var text string
				if json.Unmarshal(value, &text) != nil {
					continue
				}
				if strings.EqualFold(name, "recvID") || strings.EqualFold(name, "groupID") {
					ids++
				}
				says = says || strings.EqualFold(name, "status") && text == "sent"
			}
			if says {
				sent += ids
			}
		}
	}
	if !listed {
		return len(items)
	}
	return min(sent, len(items))
}

// checkAnswer holds an answer's outcomes against what must be true of every answer.
func checkAnswer(t interface{ Fatalf(string, ...any) }, answer []byte, items []channels.Recipient) {
	out := readAnswer(bytes.NewReader(answer), items)
	sent := 0
	for i, o := range out {
		switch o.Result {
		case channels.Sent:
			sent++
		case channels.Failed, channels.Retry, channels.Ambiguous:
			if o.ErrCode == 0 || o.ErrMsg == "" {
				t.Fatalf("item %d: %+v says nothing, for %q", i, o, answer)
			}
		default:
			t.Fatalf("item %d: %+v for %q", i, o, answer)
		}
		for _, text := range []string{o.ErrMsg, o.ServerMsgID} {
			if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) || utf8.RuneCountInString(text) > models.MaxTextChars {
				t.Fatalf("item %d: %+v for %q", i, o, answer)
			}
		}
	}
	if most := saidSent(answer, items); sent > most {
		t.Fatalf("%d sent, at most %d are said to be: %q", sent, most, answer)
	}
	if all := sent == len(items); all && bytes.IndexByte(answer, '{') > 0 && !json.Valid(bytes.TrimPrefix(answer, []byte("\xef\xbb\xbf"))) &&
		!bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(answer, []byte("\xef\xbb\xbf")), " \t\r\n"), []byte("{")) && !bytes.HasPrefix(answer, []byte("\x1f\x8b")) {
		t.Fatalf("all sent by what is neither JSON nor a remark: %q", answer)
	}
	// However it is cut on the way, it is read alike.
	slow := readAnswer(iotest.OneByteReader(bytes.NewReader(answer)), items)
	for i := range out {
		if out[i] != slow[i] {
			t.Fatalf("item %d: %+v at once, %+v byte by byte: %q", i, out[i], slow[i], answer)
		}
	}
}

func answerItems() []channels.Recipient {
	return append(batchOf(3).Recipients, channels.Recipient{GroupID: "g", ClientMsgID: "msg-g"})
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "OK", "{}", `{"results":null}`, `{"results":[]}`, "\xef\xbb\xbf{}", "\x1f\x8b\x08", `[{"recvID":"u0"}]`,
		`{"results":[{"recvID":"u0","status":"sent","serverMsgID":"x"},{"groupID":"g","status":"failed","errCode":7,"errMsg":"\u0000\n"}]}`,
		`{"Results":[{"recvid":"u1","status":"sent"},{"recvID":"u1","status":"retry"},7,{"recvID":1}]} done`,
		`{"a":{"results":[{"recvID":"u0","status":"sent"}]},"results":[{"recvID":"u2","groupID":"g","status":"sent"}]}`,
		`{"results":[{"recvID":"u0","status":"sent","status":"failed"}],"results":[]}`, `{"a": ]0`, `{"a":}`, `{"a":[}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) { checkAnswer(t, answer, answerItems()) })
}

// No text makes more recipients sent than it says: texts that are nearly answers, with pieces cut out, doubled and put in.
func TestAnswerSaysNoMoreThanItSays(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		`{`, `}`, `[`, `]`, `,`, `:`, `"`, ` `, "\t", "\n", `null`, `NaN`, `7`, `true`, `"results"`, `"RESULTS"`, `"recvID"`, `"groupID"`, `"status"`,
		`"sent"`, `"failed"`, `"retry"`, `"ok"`, `"u0"`, `"u1"`, `"g"`, `"errMsg"`, `"errCode"`, `"serverMsgID"`, `\u0000`, "\xff", "OK", "\xef\xbb\xbf",
		`{"recvID":"u0","status":"sent"}`, `{"recvID":"u2","status":"failed"}`, `{"groupID":"g","status":"retry"}`, `{"results":[`, `]}`, `"data":{`,
	})
	rapid.Check(t, func(t *rapid.T) {
		var answer []byte
		if rapid.Bool().Draw(t, "from a good one") {
			answer = []byte(`{"results":[{"recvID":"u0","status":"sent"},{"recvID":"u1","status":"failed","errMsg":"x"},{"recvID":"u2","status":"retry"},{"groupID":"g","status":"sent"}]}`)
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				at := rapid.IntRange(0, len(answer)).Draw(t, "at")
				to := rapid.IntRange(at, min(at+20, len(answer))).Draw(t, "to")
				answer = bytes.Join([][]byte{answer[:at], []byte(piece.Draw(t, "piece")), answer[to:]}, nil)
			}
		} else {
			for range rapid.IntRange(0, 12).Draw(t, "pieces") {
				answer = append(answer, piece.Draw(t, "piece")...)
			}
		}
		checkAnswer(t, answer, answerItems())
	})
}

// endless is a text over and over again.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// A hostile answer costs what its reader holds, not what it could be unfolded to.
func TestAnswerMemory(t *testing.T) {
	items := batchOf(1000).Recipients
	out := make([]channels.Outcome, len(items))
	for name, c := range map[string]struct {
		head, rest string
		gzip       bool
		most       uint64 // bytes
	}{
		"empty results":    {`{"results":[`, `{},`, false, 64 << 10},
		"results of texts": {`{"results":[`, `{"recvID":"u9999","status":"failed","errMsg":"` + strings.Repeat("x", 1000) + `"},`, false, 256 << 10},
		"named again":      {`{"results":[`, `{"recvID":"u7","status":"failed","errMsg":"x"},`, false, 2 << 20},
		"many names":       {`{`, `"abc":1,`, false, 64 << 10},
		"deep":             {`{"a":`, `[`, false, 1 << 20},
		"deep objects":     {`{"a":`, `{"a":`, false, 1 << 20},
		"a long text":      {`{"a":"`, `x`, false, 768 << 10},
		"a long number":    {`{"a":`, `1`, false, 768 << 10},
		"long escapes":     {`{"results":[{"recvID":"`, `\u0041`, false, 768 << 10},
		"white space":      {`{`, ` `, false, 768 << 10},
		"remark":           {``, `OK `, false, 64 << 10},
		"packed":           {`{"results":[`, `{},`, true, 256 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			answer := make([]byte, provider.MaxAnswerBytes)
			if _, err := io.ReadFull(io.MultiReader(strings.NewReader(c.head), &endless{text: c.rest}), answer); err != nil {
				t.Fatal(err)
			}
			if c.gzip {
				answer = []byte(gzipped(t, strings.Repeat(string(answer), 2)))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			whole := provider.NewBody(bytes.NewReader(answer))
			newAnswerReader().outcomes(&whole, "", items, out)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > c.most {
				t.Errorf("%d bytes for an answer of %d", took, len(answer))
			}
		})
	}
}

// A plain answer costs no memory at all.
func TestAnswerAllocations(t *testing.T) {
	items := batchOf(100).Recipients
	out := make([]channels.Outcome, len(items))
	var list strings.Builder
	for _, it := range items {
		list.WriteString(`,{"recvID":"` + it.UserID + `","status":"sent"}`)
	}
	r := newAnswerReader()
	for name, answer := range map[string]string{"empty": "", "object": "{}", "remark": "OK", "results": `{"results":[` + list.String()[1:] + `]}`} {
		var in strings.Reader
		if n := testing.AllocsPerRun(100, func() {
			in.Reset(answer)
			r.outcomes(&in, "", items, out)
			r.reset()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		for _, o := range out {
			if o != (channels.Outcome{Result: channels.Sent}) {
				t.Fatalf("%s: %+v", name, o)
			}
		}
	}
}

// A connection that breaks in the middle of results is a broken connection, whatever was read before.
func TestAnswerBreaksOff(t *testing.T) {
	p := testkit.NewRawProvider(t, func(nc net.Conn, _ int32, r *http.Request) bool {
		testkit.ReadAll(r)
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+`{"results":[{"recvID":"u0","status":"failed"}]}`)
		return false
	})
	if o := sendOne(t, channelAt(t, p.URL)); o.Result != channels.Ambiguous || o.Unread() || o.Fault != channels.Stumble {
		t.Errorf("%+v", o)
	}
	broken := errors.New("hunter2")
	for _, o := range readAnswer(io.MultiReader(strings.NewReader(`{"results":[`), iotest.ErrReader(broken)), answerItems()) {
		if o.Result != channels.Ambiguous || strings.Contains(o.ErrMsg, "hunter2") {
			t.Errorf("%+v", o)
		}
	}
}
