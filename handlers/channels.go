package handlers

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"carillon/models"
)

// channelAnswer is what a change of a channel answers.
type channelAnswer struct {
	Channel string `json:"channel"`
}

// resumeChannel ends the rest that a channel's provider asked for, and the wait for one that does not answer.
func (a *API) resumeChannel(w http.ResponseWriter, r *http.Request) error {
	name, err := pathID(r, "name")
	if err != nil || !slices.Contains(a.Channels, name) {
		return models.Errorf(models.CodeRecordNotFound, "no such channel; there are %s", strings.Join(a.Channels, ", "))
	}
	if err := a.EndRest(r.Context(), name); err != nil {
		return &models.Error{Code: models.CodeUnavailable, Detail: "Redis does not answer; nothing has changed", RetryAfter: time.Second, Cause: err}
	}
	return answerData(w, http.StatusOK, channelAnswer{name})
}
