package handlers

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// TestResumeChannel: an admin ends a channel's rest; what is no channel here is 1004, and a Redis that is away 3005.
func TestResumeChannel(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		var ended []string
		var fault error
		s.EndRest = func(_ context.Context, channel string) error {
			ended = append(ended, channel)
			return fault
		}
		for _, c := range []struct {
			path  string
			fault error
			want  int
			code  models.Code
		}{
			{"/v1/channels/inbox/resume", nil, http.StatusOK, 0},
			{"/v1/channels/sms/resume", nil, http.StatusNotFound, models.CodeRecordNotFound},
			{"/v1/channels/%ff/resume", nil, http.StatusNotFound, models.CodeRecordNotFound},
			{"/v1/channels/inbox/resume", errors.New("no connection"), http.StatusServiceUnavailable, models.CodeUnavailable},
		} {
			fault = c.fault
			if status, got := s.do("POST", c.path, nil); status != c.want || got.ErrCode != c.code {
				t.Errorf("%s, %v: %d %s", c.path, c.fault, status, got.Raw)
			}
		}
		if len(ended) != 2 || ended[0] != "inbox" {
			t.Errorf("ended %q", ended)
		}
	})
}
