package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"carillon/models"
)

// A bare loop does what Carillon does and nothing else: the same requests, then the same rows, a chunk at a
// time. It keeps no order, no cursor and no counters, and nothing in it would survive a crash.
const (
	chunk = 250 // recipients between two inserts
	loops = 8   // at once
)

// poster makes the request for recipients lo to hi-1. Each loop has its own.
type poster interface {
	post(lo, hi int) error
}

// naming is a poster whose answers hold the messages' serverMsgIDs: those of the requests since the last call. They are
// valid until the next request.
type naming interface{ serverMsgIDs() []string }

// bare runs the loops over n recipients. newPoster nil: the inserts alone.
func bare(ctx context.Context, d *Directory, n, perRequest int, newPoster func() poster) (time.Duration, error) {
	if err := d.Clean(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	step := max(chunk, perRequest)
	var next atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range loops {
		wg.Go(func() {
			var p poster
			if newPoster != nil {
				p = newPoster()
			}
			for ctx.Err() == nil {
				lo := int(next.Add(int64(step))) - step
				if lo >= n {
					return
				}
				if err := bareStep(ctx, d.db, p, lo, min(lo+step, n), perRequest); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return took, d.checkBare(ctx, n)
}

func bareStep(ctx context.Context, db *sql.DB, p poster, lo, hi, perRequest int) error {
	if p != nil {
		for at := lo; at < hi; at += perRequest {
			if err := p.post(at, min(at+perRequest, hi)); err != nil {
				return err
			}
		}
	}
	var ids []string
	if n, ok := p.(naming); ok {
		ids = n.serverMsgIDs()
	}
	for at := lo; at < hi; at += chunk {
		if err := bareInsert(ctx, db, at, min(at+chunk, hi), ids...); err != nil {
			return err
		}
	}
	return nil
}

const (
	bareColumns = "INSERT INTO " + bareTable + " (campaign_id,kind,user_id,status,attempts,sent_at,next_attempt_at,err_code,err_msg,server_msg_id) VALUES "
	bareRow     = "(1,0,?,?,?,CAST(UNIX_TIMESTAMP(NOW(3))*1000 AS SIGNED),NULL,NULL,NULL,?)"
)

var bareChunk = bareStatement(chunk)

func bareStatement(rows int) string {
	return bareColumns + strings.TrimSuffix(strings.Repeat(bareRow+",", rows), ",")
}

// bareInsert writes what Carillon writes for recipients that were sent. Without ids the rows have no serverMsgID.
func bareInsert(ctx context.Context, db *sql.DB, lo, hi int, ids ...string) error {
	query := bareChunk
	if hi-lo != chunk {
		query = bareStatement(hi - lo)
	}
	args := make([]any, 0, 4*chunk)
	for i := lo; i < hi; i++ {
		var id any
		if len(ids) > 0 {
			id = ids[i-lo]
		}
		args = append(args, userID(i), int(models.RecipientSent), 1, id)
	}
	_, err := db.ExecContext(ctx, query, args...)
	return err
}

// checkBare: a ceiling that lost something on the way would be too low or too high.
func (d *Directory) checkBare(ctx context.Context, n int) error {
	var rows int
	err := d.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+bareTable).Scan(&rows)
	if err == nil && rows != n {
		err = fmt.Errorf("%d of %d rows were written", rows, n)
	}
	return err
}

// headers are those of a request of Carillon's, in the same lengths. The loop does not sign.
var headers = map[string]string{
	"Content-Type": "application/json", "User-Agent": "carillon",
	"Idempotency-Key": strings.Repeat("0", 32), "Webhook-Id": strings.Repeat("0", 32), "Webhook-Timestamp": "1700000000",
	"Webhook-Signature": "v1," + strings.Repeat("0", 43) + "=",
}

// bodies renders the bodies that Carillon would send.
type bodies struct {
	head []byte
	buf  []byte
}

func newBodies() (*bodies, error) {
	head, err := json.Marshal(map[string]any{"campaignID": strings.Repeat("0", 26), "operationID": strings.Repeat("0", 26), "message": message()})
	if err != nil {
		return nil, err
	}
	return &bodies{head: append(head[:len(head)-1], `,"recipients":[`...)}, nil
}

// render returns the body for recipients lo to hi-1, valid until the next one.
func (b *bodies) render(lo, hi int) []byte {
	b.buf = append(b.buf[:0], b.head...)
	for i := lo; i < hi; i++ {
		if i > lo {
			b.buf = append(b.buf, ',')
		}
		b.buf = fmt.Appendf(b.buf, `{"recvID":"user-%07d","clientMsgID":"%032x"}`, i, i)
	}
	return append(b.buf, "]}"...)
}

// fastPoster sends over fasthttp.
type fastPoster struct {
	*bodies
	client *fasthttp.HostClient
	req    *fasthttp.Request
	resp   *fasthttp.Response
}

func newFastPosters(p *Provider) (func() poster, error) {
	if _, err := newBodies(); err != nil {
		return nil, err
	}
	client := &fasthttp.HostClient{Addr: p.addr, MaxConns: loops}
	return func() poster {
		text, _ := newBodies() // it has been tried
		f := &fastPoster{text, client, new(fasthttp.Request), new(fasthttp.Response)}
		f.req.Header.SetMethod(http.MethodPost)
		f.req.SetRequestURI(p.URL())
		for name, value := range headers {
			f.req.Header.Set(name, value)
		}
		return f
	}, nil
}

func (f *fastPoster) post(lo, hi int) error {
	f.req.SetBodyRaw(f.render(lo, hi))
	if err := f.client.Do(f.req, f.resp); err != nil {
		return err
	}
	return ok(f.resp.StatusCode())
}

func ok(status int) error {
	if status != http.StatusOK {
		return fmt.Errorf("the provider answers %d", status)
	}
	return nil
}
