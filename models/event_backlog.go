package models

import "context"

// EventBacklog is what waits for the receiver of events.
type EventBacklog struct {
	EventWebhook
	Waiting  int64  // events; BacklogMost = that many or more
	Failing  int64  // of them: streams whose next event has failed, up to BacklogMost
	OldestAt Millis // when the oldest of them happened; 0 = none waits
}

// BacklogMost is how far a backlog is counted.
const BacklogMost = 100_000

// EventBacklog counts what waits for the receiver of events. Nothing waits for a webhook that is off.
func (s *Store) EventBacklog(ctx context.Context) (b EventBacklog, err error) {
	if b.EventWebhook, err = s.EventWebhook(ctx); err != nil || !b.goesOn() {
		return b, err
	}
	db := s.db.WithContext(ctx)
	for _, count := range []struct {
		into  *int64
		query string
		args  []any
	}{
		{&b.Waiting, "SELECT seq FROM event_deliveries WHERE seq>0", nil},
		{&b.Failing, "SELECT seq FROM event_deliveries WHERE state=?", []any{deliveryFailed}},
		{&b.Waiting, "SELECT id FROM events WHERE seq>?", []any{b.Pos}},
		{&b.Waiting, "SELECT id FROM events WHERE seq IS NULL AND id>(SELECT base FROM event_order WHERE id=1)", nil},
	} {
		var n int64
		if err := db.Raw("SELECT COUNT(*) FROM ("+count.query+" LIMIT ?) e", append(count.args, BacklogMost)...).Scan(&n).Error; err != nil {
			return b, err
		}
		*count.into = min(*count.into+n, BacklogMost)
	}
	for _, query := range []string{
		"SELECT e.at FROM (SELECT event_id FROM event_deliveries WHERE seq>0 ORDER BY seq LIMIT 1) d JOIN events e ON e.id=d.event_id",
		"SELECT at FROM events WHERE seq>(SELECT pos FROM event_webhook WHERE id=1) ORDER BY seq LIMIT 1",
	} {
		var at []Millis
		if err := db.Raw(query).Scan(&at).Error; err != nil {
			return b, err
		}
		if len(at) > 0 && (b.OldestAt == 0 || at[0] < b.OldestAt) {
			b.OldestAt = at[0]
		}
	}
	return b, nil
}
