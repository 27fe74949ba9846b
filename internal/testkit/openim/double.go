package openim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Options are what a double starts with. Only Log and Secret are needed.
type Options struct {
	Addr      string        // host:port; "" = a free port of 127.0.0.1
	Log       string        // path of the log; it is appended to
	Secret    string        // what tokens are signed with, and what get_admin_token asks for
	Admins    []string      // nil = imAdmin
	Users     int           // users u000001, u000002, … beside the admins
	Seed      uint64        // what shares are drawn from
	TokenLife time.Duration // 0 = 90 days
	Retire    time.Duration // how long an admin's older tokens outlive a newer one; 0 = 5 minutes
	Manners   Manners
}

// closeLimit is how long Close waits for answers under way.
const closeLimit = 2 * time.Second

// Double is a running double in this process.
type Double struct {
	opts     Options
	tokens   *tokens
	users    *userList
	sends    *sends
	log      *ledger
	manners  atomic.Pointer[behaviour]
	counts   counts
	server   *fasthttp.Server
	listener net.Listener
	quit     chan struct{}
	closing  sync.Once
	closed   error
}

// Start serves until Close.
func Start(o Options) (*Double, error) {
	if o.Secret == "" || o.Log == "" {
		return nil, errors.New("a double needs a secret and a log")
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Admins == nil {
		o.Admins = []string{"imAdmin"}
	}
	if o.TokenLife == 0 {
		o.TokenLife = 90 * 24 * time.Hour
	}
	if o.Retire == 0 {
		o.Retire = 5 * time.Minute
	}
	d := &Double{opts: o, tokens: newTokens(o), users: newUserList(o), sends: newSends(), quit: make(chan struct{})}
	if err := d.Behave(o.Manners); err != nil {
		return nil, err
	}
	if err := ReadLog(o.Log, d.remember); err != nil {
		return nil, err
	}
	var err error
	if d.log, err = openLedger(o.Log); err != nil {
		return nil, err
	}
	if d.listener, err = net.Listen("tcp", o.Addr); err != nil {
		return nil, errors.Join(err, d.log.close())
	}
	d.server = &fasthttp.Server{
		Handler: d.handle, NoDefaultServerHeader: true, NoDefaultContentType: true,
		MaxRequestBodySize: 16 << 20,
	}
	go func() { _ = d.server.Serve(d.listener) }()
	return d, nil
}

// remember takes over what an earlier double has logged.
func (d *Double) remember(l Line) {
	if l.Issued != "" {
		d.tokens.know(l.Issued, l.For, l.At)
	}
	if l.Fault == Kicked {
		d.tokens.kick(l.TokenID)
	}
	if l.Route == routeSend {
		d.sends.try(l.OperationID)
	}
	if l.Delivered {
		d.sends.deliver(l.OperationID, l.RecvID+l.GroupID, l.At)
	}
}

// URL is the double's base URL, without a slash at its end.
func (d *Double) URL() string { return "http://" + d.listener.Addr().String() }

// LogFile is the path of the log.
func (d *Double) LogFile() string { return d.opts.Log }

// Behave changes the manners from the next request on. Counters of Every and Times begin anew.
func (d *Double) Behave(m Manners) error {
	b, err := newBehaviour(m, d.opts.Seed)
	if err == nil {
		d.manners.Store(b)
	}
	return err
}

// Close ends the double. It may be called twice.
func (d *Double) Close() error {
	d.closing.Do(func() {
		close(d.quit)
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		err := d.server.ShutdownWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil // a client that keeps its connection open is no fault
		}
		d.closed = errors.Join(err, d.log.close())
	})
	return d.closed
}

// call is one request.
type call struct {
	at     time.Time
	how    *behaviour
	fault  *Fault
	body   []byte
	msg    message // of send_msg
	bad    error   // why msg could not be bound
	caller caller
	lines  []Line // lines[0] is the request's own
}

func (c *call) line() *Line { return &c.lines[0] }

// handle answers one request.
func (d *Double) handle(ctx *fasthttp.RequestCtx) {
	name := string(ctx.Path())
	if strings.HasPrefix(name, controlPrefix) {
		d.control(ctx)
		return
	}
	r, ok := routes[name]
	if !ok || !ctx.IsPost() {
		ctx.Error("404 page not found", fasthttp.StatusNotFound)
		return
	}
	c := &call{at: time.Now(), how: d.manners.Load(), body: ctx.PostBody()}
	op, token := string(ctx.Request.Header.Peek("operationID")), string(ctx.Request.Header.Peek("token"))
	c.lines = []Line{{At: c.at, Route: name, OperationID: op, Token: "none"}}
	wait := d.meet(c)
	a := d.decide(c, r, token)
	d.note(c, a)
	if wait > 0 {
		d.hold(wait)
	}
	d.write(ctx, c, a)
}

