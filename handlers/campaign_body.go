package handlers

import (
	"time"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/models"
)

// CampaignBody is the body of POST /v1/campaigns, and the template in a schedule. Pointers tell a key that is given
// from one that is not.
type CampaignBody struct {
	Name          string          `json:"name"`
	Channel       string          `json:"channel"`
	Message       *MessageBody    `json:"message"`
	Audience      *AudienceBody   `json:"audience"`
	RatePerSecond int             `json:"ratePerSecond"`
	Priority      models.Priority `json:"priority"`
	Delivery      models.Delivery `json:"delivery"`
	ExpireAt      string          `json:"expireAt"`
	ExpireAfter   string          `json:"expireAfter"` // of a template
	SendAt        *string         `json:"sendAt"`      // absent = at once
	LocalTime     bool            `json:"localTime"`
	Missed        models.Missed   `json:"missed"`
	MissedGrace   string          `json:"missedGrace"`
	QuietHours    *QuietHours     `json:"quietHours"`
}

// AudienceBody is an audience. Exactly one of the keys is given.
type AudienceBody struct {
	All     *bool     `json:"all,omitempty"`
	UserIDs *[]string `json:"userIDs,omitempty"`
	GroupID *string   `json:"groupID,omitempty"`
}

// campaignUnknown are fields that one route knows and callers may try on the other.
var campaignUnknown = web.UnknownFields{
	"message.recvIDs":   "is not a field of message; name the recipients in audience.userIDs",
	"message.groupID":   "is not a field of message; name the group in audience.groupID",
	"message.isSendAll": "is not a field of message; for all users say audience.all",
}

// check checks the body of POST /v1/campaigns. prefix is where the body stands in the request.
func (b *CampaignBody) check(prefix string) (models.CampaignSpec, error) {
	c := checker{prefix: prefix}
	now := time.Now()
	spec := c.campaign(b)
	c.timing(b, &spec, now)
	spec.ExpireAt = c.expireAt(b.ExpireAt, now)
	if spec.ExpireAt != 0 && spec.ExpireAt <= spec.SendAt {
		c.add("expireAt", "must be after sendAt")
	} else if spec.Quiet() && c.err() == nil && !slots.Reachable(spec.Timing, max(spec.SendAt, models.Millis(now.UnixMilli())), spec.ExpireAt, 0) {
		c.add("expireAt", "leaves nobody a moment outside quietHours")
	}
	if b.ExpireAfter != "" {
		c.add("expireAfter", "is for the campaign of a schedule; say expireAt")
	}
	if err := c.err(); err != nil {
		return models.CampaignSpec{}, err
	}
	return spec, nil
}

// campaign checks what a campaign and a schedule's template have in common.
func (c *checker) campaign(b *CampaignBody) models.CampaignSpec {
	base := c.prefix
	c.name(b.Name)
	c.atMost("channel", "bytes", len(b.Channel), maxChannelBytes)
	c.rate(b.RatePerSecond)
	if b.Delivery != "" && b.Delivery != models.AtLeastOnce && b.Delivery != models.AtMostOnce {
		c.add("delivery", "must be %s or %s", models.AtLeastOnce, models.AtMostOnce)
	}
	request, ok := c.oneAudience(b.Audience)
	sessionLeft := false
	var message models.Message
	if b.Message == nil {
		c.add("message", "is required")
	} else {
		m := *b.Message // a change that meets another one is checked twice
		if m.SessionType == 0 {
			m.SessionType = models.SessionSingle
			if sessionLeft = request.group != ""; sessionLeft {
				m.SessionType = models.SessionLargeGroup
			}
		}
		c.prefix = base + "message."
		c.required(&m)
		message = c.message(&m)
		c.prefix = base
		request.session = m.SessionType
	}
	var audience models.Audience
	if ok {
		audience = c.audience(request)
	}
	spec := models.CampaignSpec{
		Name: b.Name, Channel: b.Channel, Message: message, Audience: audience, RatePerSecond: b.RatePerSecond,
		Priority: c.priority(b.Priority, audience), Delivery: b.Delivery, SessionLeft: sessionLeft,
	}
	c.quietHours(b.QuietHours, &spec)
	return spec
}

// oneAudience takes exactly one of the three keys. It says whether there is an audience to check further.
func (c *checker) oneAudience(a *AudienceBody) (audienceRequest, bool) {
	r := audienceRequest{allField: "audience.all", usersField: "audience.userIDs", groupField: "audience.groupID", sessionField: "message.sessionType"}
	if a == nil {
		c.add("audience", "is required")
		return r, false
	}
	keys := 0
	for _, given := range []bool{a.All != nil, a.UserIDs != nil, a.GroupID != nil} {
		if given {
			keys++
		}
	}
	switch {
	case keys != 1:
		c.add("audience", "must have exactly one of all, userIDs and groupID")
	case a.All != nil && !*a.All:
		c.add("audience.all", "must be true; a part of the users is named by userIDs or groupID")
	case a.All != nil:
		r.all = true
		return r, true
	case a.GroupID != nil && *a.GroupID == "":
		c.add("audience.groupID", "must not be empty")
	case a.GroupID != nil:
		r.group = *a.GroupID
		return r, true
	default:
		r.users = *a.UserIDs
		return r, true
	}
	return r, false
}

// timing checks when a campaign goes out: at once, at an instant, or at each recipient's own local time.
func (c *checker) timing(b *CampaignBody, spec *models.CampaignSpec, now time.Time) {
	if !b.LocalTime {
		if b.SendAt != nil {
			spec.SendAt = c.sendAt(*b.SendAt, now)
			spec.Missed, spec.MissedGrace = c.missed(b.Missed, b.MissedGrace, models.DefaultStartGrace)
			return
		}
		if b.Missed != "" {
			c.add("missed", "goes with sendAt")
		}
		if b.MissedGrace != "" {
			c.add("missedGrace", "goes with sendAt")
		}
		return
	}
	c.ownZones("localTime", spec)
	spec.Missed, spec.MissedGrace = c.missed(b.Missed, b.MissedGrace, defaultGrace)
	if b.SendAt == nil {
		c.add("sendAt", "is required with localTime: the date and clock at which each user gets it")
		return
	}
	spec.WallAt, spec.SendAt = c.wallAt(*b.SendAt, now)
}
