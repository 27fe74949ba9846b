package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"carillon/internal/testkit/services"
)

const (
	// providerArg makes this binary the provider.
	providerArg = "provider"

	// probePrefix begins the IDs of users whose arrival the provider notes; of the others it only keeps count.
	probePrefix = "probe-"
)

var (
	itemMark  = []byte(`"clientMsgID":`)
	probeMark = []byte(`"recvID":"` + probePrefix)
)

// Seen is what the provider was sent since its last reset.
type Seen struct {
	Requests   int64            `json:"requests"`
	Recipients int64            `json:"recipients"`
	Bytes      int64            `json:"bytes"`    // of bodies
	First      int64            `json:"first"`    // request's arrival, unix nanoseconds; 0 = none yet
	Last       int64            `json:"last"`     // the same
	Arrivals   map[string]int64 `json:"arrivals"` // of probes, unix nanoseconds
	Good       int64            `json:"good"`     // recipients that were accepted
	Reached    int64            `json:"reached"`  // when Good reached the mood's goal, unix nanoseconds; 0 = not yet
	Ticks      []int64          `json:"ticks"`    // accepted recipients in each tickLength since First
}

// receiver accepts everything, and costs as little as a server can: the ceiling and Carillon share it.
type receiver struct {
	requests, recipients, bytes atomic.Int64
	first, last                 atomic.Int64 // unix nanoseconds
	delay                       atomic.Int64 // nanoseconds before each answer
	mood                        atomic.Pointer[mood]

	mu       sync.Mutex
	arrivals map[string]int64
}

func (r *receiver) handle(ctx *fasthttp.RequestCtx) {
	if len(ctx.Path()) > 1 {
		r.control(ctx)
		return
	}
	body, now := ctx.PostBody(), time.Now().UnixNano()
	if r.requests.Add(1) == 1 {
		r.first.Store(now)
	}
	r.last.Store(now)
	r.bytes.Add(int64(len(body)))
	if i := bytes.Index(body, probeMark); i >= 0 {
		r.arrived(body[i+len(probeMark)-len(probePrefix):], now)
	}
	r.recipients.Add(int64(bytes.Count(body, itemMark)))
	if m := r.mood.Load(); m != nil {
		m.answer(ctx, now-r.first.Load())
		return
	}
	if d := r.delay.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
}

// arrived notes the first arrival of the probe whose ID begins rest.
func (r *receiver) arrived(rest []byte, now int64) {
	id, _, _ := bytes.Cut(rest, []byte{'"'})
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, seen := r.arrivals[string(id)]; !seen {
		r.arrivals[string(id)] = now
	}
}

// control is how the bench speaks to the provider: GET /seen, and POST /reset?delay=50ms&kind=fails&every=1000&goal=500.
func (r *receiver) control(ctx *fasthttp.RequestCtx) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch string(ctx.Path()) {
	case "/seen":
		seen := Seen{
			Requests: r.requests.Load(), Recipients: r.recipients.Load(), Bytes: r.bytes.Load(),
			First: r.first.Load(), Last: r.last.Load(), Arrivals: r.arrivals,
		}
		if m := r.mood.Load(); m != nil {
			m.report(&seen)
		}
		raw, err := json.Marshal(seen)
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
			return
		}
		ctx.SetBody(raw)
	case "/reset":
		delay, err := time.ParseDuration(string(ctx.QueryArgs().Peek("delay")))
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			return
		}
		m, err := newMood(ctx.QueryArgs())
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			return
		}
		r.delay.Store(int64(delay))
		r.mood.Store(m)
		for _, n := range []*atomic.Int64{&r.requests, &r.recipients, &r.bytes, &r.first, &r.last} {
			n.Store(0)
		}
		r.arrivals = map[string]int64{}
	default:
		ctx.SetStatusCode(fasthttp.StatusNotFound)
	}
}

// provide is the provider's process: it prints its address and serves until ctx ends.
func provide(ctx context.Context, stdout, stderr io.Writer) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	fmt.Fprintln(stdout, l.Addr())
	s := newProviderServer()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	if err := s.Serve(l); err != nil && ctx.Err() == nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func newProviderServer() *fasthttp.Server {
	r := &receiver{arrivals: map[string]int64{}}
	return &fasthttp.Server{
		Handler: r.handle, NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true,
		MaxRequestBodySize: 1 << 20,
	}
}

// Provider is that process, as the bench sees it.
type Provider struct {
	addr  string
	cmd   *exec.Cmd
	ended <-chan struct{}
}

// StartProvider starts it from this very binary.
func StartProvider() (*Provider, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Provider{cmd: exec.Command(self, providerArg)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.ended, err = services.Child(p.cmd); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the provider says no address: %w", err), p.Close())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// URL is where it is sent to.
func (p *Provider) URL() string { return "http://" + p.addr + "/" }

// Reset forgets everything, and makes each answer take delay from now on.
func (p *Provider) Reset(ctx context.Context, delay time.Duration) error {
	return p.ask(ctx, http.MethodPost, "reset?delay="+delay.String(), nil)
}

// Seen is what came since the last reset.
func (p *Provider) Seen(ctx context.Context) (s Seen, err error) {
	return s, p.ask(ctx, http.MethodGet, "seen", &s)
}

func (p *Provider) ask(ctx context.Context, method, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.URL()+path, nil)
	if err != nil {
		return err
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the provider answers %s with %d", path, resp.StatusCode)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// Close ends it.
func (p *Provider) Close() error {
	err := p.cmd.Process.Kill()
	<-p.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
