package handlers

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"carillon/handlers/web"
	"carillon/models"
)

// Limits of a message's own texts. The whole message stands in one row and goes out with every send.
const (
	maxFaceURLBytes  = 1024 // a longer URL is a picture put into a URL
	maxExBytes       = 8 << 10
	maxPushBytes     = 1024              // each; Apple and Google refuse a whole push of more than 4 KiB
	maxChannelBytes  = 16                // the column; the name itself is checked where the channels are known
	maxPlatformID    = web.AdminPlatform // 1–9 as in the contract, 10 = OpenIM's own administrators
	maxRatePerSecond = 1_000_000
)

// MessageBody is the part of a message that both routes have.
type MessageBody struct {
	SendID           string                  `json:"sendID"`
	SenderNickname   string                  `json:"senderNickname"`
	SenderFaceURL    string                  `json:"senderFaceURL"`
	SenderPlatformID int                     `json:"senderPlatformID"`
	Content          jsontext.Value          `json:"content"`
	ContentType      int                     `json:"contentType"`
	SessionType      int                     `json:"sessionType"`
	IsOnlineOnly     bool                    `json:"isOnlineOnly"`
	NotOfflinePush   bool                    `json:"notOfflinePush"`
	OfflinePushInfo  *models.OfflinePushInfo `json:"offlinePushInfo"`
	Ex               string                  `json:"ex"`
}

// BatchBody is the body of POST /msg/batch_send_msg.
type BatchBody struct {
	MessageBody
	RecvIDs   []string `json:"recvIDs"`
	GroupID   string   `json:"groupID"`
	SendTime  int64    `json:"sendTime"`
	IsSendAll bool     `json:"isSendAll"`
}

// bindBatch reads the body of POST /msg/batch_send_msg. If OpenIM cannot bind a body (malformed,
// wrong type, required field missing), the error is a bindError and the HTTP status 400.
func bindBatch(body []byte) (BatchBody, error) {
	var b BatchBody
	if err := web.Decode(body, &b, web.IgnoreUnknown); err != nil {
		return b, web.AsBindError(err)
	}
	var bind checker
	bind.required(&b.MessageBody)
	if err := bind.err(); err != nil {
		return b, web.AsBindError(err)
	}
	return b, nil
}

// namesNobody says that recvIDs is there and empty, where it should name the recipients.
func (b *BatchBody) namesNobody() bool {
	return b.RecvIDs != nil && len(b.RecvIDs) == 0 && !b.IsSendAll && b.GroupID == "" &&
		(b.SessionType == models.SessionSingle || b.SessionType == models.SessionNotification)
}

// spec checks a body that could be bound. Its error is answered with 200 and its code. With toNobody a list without
// recipients is none of the mistakes, as for the original.
func (b *BatchBody) spec(toNobody bool) (models.CampaignSpec, error) {
	var c checker
	message := c.message(&b.MessageBody)
	message.SendTime = b.SendTime
	if b.SendTime < 0 || models.Millis(b.SendTime) > models.MaxInstant {
		c.add("sendTime", "must be a stamp in milliseconds, from 0, which is none, to %d", models.MaxInstant)
	}
	audience := models.Audience{Type: models.AudienceUsers}
	if !toNobody || !b.namesNobody() {
		audience = c.audience(audienceRequest{
			all: b.IsSendAll, allField: "isSendAll",
			users: b.RecvIDs, usersField: "recvIDs",
			group: b.GroupID, groupField: "groupID",
			session: b.SessionType, sessionField: "sessionType",
		})
	}
	priority := c.priority("", audience)
	if err := c.err(); err != nil {
		return models.CampaignSpec{}, err
	}
	return models.CampaignSpec{Message: message, Audience: audience, Priority: priority}, nil
}

// checker collects what is wrong with a request. prefix is where the message stands in the request.
type checker struct {
	prefix string
	fields []models.FieldError
	tooBig *models.Error // beats all findings: 3004
}

