package handlers

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"carillon/channels"
	"carillon/handlers/web"
	"carillon/models"
)

const (
	// maxResults: a synchronous answer holds a result for each of so many recipients; those of a larger
	// campaign are read from /v1/campaigns/{id}/recipients.
	maxResults = models.MaxListed
	// maxPaced is how many running campaigns of one list are shown with how fast they go.
	maxPaced = 100
)

// createCampaign is POST /v1/campaigns.
func (a *API) createCampaign(in *web.In) error {
	body, err := bodyOf[CampaignBody](web.ListBody, campaignUnknown)(in)
	if err != nil {
		return err
	}
	made, err := a.CreateCampaign(in.Context(), in.Call, body)
	return made.answer(in, err)
}

// CreateCampaign makes a campaign, and waits for it as the call says.
func (a *API) CreateCampaign(ctx context.Context, call web.Call, body CampaignBody) (Accepted, error) {
	spec, err := body.check("")
	if err != nil {
		return Accepted{}, err
	}
	if err := a.complete(call, &spec, "", "message."); err != nil {
		return Accepted{}, err
	}
	warned, err := a.warnings(ctx, spec, "")
	if err != nil {
		return Accepted{}, err
	}
	return a.makeCampaign(ctx, call, spec, warned)
}

// makeCampaign makes a campaign that is checked, and waits for it as the call says.
func (a *API) makeCampaign(ctx context.Context, call web.Call, spec models.CampaignSpec, warned []string) (Accepted, error) {
	wait, _, err := call.Wait()
	if err != nil {
		return Accepted{}, err
	}
	created, err := a.createCampaignFrom(ctx, call, spec, func(c models.Campaign) []byte {
		v := campaignJSON(models.CampaignView{Campaign: c, Counts: models.Counts{Total: c.Total, Pending: c.Total}})
		v.Warnings = warned
		return web.Success(v)
	})
	if err != nil {
		return Accepted{}, err
	}
	return a.accept(ctx, created, wait, warned)
}

// Accepted is a campaign that was just made, or that an earlier request with the same Idempotency-Key has made.
type Accepted struct {
	ID      string        // empty = none was made
	Applied time.Duration // of Prefer: wait; 0 = the answer did not wait
	View    *CampaignView // as it was after waiting; nil = not waited for
	first   []byte        // the answer to the first request with the same key
}

// answer answers with the campaign, or with err. The headers stand also where the campaign is made and could not be read.
func (m Accepted) answer(in *web.In, err error) error {
	if m.ID != "" {
		in.W.Header().Set("Location", in.Path("/v1/campaigns/"+m.ID))
	}
	applied(in.W, m.Applied)
	switch {
	case err != nil:
		return err
	case m.View == nil:
		return web.Answer(in.W, http.StatusAccepted, m.first)
	case m.View.FinishedAt != nil:
		return in.Answer(http.StatusOK, m.View)
	}
	return in.Answer(http.StatusAccepted, m.View)
}

// accept waits for a campaign that was just made until it is done or the time is up. With an error the campaign stands.
func (a *API) accept(ctx context.Context, created models.Created, wait time.Duration, warned []string) (Accepted, error) {
	made := Accepted{ID: created.PublicID, first: created.Answer}
	give, ok := a.mayWait(ctx, wait)
	if !ok {
		return made, nil
	}
	defer give()
	made.Applied = wait
	if _, err := a.waiters.wait(ctx, a.Store, made.ID, wait, false); err != nil {
		return made, err
	}
	c, err := a.Store.Campaign(ctx, made.ID)
	if err != nil {
		return made, err
	}
	v := a.withPace(ctx, c)
	v.Warnings = warned
	made.View = &v
	return made, nil
}

// mayWait begins a wait for a stored campaign. ok is false where none is asked for, or no room is left: the campaign is
// stored, which is what counts.
func (a *API) mayWait(ctx context.Context, wait time.Duration) (give func(), ok bool) {
	if wait == 0 {
		return nil, false
	}
	web.WaitsFromHere(ctx)
	web.Refund(ctx)
	return a.TakeLong()
}

