package models

import "time"

// AudienceType says how the recipients of a campaign are found.
type AudienceType string

const (
	AudienceAll   AudienceType = "all"   // every user of the directory up to the campaign's mark; see leftOut
	AudienceUsers AudienceType = "users" // an explicit list
	AudienceGroup AudienceType = "group" // a group: its members (sessionType 2) or the group itself (sessionType 3)
)

// Audience is who a campaign is for. Exactly one of the three forms is meant; UserIDs may hold repeats
// until the campaign is stored.
type Audience struct {
	Type    AudienceType `json:"type"`
	UserIDs []string     `json:"userIDs,omitempty"` // AudienceUsers only
	GroupID string       `json:"groupID,omitempty"` // AudienceGroup only
}

// Priority picks the class of workers that carries a campaign.
type Priority string

const (
	PriorityBulk          Priority = "bulk"
	PriorityTransactional Priority = "transactional" // own workers, first at the rate limiter; at most MaxTransactional recipients
)

// Limits of a campaign, from the shared API page.
const (
	MaxTransactional     = 1000    // listed recipients of a transactional campaign
	DefaultTransactional = 100     // up to so many listed recipients a campaign is transactional unless it says otherwise
	MaxListed            = 100_000 // recvIDs or userIDs in one POST, repeats included
)

// CampaignSpec is what a POST asks for, checked and with its defaults filled in. A schedule keeps one as its
// template, in the JSON form below.
type CampaignSpec struct {
	Name          string   `json:"name,omitempty"`
	Channel       string   `json:"channel"`
	Message       Message  `json:"message"`
	Audience      Audience `json:"audience"`
	RatePerSecond int      `json:"ratePerSecond,omitempty"` // recipients per second; 0 = no limit of its own
	Priority      Priority `json:"priority"`
	Delivery      Delivery `json:"delivery,omitempty"`    // empty = AtLeastOnce
	ExpireAfter   Millis   `json:"expireAfter,omitempty"` // of a template: how long after its start, or by local time after each zone's time, it expires; 0 = never
	Timing        `json:"timing"`

	ExpireAt    Millis `json:"-"` // 0 = never
	SendAt      Millis `json:"-"` // when it starts; 0 = at once
	ScheduleID  string `json:"-"` // of an occurrence
	Slot        Millis `json:"-"` // of an occurrence; 0 = run by hand
	OperationID string `json:"-"`
	CreatedBy   string `json:"-"` // the admin's user ID
	SessionLeft bool   `json:"-"` // the audience is a group, and the request left it to us how the group gets the message
}

// Timing is what makes a campaign go by its recipients' own clocks.
type Timing struct {
	WallAt      Millis `json:"-"`                     // local time: the date and clock at which each user gets it, as if in UTC; 0 = not by local time
	Missed      Missed `json:"missed,omitempty"`      // local time: zones in which it is past already
	MissedGrace Millis `json:"missedGrace,omitempty"` // within which MissedOnce still sends
	QuietFrom   int    `json:"quietFrom,omitempty"`   // minutes of the local day in which nobody is sent to;
	QuietTo     int    `json:"quietTo,omitempty"`     // equal = no quiet hours
	Zone        string `json:"zone,omitempty"`        // of users who have none; IANA name
}

// Quiet says whether there are quiet hours.
func (t Timing) Quiet() bool { return t.QuietFrom != t.QuietTo }

// Zoned says whether pages are cut by time zone.
func (t Timing) Zoned() bool { return t.WallAt != 0 || t.Quiet() }

// MissedAt says whether a local time whose instant was due has passed unused by now.
func (t Timing) MissedAt(due, now Millis) bool {
	late := now - due
	return late > OnTime && (t.Missed != MissedOnce || late > t.MissedGrace)
}

// Missed says what becomes of a time that has passed unused.
type Missed string

const (
	MissedSkip Missed = "skip" // nothing is sent, and the history says so
	MissedOnce Missed = "once" // sent late, within a grace; of several slots only the last
)

// Status is a campaign's state.
type Status string

const (
	StatusScheduled Status = "scheduled"
	StatusRunning   Status = "running"
	StatusPaused    Status = "paused"
	StatusCompleted Status = "completed" // nothing pending, whatever the outcomes
	StatusFailed    Status = "failed"    // the campaign as a whole cannot go on
	StatusExpired   Status = "expired"
	StatusCancelled Status = "cancelled"
)

// Statuses lists all campaign states.
var Statuses = []Status{StatusScheduled, StatusRunning, StatusPaused, StatusCompleted, StatusFailed, StatusExpired, StatusCancelled}

// transitions is the whole state machine; docs/states.md draws it.
var transitions = map[Status][]Status{
	StatusScheduled: {StatusRunning, StatusPaused, StatusCancelled, StatusExpired},
	StatusRunning:   {StatusPaused, StatusCompleted, StatusCancelled, StatusExpired, StatusFailed},
	StatusPaused:    {StatusScheduled, StatusRunning, StatusCancelled, StatusExpired},
	StatusCompleted: {StatusRunning}, // by retry only
	StatusFailed:    {StatusRunning},
	StatusExpired:   {StatusRunning},
}