func (c *checker) add(field, format string, args ...any) {
	if len(c.fields) < models.MaxFindings {
		c.fields = append(c.fields, models.FieldError{Field: c.prefix + field, Reason: fmt.Sprintf(format, args...)})
	}
}

func (c *checker) err() error {
	if c.tooBig != nil {
		return c.tooBig
	}
	return models.Invalid(c.fields)
}

func (c *checker) atMost(field, unit string, n, limit int) {
	if n > limit {
		c.add(field, "must be at most %d %s, has %d", limit, unit, n)
	}
}

func (c *checker) id(field, id string) {
	if why := models.CheckNewID(id); why != "" {
		c.add(field, "%s", why)
	}
}

// name checks the name that people give a campaign, a schedule or a group.
func (c *checker) name(name string) {
	c.atMost("name", "characters", utf8.RuneCountInString(name), models.MaxNameChars)
	if why := models.CheckLine(name); why != "" {
		c.add("name", "%s", why)
	}
}

func (c *checker) rate(perSecond int) {
	if perSecond < 0 || perSecond > maxRatePerSecond {
		c.add("ratePerSecond", "must be from 0, which is no limit, to %d", maxRatePerSecond)
	}
}

// given is false for a field that is absent or null.
func given(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

// required checks the four fields that every message needs. The zero value counts as missing.
func (c *checker) required(m *MessageBody) {
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"sendID", m.SendID != ""}, {"content", given(m.Content)}, {"contentType", m.ContentType != 0}, {"sessionType", m.SessionType != 0},
	} {
		if !f.given {
			c.add(f.name, "is required")
		}
	}
	if given(m.Content) && m.Content.Kind() != '{' {
		c.add("content", "must be an object")
	}
}

// message checks the message after required, and returns it as it is stored. The switches are
// independent, as in the contract.
//
// isOnlineOnly with sessionType 3 is accepted: OpenIM pushes such a message to the members who are
// online, so channels that hand a group to a provider can send it. The inbox keeps one copy for the
// group or nothing, and reports the group as skipped.
func (c *checker) message(m *MessageBody) models.Message {
	if m.SendID != "" {
		c.id("sendID", m.SendID)
	}
	c.atMost("senderNickname", "characters", utf8.RuneCountInString(m.SenderNickname), models.MaxNameChars)
	c.atMost("senderFaceURL", "bytes", len(m.SenderFaceURL), maxFaceURLBytes)
	if m.SenderPlatformID < 0 || m.SenderPlatformID > maxPlatformID {
		c.add("senderPlatformID", "must be from 0, which is none, to %d", maxPlatformID)
	}
	if m.SessionType < models.SessionSingle || m.SessionType > models.SessionNotification {
		c.add("sessionType", "must be 1, 2, 3 or 4")
	}
	c.atMost("ex", "bytes", len(m.Ex), maxExBytes)
	if p := m.OfflinePushInfo; p != nil {
		c.atMost("offlinePushInfo.title", "bytes", len(p.Title), maxPushBytes)
		c.atMost("offlinePushInfo.desc", "bytes", len(p.Desc), maxPushBytes)
		c.atMost("offlinePushInfo.ex", "bytes", len(p.Ex), maxPushBytes)
		c.atMost("offlinePushInfo.iOSPushSound", "bytes", len(p.IOSPushSound), maxPushBytes)
		if *p == (models.OfflinePushInfo{}) {
			m.OfflinePushInfo = nil // empty: the default title is used
		}
	}
	return models.Message{
		SendID: m.SendID, SenderNickname: m.SenderNickname, SenderFaceURL: m.SenderFaceURL, SenderPlatformID: m.SenderPlatformID,
		Content: c.content(m), ContentType: m.ContentType, SessionType: m.SessionType,
		IsOnlineOnly: m.IsOnlineOnly, NotOfflinePush: m.NotOfflinePush, OfflinePushInfo: m.OfflinePushInfo, Ex: m.Ex,
	}
}

