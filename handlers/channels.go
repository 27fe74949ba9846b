package handlers

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"carillon/channels"
	"carillon/models"
)

// channelAnswer is what a change of a channel answers.
type channelAnswer struct {
	Channel string `json:"channel"`
}

// channel is one that is set up here.
func (a *API) channel(name string) (t channels.Traits, ok bool) {
	i := slices.IndexFunc(a.Channels, func(t channels.Traits) bool { return t.Name == name })
	if i < 0 {
		return t, false
	}
	return a.Channels[i], true
}

func (a *API) channelNames() string {
	names := make([]string, len(a.Channels))
	for i, t := range a.Channels {
		names[i] = t.Name
	}
	return strings.Join(names, ", ")
}

// resumeChannel ends the rest that a channel's provider asked for, and the wait for one that does not answer.
func (a *API) resumeChannel(w http.ResponseWriter, r *http.Request) error {
	name, err := pathID(r, "name")
	if _, ok := a.channel(name); err != nil || !ok {
		return models.Errorf(models.CodeRecordNotFound, "no such channel; there are %s", a.channelNames())
	}
	if err := a.EndRest(r.Context(), name); err != nil {
		return &models.Error{Code: models.CodeUnavailable, Detail: "Redis does not answer; nothing has changed", RetryAfter: time.Second, Cause: err}
	}
	return answerData(w, http.StatusOK, channelAnswer{name})
}
