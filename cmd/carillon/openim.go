package main

import (
	"context"
	"errors"
	"time"

	"carillon/channels/openim"
	"carillon/internal/config"
	"carillon/jobs"
	"carillon/models"
)

// watchOpenIM finds the openim channel among those that are set up, and makes what syncs the directory from its users.
func (s *system) watchOpenIM() {
	for _, ch := range s.channels {
		if c, ok := ch.(*openim.Channel); ok {
			s.openim = c
			s.syncer = jobs.NewSyncer(s.ledger, openim.Directory{Client: c.Client}, jobs.SyncOptions{Period: s.cfg.OpenIM.Sync}, s.log)
		}
	}
}

// parseToken is web.ParseToken.
func (s *system) parseToken(ctx context.Context, token string) (userID string, platformID int, expires time.Time, err error) {
	userID, platformID, expires, err = s.openim.ParseToken(ctx, token)
	var refused *openim.Error
	if errors.As(err, &refused) && refused.Kind == openim.Token {
		err = models.Errorf(refused.Code, "OpenIM refuses the token; get a new one")
	}
	return userID, platformID, expires, err
}

// awaitSync lets campaigns to all users through OpenIM wait for the sync of an old directory. A command that makes campaigns
// has the same rule as whoever serves.
func awaitSync(cfg *config.Config, ledger *models.Store) {
	if age := cfg.OpenIM.MaxAge(); age > 0 {
		ledger.AwaitSync(models.Millis(age.Milliseconds()), openim.Name)
	}
}
