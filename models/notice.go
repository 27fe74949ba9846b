package models

import (
	"context"
	"log/slog"
)

// Notice is what an operator did from the command line: a process that serves logs it.
type Notice struct {
	ID        int64
	What      string // "campaign paused"
	Campaign  string // its public ID; empty = several
	Campaigns int64  // how many
}

// Notify leaves a notice.
func (s *Store) Notify(ctx context.Context, n Notice) error {
	_, err := s.exec(ctx, "INSERT INTO notices (what, campaign, campaigns) VALUES (?,?,?)", n.What, n.Campaign, n.Campaigns)
	return err
}

// TakeNotices takes up to 100 notices, each of which one caller gets.
func (s *Store) TakeNotices(ctx context.Context) ([]Notice, error) {
	var all, taken []Notice
	err := s.db.WithContext(ctx).Raw("SELECT id, what, campaign, campaigns FROM notices WHERE id>0 ORDER BY id LIMIT 100").Scan(&all).Error
	for _, n := range all {
		gone, err := s.exec(ctx, "DELETE FROM notices WHERE id=?", n.ID)
		if err != nil {
			return taken, err
		}
		if gone == 1 {
			taken = append(taken, n)
		}
	}
	return taken, err
}

// LogValue is a campaign in the log. Its reason is left out: a provider's words may stand there.
func (c CampaignView) LogValue() slog.Value {
	n := c.Counts
	return slog.GroupValue(
		slog.String("id", c.PublicID), slog.String("name", c.Name), slog.String("status", string(c.Status)), slog.Int64("total", n.Total),
		slog.Int64("pending", n.Pending), slog.Int64("sent", n.Sent), slog.Int64("failed", n.Failed), slog.Int64("skipped", n.Skipped),
		slog.Int64("expired", n.Expired), slog.Int64("cancelled", n.Cancelled), slog.Int64("unknown", n.Unknown),
	)
}

// LogLevel is at which level a campaign's way is logged. One to a single recipient is a message, and the log tells of none.
func LogLevel(total int64) slog.Level {
	if total <= 1 {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
