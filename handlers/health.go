package handlers

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

const (
	readyTime  = 3 * time.Second
	readyGrace = 500 * time.Millisecond // for a check that ends with its context to say what it found
	readyWait  = 5 * time.Second        // Retry-After while not ready
	readyAgain = time.Second            // from this age on, an answer for pages makes a new check
	readyKept  = 10 * time.Second       // an answer for pages that is older is not used
)

// healthz says that the process serves; what it needs is asked by readyz.
func (a *API) healthz(in *web.In) error { return in.Answer(http.StatusOK, Health{"ok"}) }

// Health is the data of /healthz.
type Health struct {
	Status string `json:"status"`
}

// Readiness is the data of /readyz.
type Readiness struct {
	Problems []Problem `json:"problems,omitempty"`
	Ready    bool      `json:"ready"`
}

// readyz says whether the process can do its work: 200, or 503 with what is wrong. The details may name hosts,
// so that only an admin sees them.
func (a *API) readyz(in *web.In) error {
	problems := a.problems(in.Context())
	if len(problems) == 0 {
		return in.Answer(http.StatusOK, Readiness{Ready: true})
	}
	c, err := a.Identify(in.R)
	mayKnow := err == nil && c.Admin
	shown, names := make([]Problem, len(problems)), make([]string, len(problems))
	for i, p := range problems {
		names[i] = p.What
		shown[i].What = p.What
		if mayKnow {
			shown[i].Detail = p.Detail
		}
	}
	e := models.Errorf(models.CodeUnavailable, "not ready: %s", strings.Join(names, ", "))
	in.W.Header().Set("Retry-After", strconv.Itoa(int(readyWait.Seconds())))
	return web.Answer(in.W, http.StatusServiceUnavailable, web.Envelope{
		ErrCode: e.Code, ErrMsg: e.Code.String(), ErrDlt: e.Error(), Data: Readiness{Problems: shown},
	}.Encode())
}

// problems asks in a goroutine of its own: a client of a host that swallows packets can take longer than its
// context allows, and whoever probes does not wait for that. The answer is for others too, so that a check does not end
// with the request.
func (a *API) problems(ctx context.Context) []Problem {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
	defer cancel()
	found := make(chan []Problem, 1)
	go func() { found <- a.Ready(ctx) }()
	select {
	case problems := <-found:
		return problems
	case <-time.After(readyTime + readyGrace):
		return []Problem{{What: "check", Detail: "gave no answer within " + readyTime.String()}}
	}
}

// kept is the last answer of problems that a page has asked for.
type kept struct {
	mu    sync.Mutex
	found []Problem
	at    time.Time     // when its check began; zero = none has ended
	ended chan struct{} // closed when the check under way has ended; nil = none is under way
}

// lately is problems for pages, which must not wait for a write: a check does. While one check runs, all get the answer
// before it. They wait when there is none, or when it is too old.
func (a *API) lately(ctx context.Context) []Problem {
	k := &a.kept
	k.mu.Lock()
	age := time.Since(k.at)
	if age >= readyAgain && k.ended == nil {
		k.ended = make(chan struct{})
		go a.checkAgain(ctx)
	}
	found, ended := k.found, k.ended
	k.mu.Unlock()
	if age < readyKept {
		return found
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return []Problem{{What: "check", Detail: ctx.Err().Error()}}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.found
}

// checkAgain checks for all who ask.
func (a *API) checkAgain(ctx context.Context) {
	begun := time.Now()
	found := a.problems(ctx) // which does not end with ctx
	k := &a.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.found, k.at = found, begun
	close(k.ended)
	k.ended = nil
}