// applied tells a caller that their Prefer: wait is done; 0 = it was not.
func applied(w http.ResponseWriter, wait time.Duration) {
	if wait != 0 {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
}

// complete adds what does not stand in a body, and checks what depends on the channel. campaign and message are the prefixes
// of their fields in the request.
func (a *API) complete(call web.Call, spec *models.CampaignSpec, campaign, message string) error {
	spec.OperationID, spec.CreatedBy, spec.Zone = call.OperationID, call.UserID, a.Zone
	return a.resolveChannel(spec, campaign, message)
}

// resolveChannel fills in the campaign's channel and checks what depends on the channel. campaign and message are the prefixes of
// their fields in the request.
func (a *API) resolveChannel(spec *models.CampaignSpec, campaign, message string) error {
	if spec.Channel == "" {
		spec.Channel = a.Channels[0].Name
	}
	traits, ok := a.channel(spec.Channel)
	if !ok {
		return models.Invalid([]models.FieldError{{Field: campaign + "channel", Reason: "must be one that is set up here: " + a.channelNames()}})
	}
	if traits.StoresInInbox && spec.Message.IsOnlineOnly && spec.Message.SessionType == models.SessionLargeGroup {
		// the message is stored once and read later; there is no "once" for those online now
		return models.Invalid([]models.FieldError{{Field: message + "isOnlineOnly", Reason: "cannot be used with sessionType 3 through " + traits.Name + "; use sessionType 2"}})
	}
	if reason := refusedSession(traits, spec); reason != "" {
		return models.Invalid([]models.FieldError{{Field: message + "sessionType", Reason: reason}})
	}
	return nil
}

// refusedSession says why a channel cannot take a campaign's sessionType; "" = it can.
func refusedSession(t channels.Traits, spec *models.CampaignSpec) string {
	reason, instead := "", ""
	switch session := spec.Message.SessionType; {
	case session == models.SessionGroup && !t.GroupEach:
		reason = "cannot be 2: channel " + t.Name + " cannot send to each member of a group"
		if t.GroupOnce {
			instead = "; use 3, which sends once to the group"
		}
	case session == models.SessionLargeGroup && !t.GroupOnce:
		reason = "cannot be 3: channel " + t.Name + " cannot send once to a group"
		if t.GroupEach {
			instead = "; use 2, which sends to each member"
		}
	case spec.SessionLeft && !t.StoresInInbox:
		// Nothing stands there that a group's members could read: that their provider knows the
		// group is for the caller to say.
		reason = "is required for a group through " + t.Name + ": "
		if t.GroupEach {
			reason += "2 sends to each member, "
		}
		instead = "3 hands the provider the group's ID, once"
	}
	return reason + instead
}

// createCampaignFrom makes the campaign and has its first tasks enqueued.
func (a *API) createCampaignFrom(ctx context.Context, call web.Call, spec models.CampaignSpec, render func(models.Campaign) []byte) (models.Created, error) {
	idem, err := call.Idempotency(call.Raw)
	if err != nil {
		return models.Created{}, err
	}
	var c models.Campaign
	created, err := a.Store.CreateCampaign(ctx, spec, a.AdminIDs(), idem, func(made models.Campaign) []byte {
		c = made
		return render(made)
	})
	if err == nil {
		a.tellCreated(ctx, call, created, c)
	}
	return a.enqueueCreated(ctx, call, created, err)
}

// enqueueCreated has the first tasks of a campaign that was just made enqueued.
func (a *API) enqueueCreated(ctx context.Context, call web.Call, created models.Created, err error) (models.Created, error) {
	if err != nil || created.Replayed {
		return created, err
	}
	// The campaign is stored: from here on nothing may turn the answer into an error.
	if err := a.Enqueue(context.WithoutCancel(ctx), created); err != nil {
		a.Log.Warn("a stored campaign is left to the reconciler", "operationID", call.OperationID, "campaign", created.PublicID, "err", err)
	}
	return created, nil
}

// CampaignView is a campaign as /v1 shows it.
type CampaignView struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Status       models.Status `json:"status"`
	StatusReason string        `json:"statusReason"`
	// StatusReasonCode says the same for programs; empty = the state has no reason of its own.
	StatusReasonCode models.ReasonCode `json:"statusReasonCode"`
	Channel          string            `json:"channel"`
	Message          *models.Message   `json:"message,omitempty"` // left out of lists
	Audience         AudienceView      `json:"audience"`
	Planned          bool              `json:"planned"`
	Counts           models.Counts     `json:"counts"`
	RatePerSecond    int               `json:"ratePerSecond"`
	// CurrentRatePerSecond and ETASeconds are measured over the last seconds of a running campaign; null when not known.
	CurrentRatePerSecond *float64          `json:"currentRatePerSecond"`
	ETASeconds           *int64            `json:"etaSeconds"`
	LimitedBy            *models.LimitedBy `json:"limitedBy"` // what holds it back; empty = nothing, null = not looked at
	Priority             models.Priority   `json:"priority"`
	Delivery             models.Delivery   `json:"delivery"`
	TimingView
	OperationID string   `json:"operationID"`
	CreatedBy   string   `json:"createdBy"`
	ScheduleID  string   `json:"scheduleID"` // empty = none
	Slot        *string  `json:"slot"`       // null = none, or run by hand
	CreatedAt   string   `json:"createdAt"`
	SendAt      *string  `json:"sendAt"` // with localTime a local date and clock; null = at once
	ExpireAt    *string  `json:"expireAt"`
	ExpireAfter string   `json:"expireAfter,omitempty"` // by local time: from each zone's time to its end
	StartedAt   *string  `json:"startedAt"`
	FinishedAt  *string  `json:"finishedAt"`
	PurgedAt    *string  `json:"purgedAt"`           // from when on the recipients are gone and the counts alone stand
	Warnings    []string `json:"warnings,omitempty"` // in the answer to the POST alone
}