// Transition says whether a campaign may go from one state to another: nil, or 3001.
func Transition(from, to Status) error {
	for _, next := range transitions[from] {
		if next == to {
			return nil
		}
	}
	return Errorf(CodeIllegalTransition, "a campaign that is %s cannot become %s", from, to)
}

// Kinds of recipients: the key holds the kind, so a group never meets the user of the same ID.
const (
	KindUser  = 0
	KindGroup = 1
)

// Where an inbox finds a campaign's messages.
const (
	inboxNone  = 0 // nothing is stored for an inbox
	inboxSmall = 1 // rows in inbox_small
	inboxLarge = 2 // looked up by the recipients' primary key
)

// Campaign is the row of one campaign.
type Campaign struct {
	ID            int64 `gorm:"primaryKey"`
	PublicID      string
	Name          string
	Status        Status
	StatusReason  string
	PauseID       int64 // of the PauseAll that has paused it; else 0
	Channel       string
	Message       Message `gorm:"serializer:asItIs"`
	AudienceType  AudienceType
	GroupID       string
	GroupVersion  int64
	Kind          int
	Inbox         int
	Mark          int64 // directory revision that froze an all-users audience
	Total         int64
	Planned       bool
	PlanCursor    string
	PlanEpoch     int
	PlanDue       Millis
	Pages         int // cut so far
	RatePerSecond int
	Delivery      Delivery
	GuardAllows   FailureKinds
	GuardRun      int    // raised by each retry
	GuardBase     int64  // sent before this run
	Retry         string // the Retry under way, JSON; empty = none
	RetryPage     int    // the page it has come to
	Priority      Priority
	OperationID   string
	CreatedBy     string
	ExpireAt      Millis // 0 = never
	ExpireAfter   Millis // by local time: from each zone's time to its end; 0 = the campaign's end is everybody's
	CreatedAt     Millis `gorm:"autoCreateTime:false"`
	StartedAt     Millis // 0 until started
	FinishedAt    Millis // 0 until finished
	SendAt        Millis // when it starts; 0 = when it was posted
	ScheduleID    string // the public one; empty = none
	Slot          Millis // of the schedule; 0 = run by hand
	PurgedAt      Millis // from when on its recipients are gone; 0 = they stand
	// Traceparent names the span under which the campaign's work stands: that of its POST, and from
	// its plan on that of the plan. Empty = no trace.
	Traceparent string
	// StatusReasonCode says for programs what StatusReason says. It is empty where an older program wrote the reason.
	StatusReasonCode ReasonCode
	Timing
}

// leftOut is whom a campaign leaves out of its audience: a broadcast its sender. Lists and groups keep whom they name.
// It is "" where nobody is left out, which is no user's ID.
func (c *Campaign) leftOut() string {
	if c.AudienceType == AudienceAll {
		return c.Message.SendID
	}
	return ""
}

// Counts are a campaign's recipients by status. Total is the sum of all the others at every instant.
type Counts struct {
	Total     int64 `json:"total"`
	Pending   int64 `json:"pending"`
	Sent      int64 `json:"sent"`
	Failed    int64 `json:"failed"`
	Skipped   int64 `json:"skipped"`
	Expired   int64 `json:"expired"`
	Cancelled int64 `json:"cancelled"`
	Unknown   int64 `json:"unknown"`
}

// CampaignView is a campaign with its counts, read in one statement.
type CampaignView struct {
	Campaign
	Counts
}

// Delivery says what happens to a recipient whose request got no answer.
type Delivery string

const (
	AtLeastOnce Delivery = "atLeastOnce" // sent again under the same clientMsgID
	AtMostOnce  Delivery = "atMostOnce"  // claimed before sending, and `unknown` after
)

// listedColumns are all but the message, which can be 64 KiB.
const listedColumns = `id, public_id, name, status, status_reason, status_reason_code, pause_id, channel, audience_type, group_id, group_version, kind, inbox, mark, total,
	planned, plan_cursor, plan_epoch, plan_due, pages, rate_per_second, delivery, priority, operation_id, created_by, expire_at, created_at, started_at, finished_at,
	send_at, wall_at, missed, missed_grace, quiet_from, quiet_to, zone, schedule_id, slot, purged_at, expire_after`

// ErrPurged refuses what needs the recipients of a purged campaign (3001); nil while they stand.
func (c *Campaign) ErrPurged() error {
	if c.PurgedAt == 0 {
		return nil
	}
	return Errorf(CodeIllegalTransition, "the campaign's recipients were purged on %s, as CARILLON_RETENTION says; its counts are all that is left of them",
		c.PurgedAt.Time().Format(time.DateOnly))
}

// OnTime: what is late by no more than this is a hiccup, and still starts or fires. What is later was missed.
const OnTime Millis = 10_000
