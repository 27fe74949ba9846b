package handlers

import (
	"cmp"
	"context"
	"fmt"

	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

// manyConversations: a sender who gets more new conversations than this from one campaign is worth a warning.
const manyConversations = 1000

// warnings say what a campaign that is accepted may do and its caller may not mean; prefix is where the campaign stands.
func (a *API) warnings(ctx context.Context, spec models.CampaignSpec, prefix string) ([]string, error) {
	var list []string
	if spec.SessionLeft {
		list = append(list, prefix+"message.sessionType was not given: the message is stored once for the group, and the members read it there; with 2 it is sent to each member")
	}
	for _, look := range []func(context.Context, models.CampaignSpec) (string, error){a.floodedSender, a.tooLateFor} {
		text, err := look(ctx, spec)
		if err != nil {
			return nil, err
		}
		if text != "" {
			list = append(list, text)
		}
	}
	return list, nil
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
	missed := func(zone string) bool {
		loc, _ := zones.Of(zone, spec.Zone)
		return spec.MissedAt(models.Millis(slots.Instant(spec.WallAt.Time(), loc).UnixMilli()), now)
	}
	found, err := a.Store.UsersOfZones(ctx, spec.Audience, spec.Message.SendID, missed)
	if err != nil || len(found) == 0 {
		return "", err
	}
	over, users := map[string]bool{}, int64(0)
	for zone, n := range found {
		over[cmp.Or(zone, spec.Zone)] = true
		users += n
	}
	return fmt.Sprintf("sendAt is over already in %d of the recipients' time zones: %d recipients there are skipped; "+
		"\"missed\":\"once\" with a longer missedGrace (at most %s) sends to them late", len(over), users, maxGrace), nil
}
