package handlers

import (
	"cmp"
	"context"
	"fmt"

	"carillon/internal/slots"
	"carillon/models"
)

// manyConversations: a sender who gets more new conversations than this from one campaign is worth a warning.
const manyConversations = 1000

// warnings say what a campaign that is accepted may do and its caller may not mean; prefix is where the campaign stands.
func (a *API) warnings(ctx context.Context, spec models.CampaignSpec, prefix string) ([]string, error) {
	list, err := a.plainWarnings(ctx, spec, prefix)
	if err != nil {
		return nil, err
	}
	late, err := a.tooLateFor(ctx, spec)
	if late != "" {
		list = append(list, late)
	}
	return list, err
}

// plainWarnings are those for which the audience is not read.
func (a *API) plainWarnings(ctx context.Context, spec models.CampaignSpec, prefix string) (list []string, err error) {
	if spec.SessionLeft {
		list = append(list, prefix+"message.sessionType was not given: the message is stored once for the group, and the members read it there; with 2 it is sent to each member")
	}
	flooded, err := a.floodedSender(ctx, spec)
	if flooded != "" {
		list = append(list, flooded)
	}
	return list, err
}

// floodedSender warns of what a large audience does to the sender's own list of conversations; "" = nothing.
func (a *API) floodedSender(ctx context.Context, spec models.CampaignSpec) (string, error) {
	traits, _ := a.channel(spec.Channel)
	m := &spec.Message
	if !traits.SyncsSender || m.IsOnlineOnly || m.SessionType != models.SessionSingle || a.IsAdmin(m.SendID) {
		return "", nil
	}
	recipients := int64(len(spec.Audience.UserIDs))
	if spec.Audience.Type == models.AudienceAll {
		d, err := a.Store.Directory(ctx)
		if err != nil {
			return "", err
		}
		recipients = d.Live
	}
	if recipients <= manyConversations {
		return "", nil
	}
	return fmt.Sprintf("through %s the sender gets a conversation with each of %d recipients, on all their own devices: "+
		"send from an account that nobody chats with, or with sessionType 4", spec.Channel, recipients), nil
}

// tooLateFor warns of the zones that a campaign by local time skips, since their time is over already; "" = there are none.
func (a *API) tooLateFor(ctx context.Context, spec models.CampaignSpec) (string, error) {
	if spec.WallAt == 0 {
		return "", nil
	}
	now, err := a.Store.Now(ctx)
	if err != nil || !spec.MissedAt(slots.FirstInstant(spec.WallAt), now) {
		return "", err
	}
	late := missedIn(spec.Timing, now)
	found, err := a.Store.AudienceByZone(ctx, models.ZoneFilter{Audience: spec.Audience, Sender: spec.Message.SendID, Pick: late})
	if err != nil {
		return "", err
	}
	return tooLate(found, spec.Zone), nil
}

// missedIn says which zones a campaign skips that is planned at an instant.
func missedIn(t models.Timing, now models.Millis) func(zone string) bool {
	c := models.Campaign{Timing: t}
	return func(zone string) bool { return slots.Turn(&c, zone, now).Missed }
}

// tooLate is the warning about the recipients of skipped zones; "" = there are none.
func tooLate(found models.AudienceZones, campaigns string) string {
	over, users := map[string]bool{}, int64(0)
	for zone, n := range found {
		over[cmp.Or(zone, campaigns)] = true
		users += n.Users
	}
	if users == 0 {
		return ""
	}
	return fmt.Sprintf("sendAt is over already in %d of the recipients' time zones: %d recipients there are skipped; "+
		"\"missed\":\"once\" with a longer missedGrace (at most %s) sends to them late", len(over), users, maxGrace)
}
