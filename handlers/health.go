package handlers

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

const (
	readyTime  = 3 * time.Second
	readyGrace = 500 * time.Millisecond // for a check that ends with its context to say what it found
	readyWait  = 5 * time.Second        // Retry-After while not ready
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
// context allows, and whoever probes does not wait for that.
func (a *API) problems(ctx context.Context) []Problem {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
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
