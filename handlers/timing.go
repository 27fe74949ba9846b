package handlers

import (
	"fmt"
	"time"

	"carillon/internal/slots"
	"carillon/models"
)

const (
	// pastLimit is how far sendAt may be past: it was now when the request was made.
	pastLimit = time.Minute
	// defaultGrace is how late MissedOnce still sends: a schedule's slot, or to a zone.
	defaultGrace = models.Millis(10 * time.Minute / time.Millisecond)
	maxGrace     = 7 * 24 * time.Hour
)

// QuietHours are quiet hours, by the recipient's clock.
type QuietHours struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// ownZones refuses an audience without time zones of its own.
func (c *checker) ownZones(field string, spec *models.CampaignSpec) {
	if spec.Audience.Type == models.AudienceGroup && spec.Message.SessionType == models.SessionLargeGroup {
		c.add(field, "cannot be used with sessionType 3, whose one recipient is the group; use sessionType 2")
	}
}

// instant reads an instant; ok is false when it gave a finding.
func (c *checker) instant(field, text string) (at models.Millis, ok bool) {
	at, reason := models.ParseInstant(text)
	if reason != "" {
		c.add(field, "%s", reason)
	}
	return at, reason == ""
}

// instantOrNone reads an instant. Empty = none.
func (c *checker) instantOrNone(field, text string) models.Millis {
	if text == "" {
		return 0
	}
	at, _ := c.instant(field, text)
	return at
}

// sendAt reads an instant that has not passed. An empty text is refused: to send at once, leave the
// field out.
func (c *checker) sendAt(text string, now time.Time) models.Millis {
	at, ok := c.instant("sendAt", text)
	if ok && now.Sub(at.Time()) > pastLimit {
		c.add("sendAt", "must not be in the past")
	}
	return at
}

// wallAt reads a local date and clock, and says when the first zone comes to it. An offset is
// ignored: the date and clock count.
func (c *checker) wallAt(text string, now time.Time) (wall, first models.Millis) {
	wall, reason := models.ParseWall(text)
	if reason != "" {
		c.add("sendAt", "%s", reason)
		return 0, 0
	}
	if last := slots.LastInstant(wall); now.Sub(last.Time()) > pastLimit {
		c.add("sendAt", "must not be past in every time zone")
	}
	return wall, slots.FirstInstant(wall)
}

// missed reads what happens to times that have passed, with the defaults.
func (c *checker) missed(policy models.Missed, grace string, otherwise models.Millis) (models.Missed, models.Millis) {
	switch policy {
	case "":
		policy = models.MissedOnce
	case models.MissedSkip, models.MissedOnce:
	default:
		c.add("missed", "must be skip or once")
	}
	if grace == "" {
		return policy, otherwise
	}
	d, err := time.ParseDuration(grace)
	if err != nil || d < 0 || d > maxGrace {
		c.add("missedGrace", "must be a duration like 10m, at most %s", maxGrace)
	}
	return policy, models.Millis(d.Milliseconds())
}

func (c *checker) quietHours(b *QuietHours, spec *models.CampaignSpec) {
	if b == nil {
		return
	}
	quiet, from, to := slots.ParseQuiet(b.From, b.To)
	if from != "" {
		c.add("quietHours.from", "%s", from)
	}
	if to != "" {
		c.add("quietHours.to", "%s", to)
	}
	c.ownZones("quietHours", spec)
	spec.QuietFrom, spec.QuietTo = quiet.From, quiet.To
}

// expireAt reads a time in the future. Empty = never.
func (c *checker) expireAt(text string, now time.Time) models.Millis {
	at := c.instantOrNone("expireAt", text)
	if at != 0 && !at.Time().After(now) {
		c.add("expireAt", "must be in the future")
	}
	return at
}

// TimingView is what a campaign and a template show of the recipients' own clocks.
type TimingView struct {
	LocalTime   bool          `json:"localTime"`
	Missed      models.Missed `json:"missed,omitempty"` // with sendAt
	MissedGrace string        `json:"missedGrace,omitempty"`
	QuietHours  *QuietHours   `json:"quietHours"`
}

func timingJSON(t models.Timing) TimingView {
	v := TimingView{LocalTime: t.WallAt != 0}
	if t.Missed != "" {
		v.Missed, v.MissedGrace = t.Missed, durationJSON(t.MissedGrace)
	}
	if t.Quiet() {
		v.QuietHours = &QuietHours{clock(t.QuietFrom), clock(t.QuietTo)}
	}
	return v
}

func clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

func durationJSON(m models.Millis) string { return (time.Duration(m) * time.Millisecond).String() }

// instantJSON is a time of a campaign or schedule: RFC 3339, or a local date and clock. nil = none.
func instantJSON(m models.Millis, local bool) *string {
	if m == 0 {
		return nil
	}
	text := shown(m)
	if local {
		text = m.Shown(models.WallClock)
	}
	return &text
}

// shown is an instant in an answer. Views hold texts, because not every instant can be encoded as
// time.Time.
func shown(m models.Millis) string { return m.Shown(time.RFC3339Nano) }