type AudienceView struct {
	Type    models.AudienceType `json:"type"`
	GroupID string              `json:"groupID,omitempty"`
	Size    int64               `json:"size"`
}

func campaignJSON(c models.CampaignView) CampaignView {
	v := CampaignView{
		ID: c.PublicID, Name: c.Name, Status: c.Status, StatusReason: c.StatusReason, Channel: c.Channel,
		Audience: AudienceView{c.AudienceType, c.GroupID, c.Counts.Total}, Planned: c.Planned, Counts: c.Counts,
		RatePerSecond: c.RatePerSecond, Priority: c.Priority, OperationID: c.OperationID, CreatedBy: c.CreatedBy,
		Delivery: c.Delivery, TimingView: timingJSON(c.Timing), ScheduleID: c.ScheduleID, Slot: instantJSON(c.Slot, c.WallAt != 0), SendAt: instantJSON(c.SendAt, false),
		CreatedAt: shown(c.CreatedAt), ExpireAt: instantJSON(c.ExpireAt, false), StartedAt: instantJSON(c.StartedAt, false),
		FinishedAt: instantJSON(c.FinishedAt, false), PurgedAt: instantJSON(c.PurgedAt, false), StatusReasonCode: c.StatusReasonCode,
	}
	if c.ExpireAfter != 0 {
		v.ExpireAfter = durationJSON(c.ExpireAfter)
	}
	if c.WallAt != 0 {
		v.SendAt = instantJSON(c.WallAt, true)
	}
	if c.Message.ContentType != 0 {
		v.Message = &c.Message
	}
	return v
}

// GetCampaign shows a campaign and how fast it goes.
func (a *API) GetCampaign(ctx context.Context, _ web.Call, id string) (CampaignView, error) {
	c, err := a.Store.Campaign(ctx, id)
	if err != nil {
		return CampaignView{}, err
	}
	return a.withPace(ctx, c), nil
}

// withPace is a campaign with how fast it goes.
func (a *API) withPace(ctx context.Context, c models.CampaignView) CampaignView {
	v := campaignJSON(c)
	if a.Pace == nil {
		return v
	}
	pace := a.Pace(ctx, c)
	v.LimitedBy = &pace.LimitedBy
	if v.StatusReason == "" {
		v.StatusReason = pace.Why
	}
	if pace.Known && pace.PerSecond <= maxRatePerSecond*1000 { // of no time at all it is no number
		perSecond := math.Round(pace.PerSecond*10) / 10
		v.CurrentRatePerSecond = &perSecond
		if pace.ETAKnown {
			eta := int64(math.Ceil(pace.ETA.Seconds()))
			v.ETASeconds = &eta
		}
	}
	return v
}

// CampaignList is a page of campaigns without their messages.
type CampaignList struct {
	Campaigns  []CampaignView `json:"campaigns"`
	NextCursor string         `json:"nextCursor"`
}

// ReadCampaignFilter reads which campaigns are asked for.
func ReadCampaignFilter(in *web.In) (f models.CampaignFilter, err error) {
	if f.Before, f.Limit, err = web.ParseBeforePage(in.R); err != nil {
		return f, err
	}
	var c checker
	f.Status, f.Name, f.ScheduleID = models.Status(in.Query("status")), in.Query("name"), in.Query("schedule")
	if f.Status != "" && !slices.Contains(models.Statuses, f.Status) {
		c.add("status", "must be a campaign's status")
	}
	c.name(f.Name)
	if why := models.CheckID(f.ScheduleID); f.ScheduleID != "" && why != "" {
		c.add("schedule", "%s", why)
	}
	f.CreatedFrom = c.instantOrNone("createdFrom", in.Query("createdFrom"))
	f.CreatedTo = c.instantOrNone("createdTo", in.Query("createdTo"))
	return f, c.err()
}

// ListCampaigns lists campaigns, the newest first.
func (a *API) ListCampaigns(ctx context.Context, _ web.Call, f models.CampaignFilter) (list CampaignList, err error) {
	limit := f.Limit
	f.Limit++
	found, err := a.Store.Campaigns(ctx, f)
	if err != nil {
		return list, err
	}
	found, list.NextCursor = web.CutPage(found, limit, func(c models.CampaignView) string { return web.BeforeCursor(c.ID) })
	list.Campaigns = make([]CampaignView, len(found))
	running := 0
	for i, c := range found {
		if c.Status == models.StatusRunning {
			running++
		}
		if running > maxPaced { // each is asked for in the ledger
			list.Campaigns[i] = campaignJSON(c)
		} else {
			list.Campaigns[i] = a.withPace(ctx, c)
		}
	}
	return list, nil
}
