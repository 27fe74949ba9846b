package models

// AudienceType says how the recipients of a campaign are found.
type AudienceType string

const (
	AudienceAll   AudienceType = "all"   // every user of the directory up to the campaign's mark, without the sender
	AudienceUsers AudienceType = "users" // an explicit list
	AudienceGroup AudienceType = "group" // a group: its members (sessionType 2) or the group itself (sessionType 3)
)

// Audience is who a campaign is for. Exactly one of the three forms is meant; UserIDs may hold repeats
// until the campaign is stored.
type Audience struct {
	Type    AudienceType
	UserIDs []string // AudienceUsers only
	GroupID string   // AudienceGroup only
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

// CampaignSpec is what a POST asks for, checked and with its defaults filled in.
type CampaignSpec struct {
	Name          string
	Channel       string // empty = the configured default
	Message       Message
	Audience      Audience
	RatePerSecond int // recipients per second; 0 = no limit of its own
	Priority      Priority
	OperationID   string
	CreatedBy     string // the admin's user ID
}