// content returns the content as it is stored, or nil with findings.
func (c *checker) content(m *MessageBody) []byte {
	if m.Content.Kind() != '{' || m.ContentType == 0 {
		return nil // required has reported it
	}
	normal, findings := models.CheckContent(m.ContentType, m.SessionType, []byte(m.Content))
	for _, f := range findings {
		c.add(f.Field, "%s", f.Reason)
	}
	if normal == nil {
		return nil
	}
	// A wrapped text is JSON inside a JSON string. The body's own rules can be checked only after
	// unwrapping.
	if bad := web.ScanJSON(normal); bad != nil {
		c.add("content.text", "holds JSON whose %s %s", bad.Field, bad.Reason)
	}
	return normal
}

// audienceRequest is an audience as a route's body gives it, with the names of its fields there.
type audienceRequest struct {
	all          bool
	users        []string
	group        string
	session      int // 0 = the message is missing
	allField     string
	usersField   string
	groupField   string
	sessionField string
}

// audience checks who is to receive, and returns the audience without repeats. All users and listed
// users need sessionType 1 or 4, a group 2 or 3.
func (c *checker) audience(r audienceRequest) models.Audience {
	if n := len(r.users); n > models.MaxListed {
		reason := fmt.Sprintf("must have at most %d entries, has %d", models.MaxListed, n)
		c.tooBig = models.Errorf(models.CodeTooLarge, "%s %s", c.prefix+r.usersField, reason)
		c.tooBig.Fields = []models.FieldError{{Field: c.prefix + r.usersField, Reason: reason}}
		return models.Audience{}
	}
	if r.all && len(r.users) > 0 {
		c.add(r.allField, "must not be true when %s names recipients", r.usersField)
		c.add(r.usersField, "must be empty when %s is true", r.allField)
	}
	switch r.session {
	case models.SessionGroup, models.SessionLargeGroup:
		if r.all {
			c.add(r.allField, "must not be true for %s %d, which goes to a group", r.sessionField, r.session)
			c.add(r.sessionField, "must be 1 or 4 when %s is true", r.allField)
		} else if len(r.users) > 0 {
			c.add(r.usersField, "must be empty for %s %d, which goes to a group", r.sessionField, r.session)
		}
		if !r.all && r.group == "" {
			c.add(r.groupField, "is required for %s %d", r.sessionField, r.session)
		}
	case models.SessionSingle, models.SessionNotification:
		if r.group != "" {
			c.add(r.groupField, "must be empty for %s %d, which goes to users", r.sessionField, r.session)
		} else if !r.all && len(r.users) == 0 {
			c.add(r.usersField, "must name at least one recipient unless %s is true", r.allField)
		}
	}
	if r.group != "" {
		c.id(r.groupField, r.group)
	}
	for i, id := range r.users {
		if why := models.CheckNewID(id); why != "" {
			c.add(r.usersField+"."+strconv.Itoa(i), "%s", why)
		}
	}
	switch {
	case r.all:
		return models.Audience{Type: models.AudienceAll}
	case r.group != "":
		return models.Audience{Type: models.AudienceGroup, GroupID: r.group}
	}
	slices.Sort(r.users) // pages are cut in this order, and sorting a sorted list later costs next to nothing
	return models.Audience{Type: models.AudienceUsers, UserIDs: slices.Compact(r.users)}
}

// priority fills in the default, or checks the priority against its limit. Only the store knows a
// group's size: it refuses a transactional campaign whose group has too many members.
func (c *checker) priority(asked models.Priority, a models.Audience) models.Priority {
	listed := len(a.UserIDs)
	switch asked {
	case "":
		if a.Type == models.AudienceUsers && listed <= models.DefaultTransactional {
			return models.PriorityTransactional
		}
		return models.PriorityBulk
	case models.PriorityBulk:
	case models.PriorityTransactional:
		if a.Type == models.AudienceAll {
			c.add("priority", "must be bulk for all users")
		} else if listed > models.MaxTransactional {
			c.add("priority", "must be bulk for more than %d recipients, has %d", models.MaxTransactional, listed)
		}
	default:
		c.add("priority", "must be bulk or transactional")
	}
	return asked
}