// meet finds out what happens to a request, before anything is checked. wait is the time before the answer.
func (d *Double) meet(c *call) (wait time.Duration) {
	l := c.line()
	key, try := l.Route, d.counts.request(l.Route)
	if l.Route == routeSend {
		c.msg, c.bad = bindMessage(c.body)
		l.SendID, l.RecvID, l.GroupID, l.OnlineOnly = c.msg.SendID, c.msg.RecvID, c.msg.GroupID, c.msg.IsOnlineOnly
		key, try = l.OperationID, d.sends.try(l.OperationID)
	}
	wait, c.fault = c.how.strike(l.Route, l.RecvID+l.GroupID, key, try)
	if c.fault != nil {
		l.Fault = c.fault.Kind
	}
	return wait + time.Duration(c.how.Latency)
}

// decide says what a request is answered, but for what a fault does to the answer on its way.
func (d *Double) decide(c *call, r route, token string) answer {
	if f := c.fault; f != nil && f.onTheWay() && !f.Delivers {
		return answer{data: d.sends.made(message{})}
	}
	if c.line().OperationID == "" {
		return refusal(codeArgs, "header must have operationID")
	}
	if !r.open {
		if a := d.identify(c, token); a.code != 0 {
			return a
		}
	}
	return r.serve(d, c)
}

// identify checks the caller's token.
func (d *Double) identify(c *call, token string) answer {
	if token == "" {
		return refusal(codeArgs, "header must have token")
	}
	var code int
	c.caller, code = d.tokens.check(token)
	if c.fault != nil && c.fault.Kind == Kicked {
		if code == 0 && d.tokens.kick(c.caller.id) {
			d.counts.kicked.Add(1)
			code = codeTokenKicked
		} else {
			c.line().Fault = "" // the token was none before
		}
	}
	c.line().Token, c.line().TokenID = kind(c.caller, code), c.caller.id
	if code != 0 {
		return refusal(code, "the token does not stand")
	}
	return answer{}
}

// permitted is the admin check and, behind it, a fault of kind Code.
func (c *call) permitted() answer {
	if !c.caller.admin {
		return refusal(codeNoPermission, "only admins may do this")
	}
	if f := c.fault; f != nil && f.Kind == Code && !f.Delivers {
		return refusal(f.Code, "%s", f.Text)
	}
	return answer{}
}

// note writes the request down.
func (d *Double) note(c *call, a answer) {
	l := c.line()
	l.HTTP, l.ErrCode = a.http(), a.code
	if f := c.fault; f != nil {
		switch f.Kind {
		case Closed, Hangs, Cut:
			l.HTTP, l.ErrCode = 0, 0
		case Status:
			l.HTTP, l.ErrCode = f.Status, 0
		}
	}
	d.counts.note(c.lines)
	d.log.write(c.lines...)
}

// onTheWay says that a fault replaces the answer, whatever it was.
func (f *Fault) onTheWay() bool {
	switch f.Kind {
	case Status, Closed, Hangs, Malformed, Cut:
		return true
	}
	return false
}

const htmlPage = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"

// write sends the answer, or what a fault has made of it.
func (d *Double) write(ctx *fasthttp.RequestCtx, c *call, a answer) {
	f := c.fault
	if f == nil || !f.onTheWay() {
		send(ctx, a.http(), a.body())
		return
	}
	switch f.Kind {
	case Status:
		ctx.Response.Header.SetContentType("text/plain")
		send(ctx, f.Status, []byte(fasthttp.StatusMessage(f.Status)+"\n"))
		if f.Status == fasthttp.StatusTooManyRequests {
			send(ctx, f.Status, refusal(f.Status, "too many requests").body())
		}
		if f.Wait > 0 {
			ctx.Response.Header.Set("Retry-After", strconv.Itoa(int((time.Duration(f.Wait)+time.Second-1)/time.Second)))
		}
	case Malformed:
		text := f.Text
		if text == "" {
			text = htmlPage
			ctx.Response.Header.SetContentType("text/html; charset=utf-8")
		}
		send(ctx, fasthttp.StatusOK, []byte(text))
	case Hangs:
		d.hold(time.Duration(f.Wait))
		hangUp(ctx, nil)
	case Cut:
		whole := a.body()
		hangUp(ctx, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", len(whole), whole[:len(whole)/2]))
	default:
		hangUp(ctx, nil)
	}
}

func send(ctx *fasthttp.RequestCtx, status int, body []byte) {
	if len(ctx.Response.Header.ContentType()) == 0 || status == fasthttp.StatusTooManyRequests {
		ctx.Response.Header.SetContentType("application/json; charset=utf-8")
	}
	ctx.SetStatusCode(status)
	ctx.SetBody(body)
}

// hold waits until the double ends, or for a while if that is not 0.
func (d *Double) hold(wait time.Duration) {
	var over <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-d.quit:
	case <-over:
	}
}

// hangUp writes raw bytes in place of an answer and closes the connection.
func hangUp(ctx *fasthttp.RequestCtx, raw []byte) {
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(conn net.Conn) {
		_, _ = conn.Write(raw) // the client may be gone
	})
}
