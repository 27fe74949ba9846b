package handlers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

// estimatesAtOnce is how many audiences one process counts at a time for estimates.
const estimatesAtOnce = 2

// Estimate is what a campaign would do if it were made now.
type Estimate struct {
	Channel string `json:"channel"`
	EstimateCounts
	LeftOut []LeftOut      `json:"leftOut"`
	Zones   []EstimateZone `json:"zones"` // none for a message that is sent once to a group
	// RatePerSecond is the lower of the campaign's and the channel's rate; 0 = no limit.
	RatePerSecond int              `json:"ratePerSecond"`
	LimitedBy     models.LimitedBy `json:"limitedBy"`    // which of the two rates that is; empty = no limit
	TakesSeconds  *int64           `json:"takesSeconds"` // of sending alone; null = there is no rate to tell by
	StartsAt      *string          `json:"startsAt"`     // when the first may get it; null = not known
	EndsAt        *string          `json:"endsAt"`       // null = not known
	Warnings      []string         `json:"warnings"`
}

// EstimateCounts are recipients by the status that they will have. Total is the sum of the others.
type EstimateCounts struct {
	Total   int64 `json:"total"`
	Sent    int64 `json:"sent"`
	Failed  int64 `json:"failed"`
	Skipped int64 `json:"skipped"`
	Expired int64 `json:"expired"`
}

// LeftOut is how many do not get the message for one reason.
type LeftOut struct {
	Reason LeftOutReason `json:"reason"`
	Status string        `json:"status"` // that they will have; empty = they are no recipients, and not in the total
	Count  int64         `json:"count"`
	Text   string        `json:"text"` // the reason in words
}

// LeftOutReason says why somebody does not get the message.
type LeftOutReason string

const (
	leftOutSender   LeftOutReason = "sender"
	leftOutRepeated LeftOutReason = "repeated"
	leftOutUnknown  LeftOutReason = "unknown"
	leftOutRefuses  LeftOutReason = "refuses"
	leftOutTimeOver LeftOutReason = "timeOver"
	leftOutExpired  LeftOutReason = "expired"
)

// EstimateZone is what a campaign would do in one time zone.
type EstimateZone struct {
	Zone        string `json:"zone"`
	WithoutZone int64  `json:"withoutZone"` // recipients who have no zone, and go by this one
	EstimateCounts
	StartsAt *string `json:"startsAt"` // with the zone's own offset; null = not known, or nobody gets it there
	EndsAt   *string `json:"endsAt"`   // with the zone's own offset; null = not known, or nobody gets it there
}

// EstimateCampaign says what CreateCampaign would do with the same body, and stores nothing. The
// audience is counted as it is now.
func (a *API) EstimateCampaign(ctx context.Context, call web.Call, body CampaignBody) (Estimate, error) {
	spec, err := body.check("")
	if err != nil {
		return Estimate{}, err
	}
	if err := a.complete(call, &spec, "", "message."); err != nil {
		return Estimate{}, err
	}
	leave, err := a.estimators.enter(ctx, estimatesAtOnce, "campaigns are estimated")
	if err != nil {
		return Estimate{}, err
	}
	defer leave()
	c, err := a.Store.ExpectedCampaign(ctx, spec, a.AdminIDs())
	if err != nil {
		return Estimate{}, err
	}
	f, err := a.forecast(ctx, c, spec.Audience)
	if err != nil {
		return Estimate{}, err
	}
	out := f.view()
	out.Channel, out.LimitedBy = c.Channel, f.limitedBy
	out.LeftOut = append(leftOutOf(c, spec, body.Audience, f), f.leftOut()...)
	out.Warnings, err = a.estimateWarnings(ctx, spec, f)
	return out, err
}

// leftOutOf are those whom a campaign does not count among its recipients.
func leftOutOf(c models.Campaign, spec models.CampaignSpec, asked *AudienceBody, f *forecast) []LeftOut {
	list := []LeftOut{}
	if f.sender > 0 {
		list = append(list, LeftOut{leftOutSender, "", f.sender, "a message to all users does not go to its own sender"})
	}
	if c.AudienceType == models.AudienceUsers {
		if n := len(*asked.UserIDs) - len(spec.Audience.UserIDs); n > 0 {
			list = append(list, LeftOut{leftOutRepeated, "", int64(n), "they are named before in the list, and get it once"})
		}
	}
	return list
}

// forecast counts the audience of a campaign and foresees its course.
func (a *API) forecast(ctx context.Context, c models.Campaign, audience models.Audience) (*forecast, error) {
	f := &forecast{c: c, begins: max(c.CreatedAt, c.SendAt), unknownStart: c.StatusReasonCode == models.ReasonDirectorySync}
	f.rate, f.limitedBy = c.RatePerSecond, models.LimitedByNothing
	if f.rate > 0 {
		f.limitedBy = models.LimitedByCampaignRate
	}
	if of := a.Rates[c.Channel]; of > 0 && (f.rate == 0 || of < f.rate) {
		f.rate, f.limitedBy = of, models.LimitedByChannelRate
	}
	if c.Kind == models.KindGroup {
		f.once()
		return f, f.run(ctx)
	}
	traits, _ := a.channel(c.Channel)
	found, err := a.Store.AudienceByZone(ctx, models.ZoneFilter{Audience: audience, Sender: c.Message.SendID, Refusing: traits.SyncsUsers})
	if err != nil {
		return nil, err
	}
	if c.AudienceType == models.AudienceAll {
		if f.sender, err = a.senderAmong(ctx, c); err != nil {
			return nil, err
		}
	}
	for _, zone := range slices.Sorted(maps.Keys(found)) {
		f.add(zone, found[zone], traits.KnowsUsers)
	}
	return f, f.run(ctx)
}

// senderAmong is 1 where the sender is a user of the directory, else 0.
func (a *API) senderAmong(ctx context.Context, c models.Campaign) (int64, error) {
	_, err := a.Store.User(ctx, c.Message.SendID)
	if err != nil && models.AsError(err).Code == models.CodeRecordNotFound {
		return 0, nil
	}
	return 1, err
}

// estimateWarnings are those of the POST, and what only somebody who asks beforehand can use.
func (a *API) estimateWarnings(ctx context.Context, spec models.CampaignSpec, f *forecast) ([]string, error) {
	list, err := a.plainWarnings(ctx, spec, "")
	if err != nil {
		return nil, err
	}
	if late := tooLate(f.late, spec.Zone); late != "" {
		list = append(list, late)
	}
	if f.unknownStart {
		list = append(list, f.c.StatusReason+": the campaign starts after it, and its audience may then be another")
	}
	if spec.Message.IsOnlineOnly {
		list = append(list, "message.isOnlineOnly: whoever is not online then is skipped; how many those are is not known")
	}
	if f.tooLong {
		list = append(list, fmt.Sprintf("at this rate it takes longer than %d days", int(foreseeable/day)))
	}
	if f.limitedBy == models.LimitedByChannelRate {
		n, err := a.Store.RunningOn(ctx, f.c.Channel)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			list = append(list, fmt.Sprintf("campaigns that run through %s now: %d; they share its rate, so this one takes longer while they run", f.c.Channel, n))
		}
	}
	if list == nil {
		list = []string{}
	}
	return list, nil
}

// inZone is an instant with the offset of a zone.
func inZone(at models.Millis, loc *time.Location) *string {
	text := min(cmp.Or(at, models.MinInstant), models.MaxInstant-models.Millis(day/time.Millisecond)).Time().In(loc).Format(time.RFC3339Nano)
	return &text
}
