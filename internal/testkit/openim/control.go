package openim

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// controlPrefix begins the routes by which a test speaks to its double. They need no token.
const controlPrefix = "/double/"

// Seen is what a double has done since its start.
type Seen struct {
	Requests  map[string]int `json:"requests"`  // by route
	Faults    map[string]int `json:"faults"`    // by kind
	Delivered int            `json:"delivered"` // messages
	Repeats   int            `json:"repeats"`   // delivered again under the same operationID
	Issued    int            `json:"issued"`    // admin tokens
	Kicked    int            `json:"kicked"`    // tokens
}

type counts struct {
	kicked atomic.Int64

	mu   sync.Mutex
	seen Seen
}

// request counts a request and is its number on that route, from 1.
func (c *counts) request(route string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.Requests == nil {
		c.seen.Requests, c.seen.Faults = map[string]int{}, map[string]int{}
	}
	c.seen.Requests[route]++
	return c.seen.Requests[route]
}

func (c *counts) note(lines []Line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range lines {
		l := &lines[i]
		if l.Fault != "" {
			c.seen.Faults[l.Fault]++
		}
		if l.Delivered {
			c.seen.Delivered++
		}
		if l.Repeat {
			c.seen.Repeats++
		}
		if l.Issued != "" {
			c.seen.Issued++
		}
	}
}

// json is Seen as it stands.
func (c *counts) json() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	seen.Kicked = int(c.kicked.Load())
	return json.Marshal(seen)
}

// Change is who comes and goes.
type Change struct {
	Add    []User   `json:"add,omitempty"` // or change
	Remove []string `json:"remove,omitempty"`
}

// TokenFor asks for a token of any user.
type TokenFor struct {
	UserID     string `json:"userID"`
	PlatformID int    `json:"platformID"`
}

// control serves GET /double/seen, PUT /double/manners, GET and POST /double/users, POST /double/token, and
// POST /double/kick.
func (d *Double) control(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Method()) + " " + string(ctx.Path()[len(controlPrefix):]) {
	case "GET seen":
		reply(ctx)(d.counts.json())
	case "PUT manners":
		var m Manners
		if take(ctx, &m) {
			complain(ctx, d.Behave(m))
		}
	case "GET users":
		reply(ctx)(json.Marshal(d.users.ids()))
	case "POST users":
		var c Change
		if take(ctx, &c) {
			d.users.remove(c.Remove...)
			d.users.add(c.Add...)
		}
	case "POST token":
		var t TokenFor
		if take(ctx, &t) {
			reply(ctx)(d.handOut(t))
		}
	case "POST kick":
		reply(ctx)(json.Marshal(d.kickAll()))
	default:
		ctx.Error("404 page not found", http.StatusNotFound)
	}
}

func take(ctx *fasthttp.RequestCtx, into any) bool {
	err := json.Unmarshal(ctx.PostBody(), into)
	complain(ctx, err)
	return err == nil
}

func complain(ctx *fasthttp.RequestCtx, err error) {
	if err != nil {
		ctx.Error(err.Error(), http.StatusBadRequest)
	}
}

func reply(ctx *fasthttp.RequestCtx) func([]byte, error) {
	return func(raw []byte, err error) {
		complain(ctx, err)
		if err == nil {
			ctx.SetBody(raw)
		}
	}
}

// handOut makes a token of any user, as a log-in would.
func (d *Double) handOut(t TokenFor) ([]byte, error) {
	token, id, ends, err := d.tokens.issue(t.UserID, t.PlatformID)
	if err != nil {
		return nil, err
	}
	d.log.write(Line{Route: controlPrefix + "token", Token: "none", HTTP: http.StatusOK, Issued: id, For: t.UserID, Ends: ends})
	return json.Marshal(token)
}

// kickAll kicks every token, and says how many stood.
func (d *Double) kickAll() (n int) {
	for _, id := range d.tokens.ids() {
		if d.tokens.kick(id) {
			d.counts.kicked.Add(1)
			d.log.write(Line{Route: controlPrefix + "kick", Token: "none", TokenID: id, HTTP: http.StatusOK, Fault: Kicked})
			n++
		}
	}
	return n
}
