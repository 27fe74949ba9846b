package webhook

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/models"
)

// Everything HTTP/1.1 lets an answer look like, twice: is it understood, and is the connection kept?
func TestAnswerForms(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	refusal := `{"results":[{"recvID":"u0","status":"failed","errCode":7,"errMsg":"no"}]}`
	sent := channels.Outcome{Result: channels.Sent}
	failed := channels.Outcome{Result: channels.Failed, ErrCode: 7, ErrMsg: "no"}
	broke := channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeNetwork, ErrMsg: "the connection broke before the answer was complete", Fault: channels.Stumble}
	header := func(n int) string { return "X-Pad: " + strings.Repeat("x", n) + "\r\n" }
	for name, c := range map[string]struct {
		answer string
		ends   bool // the provider closes behind it
		want   channels.Outcome
		conns  int32 // for two requests
	}{
		"plain":               {ok + "Content-Length: 2\r\n\r\n{}", false, sent, 1},
		"no body":             {"HTTP/1.1 204 No Content\r\n\r\n", false, sent, 1},
		"no reason":           {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, sent, 1},
		"chunked":             {ok + "Transfer-Encoding: chunked\r\n\r\n10;a=b\r\n" + refusal[:16] + "\r\n39\r\n" + refusal[16:] + "\r\n0\r\n\r\n", false, failed, 1},
		"trailer":             {ok + "Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n", false, sent, 1},
		"broken chunk":        {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n", false, broke, 2},
		"no last chunk":       {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", true, broke, 2},
		"early hints":         {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok + "Content-Length: 2\r\n\r\n{}", false, sent, 1},
		"20 KiB of header":    {ok + header(20<<10) + "Content-Length: 73\r\n\r\n" + refusal, false, failed, 1},
		"100 KiB of header":   {ok + header(100<<10) + "Content-Length: 2\r\n\r\n{}", true, broke, 2},
		"says close":          {ok + "Connection: close\r\nContent-Length: 2\r\n\r\n{}", false, sent, 2},
		"HTTP/1.0":            {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, sent, 2},
		"until closed":        {ok + "\r\n" + refusal, true, failed, 2},
		"more than announced": {ok + "Content-Length: 2\r\n\r\n{}HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", false, sent, 2},
		"switches":            {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeCallback, HTTP: 101, ErrMsg: "the provider answered 101 Switching Protocols"}, 2},
		"two lengths":         {ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", true, broke, 2},
		"not a length":        {ok + "Content-Length: x\r\n\r\n{}", true, broke, 2},
		"not a status":        {"HTTP/1.1 abc OK\r\n\r\n", true, broke, 2},
		"key in other case":   {ok + "Content-Length: 73\r\n\r\n" + strings.Replace(refusal, "results", "RESULTS", 1), false, failed, 1},
		"key with escapes":    {ok + "Content-Length: 78\r\n\r\n" + strings.Replace(refusal, "results", `\u0072esults`, 1), false, failed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testkit.NewRawProvider(t, func(nc net.Conn, _ int32, r *http.Request) bool {
				testkit.ReadAll(r)
				_, _ = io.WriteString(nc, c.answer)
				return !c.ends
			})
			w := channelAt(t, p.URL)
			for i := range 2 {
				if o := sendOne(t, w); o != c.want {
					t.Errorf("request %d: %+v, want %+v", i, o, c.want)
				}
			}
			if n := p.Conns.Load(); n != c.conns {
				t.Errorf("%d connections, want %d", n, c.conns)
			}
			if n := p.Requests.Load(); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
		})
	}
}
