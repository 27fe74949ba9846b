package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"carillon/internal/testkit/openim"
)

const (
	// doubleArg makes this binary the double of OpenIM.
	doubleArg = "openim"

	openIMSend  = "/msg/send_msg"
	openIMUsers = 10_000 // that the double is told of at once

	// openIMPlatform is that of admins' tokens, so that the loop's token is as long as Carillon's.
	openIMPlatform = 10
)

// openIMDouble is a double of OpenIM.
type openIMDouble struct {
	*openim.Process
	log string
}

// withOpenIM calls run with a double that knows the directory's users. Each row has a double of its own, because a double
// remembers all that it was sent.
func (b *Bench) withOpenIM(ctx context.Context, size int, latency time.Duration, run func(openIMDouble) (Row, error)) (row Row, err error) {
	b.runs++
	log := filepath.Join(b.dir, fmt.Sprintf("%02d-double.ndjson", b.runs))
	self, err := os.Executable()
	if err != nil {
		return row, err
	}
	p, err := openim.StartProcess(openim.Options{
		Log: log, Secret: b.secret, Admins: []string{message().SendID}, Manners: openim.Manners{Latency: openim.Duration(latency)},
	}, self, doubleArg)
	if err != nil {
		return row, err
	}
	defer func() {
		_ = p.Kill()
		if err == nil {
			_ = os.Remove(log) // large
		}
	}()
	if err := tellUsers(ctx, p, size); err != nil {
		return row, err
	}
	return run(openIMDouble{p, log})
}

// tellUsers makes the directory's users known to the double.
func tellUsers(ctx context.Context, p *openim.Process, n int) error {
	for lo := 0; lo < n; lo += openIMUsers {
		var some openim.Change
		for i := lo; i < min(lo+openIMUsers, n); i++ {
			some.Add = append(some.Add, openim.User{UserID: userID(i)})
		}
		if err := p.Change(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// Seen is what the double's log says of the messages. A message that came twice counts twice.
func (d openIMDouble) Seen(context.Context) (s Seen, err error) {
	err = openim.ReadLog(d.log, func(l openim.Line) {
		if l.Route != openIMSend {
			return
		}
		at := l.At.UnixNano()
		if s.Requests++; s.First == 0 || at < s.First {
			s.First = at
		}
		if s.Last = max(s.Last, at); l.Delivered {
			s.Recipients++
		}
	})
	return s, err
}

// bareOpenIM is the ceiling of the channel openim: the same calls and rows, and no check of what they say but for
// their errCode.
func bareOpenIM(ctx context.Context, b *Bench, size int) (Row, error) {
	d, err := b.directory(ctx, size)
	if err != nil {
		return Row{}, err
	}
	return b.withOpenIM(ctx, size, 0, func(double openIMDouble) (Row, error) {
		token, err := double.Token(ctx, openim.TokenFor{UserID: message().SendID, PlatformID: openIMPlatform})
		if err != nil {
			return Row{}, err
		}
		newPoster, err := newOpenIMPosters(double.URL, token)
		if err != nil {
			return Row{}, err
		}
		took, err := bare(ctx, d, size, 1, newPoster)
		if err != nil {
			return Row{}, err
		}
		row := newRow(size, took)
		return row, row.checkSeen(ctx, double.Seen, size)
	})
}

// carillonThroughOpenIM measures a campaign through a double that answers after latency.
func (b *Bench) carillonThroughOpenIM(ctx context.Context, size int, latency time.Duration) (Row, error) {
	return b.withOpenIM(ctx, size, latency, func(double openIMDouble) (Row, error) {
		return b.campaignSeen(ctx, "openim", size, double.Seen, "CARILLON_CHANNEL=openim", "CARILLON_OPENIM_URL="+double.URL,
			"CARILLON_OPENIM_SECRET="+b.secret, "CARILLON_OPENIM_ADMIN="+message().SendID, "CARILLON_OPENIM_SYNC=0")
	})
}

// slowOpenIM measures one process against an OpenIM that takes its time.
func slowOpenIM(ctx context.Context, b *Bench, r *Report) error {
	size := b.options.Sizes[0]
	row, err := b.carillonThroughOpenIM(ctx, size, slowDelay)
	if err != nil {
		return err
	}
	row.What, row.Size = carillonSlowOpenIM, size
	r.Rows = append(r.Rows, row)
	r.goal(carillonSlowOpenIM, row.PerSecond, "recipients/s", slowGoal, true)
	return nil
}

// openIMPoster makes send_msg calls over fasthttp.
type openIMPoster struct {
	head, buf []byte
	client    *fasthttp.HostClient
	req       *fasthttp.Request
	resp      *fasthttp.Response
	ids       []string // serverMsgIDs since they were last taken
}

func newOpenIMPosters(url, token string) (func() poster, error) {
	m := message()
	head, err := json.Marshal(map[string]any{
		"sendID": m.SendID, "senderNickname": m.SenderNickname, "senderFaceURL": "", "senderPlatformID": m.SenderPlatformID,
		"content": m.Content, "contentType": m.ContentType, "sessionType": m.SessionType, "isOnlineOnly": false,
		"notOfflinePush": false, "sendTime": 0, "ex": "", "groupID": "",
	})
	if err != nil {
		return nil, err
	}
	head = append(bytes.TrimSuffix(head, []byte("}")), `,"recvID":"`...)
	client := &fasthttp.HostClient{Addr: strings.TrimPrefix(url, "http://"), MaxConns: loops}
	return func() poster {
		f := &openIMPoster{head: head, client: client, req: new(fasthttp.Request), resp: new(fasthttp.Response)}
		f.req.Header.SetMethod(http.MethodPost)
		f.req.SetRequestURI(url + openIMSend)
		f.req.Header.SetContentType("application/json")
		f.req.Header.SetUserAgent("carillon")
		f.req.Header.Set("token", token)
		return f
	}, nil
}

var (
	operationPrefix = strings.Repeat("0", 26) + "-"
	wellMark        = []byte(`{"errCode":0,`)
	serverIDMark    = []byte(`"serverMsgID":"`)
)

// post makes the request for recipient lo: send_msg has one.
func (f *openIMPoster) post(lo, _ int) error {
	f.req.Header.Set("operationID", fmt.Sprintf("%s%032x", operationPrefix, lo))
	f.buf = append(append(append(f.buf[:0], f.head...), userID(lo)...), `"}`...)
	f.req.SetBodyRaw(f.buf)
	if err := f.client.Do(f.req, f.resp); err != nil {
		return err
	}
	body := f.resp.Body()
	_, id, found := bytes.Cut(body, serverIDMark)
	if !found || !bytes.HasPrefix(body, wellMark) {
		return fmt.Errorf("the double answers HTTP %d: %s", f.resp.StatusCode(), body)
	}
	id, _, _ = bytes.Cut(id, []byte{'"'})
	f.ids = append(f.ids, string(id))
	return nil
}

// serverMsgIDs are those of the requests since the last call.
func (f *openIMPoster) serverMsgIDs() []string {
	ids := f.ids
	f.ids = f.ids[:0]
	return ids
}
