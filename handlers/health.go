package handlers

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"carillon/models"
)

const (
	readyTime  = 3 * time.Second
	readyGrace = 500 * time.Millisecond // for a check that ends with its context to say what it found
	readyWait  = 5 * time.Second        // Retry-After while not ready
)

// healthz says that the process serves; what it needs is asked by readyz.
func (a *API) healthz(w http.ResponseWriter, _ *http.Request) error {
	return answerData(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether the process can do its work: 200, or 503 with what is wrong. The details may name hosts,
// so that only an admin sees them.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) error {
	problems := a.problems(r.Context())
	if len(problems) == 0 {
		return answerData(w, http.StatusOK, map[string]bool{"ready": true})
	}
	c, err := a.identify(r)
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
	w.Header().Set("Retry-After", strconv.Itoa(int(readyWait.Seconds())))
	return answer(w, http.StatusServiceUnavailable, envelope{
		ErrCode: e.Code, ErrMsg: e.Code.String(), ErrDlt: e.Error(), Data: map[string]any{"ready": false, "problems": shown},
	}.encode())
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
