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

// newOpenIM makes the openim channel, and what syncs the directory from its users.
func (s *system) newOpenIM() error {
	client, err := openim.NewClient(s.cfg.OpenIM(), s.redis)
	if err != nil {
		return err
	}
	if s.openim, err = openim.New(client); err != nil {
		return err
	}
	s.syncer = jobs.NewSyncer(s.ledger, openim.Directory{Client: client}, jobs.SyncOptions{Period: s.cfg.OpenIMSync}, s.log)
	return nil
}

// parseToken is handlers.ParseToken.
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
	if age := cfg.MaxAge(); age > 0 {
		ledger.AwaitSync(models.Millis(age.Milliseconds()), openim.Name)
	}
}
