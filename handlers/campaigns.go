package handlers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"carillon/channels"
	"carillon/models"
)

const (
	maxIdempotencyKey = 255 // bytes, the column
	maxWait           = 60  // seconds of Prefer: wait
	// maxResults: a synchronous answer holds a result for each of so many recipients; those of a larger
	// campaign are read from /v1/campaigns/{id}/recipients.
	maxResults = models.MaxListed
	// maxPaced is how many running campaigns of one list are shown with how fast they go.
	maxPaced = 100
)

// createCampaign is POST /v1/campaigns.
func (a *API) createCampaign(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, listBody)
	if err != nil {
		return err
	}
	spec, err := parseCampaign(body)
	if err != nil {
		return err
	}
	if err := a.complete(r, &spec, "message."); err != nil {
		return err
	}
	wait, _, err := preferWait(r)
	if err != nil {
		return err
	}
	warned, err := a.warnings(r.Context(), spec, "")
	if err != nil {
		return err
	}
	created, err := a.createCampaignFrom(r, spec, body, func(c models.Campaign) []byte {
		v := campaignJSON(models.CampaignView{Campaign: c, Counts: models.Counts{Total: c.Total, Pending: c.Total}})
		v.Warnings = warned
		return success(v)
	})
	if err != nil {
		return err
	}
	return a.accepted(w, r, created, wait, warned)
}

// accepted answers with a campaign that was just made: at once, or, with Prefer: wait=N, when it is done or N seconds
// have passed.
func (a *API) accepted(w http.ResponseWriter, r *http.Request, created models.Created, wait time.Duration, warned []string) error {
	w.Header().Set("Location", "/v1/campaigns/"+created.PublicID)
	give, ok := a.mayWait(r, wait)
	if !ok {
		return answer(w, http.StatusAccepted, created.Answer)
	}
	defer give()
	applied(w, wait)
	if _, err := a.waiters.wait(r.Context(), a.Store, created.PublicID, wait, false); err != nil {
		return err
	}
	c, err := a.Store.Campaign(r.Context(), created.PublicID)
	if err != nil {
		return err
	}
	v := a.withPace(r.Context(), c)
	v.Warnings = warned
	status := http.StatusAccepted
	if c.FinishedAt != 0 {
		status = http.StatusOK
	}
	return answerData(w, status, v)
}

// mayWait begins a wait for a stored campaign. ok is false where none is asked for, or no room is left: the campaign is
// stored, which is what counts.
func (a *API) mayWait(r *http.Request, wait time.Duration) (give func(), ok bool) {
	if wait == 0 {
		return nil, false
	}
	waitsFromHere(r.Context())
	refund(r.Context())
	return a.takeLong()
}

// applied tells a caller that their Prefer: wait is done.
func applied(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
}

// complete adds what does not stand in a body, and checks what depends on the channel; message is where the message stands.
func (a *API) complete(r *http.Request, spec *models.CampaignSpec, message string) error {
	spec.OperationID, spec.CreatedBy, spec.Zone = operationID(r.Context()), callerOf(r).UserID, a.Zone
	return a.resolveChannel(spec, "", message)
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
func (a *API) createCampaignFrom(r *http.Request, spec models.CampaignSpec, body []byte, render func(models.Campaign) []byte) (models.Created, error) {
	idem, err := idempotency(r, body)
	if err != nil {
		return models.Created{}, err
	}
	var c models.Campaign
	created, err := a.Store.CreateCampaign(r.Context(), spec, a.AdminIDs(), idem, func(made models.Campaign) []byte {
		c = made
		return render(made)
	})
	if err == nil {
		a.tellCreated(r, created, c)
	}
	return a.enqueueCreated(r, created, err)
}

// idempotency is the request's Idempotency-Key, if it has one.
func idempotency(r *http.Request, body []byte) (models.Idempotency, error) {
	key, reason := "", ""
	switch given := r.Header.Values("Idempotency-Key"); {
	case len(given) > 1:
		reason = "must be given once"
	case len(given) == 1:
		if key = given[0]; len(key) > maxIdempotencyKey {
			reason = fmt.Sprintf("must be at most %d bytes", maxIdempotencyKey)
		} else if strings.TrimFunc(key, func(r rune) bool { return r == '"' || r == '\'' || unicode.IsSpace(r) }) == "" { // whose client believes to be safe, and is not
			reason = "must not be blank; leave it out to post without one"
		}
	}
	if reason != "" {
		return models.Idempotency{}, models.Invalid([]models.FieldError{{Field: "Idempotency-Key", Reason: reason}})
	}
	return models.Idempotency{Caller: callerOf(r).UserID, Route: routeName(r), Key: key, BodyHash: sha256.Sum256(body)}, nil
}

// enqueueCreated has the first tasks of a campaign that was just made enqueued.
func (a *API) enqueueCreated(r *http.Request, created models.Created, err error) (models.Created, error) {
	if err != nil || created.Replayed {
		return created, err
	}
	// The campaign is stored: from here on nothing may turn the answer into an error.
	if err := a.Enqueue(context.WithoutCancel(r.Context()), created); err != nil {
		a.Log.Warn("a stored campaign is left to the reconciler", "operationID", operationID(r.Context()), "campaign", created.PublicID, "err", err)
	}
	return created, nil
}

// preferWait reads Prefer: wait=N; 0 = answer at once. given is false where the request says nothing of that.
func preferWait(r *http.Request) (wait time.Duration, given bool, err error) {
	for _, line := range r.Header.Values("Prefer") {
		for pref := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(pref), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
			if err != nil || n < 0 || n > maxWait {
				return 0, true, models.Invalid([]models.FieldError{{Field: "Prefer", Reason: "wait must be 0 to 60 seconds"}})
			}
			return time.Duration(n) * time.Second, true, nil
		}
	}
	return 0, false, nil
}

// campaignView is a campaign as /v1 shows it.
type campaignView struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Status       models.Status `json:"status"`
	StatusReason string        `json:"statusReason"`
	// StatusReasonCode says the same for programs; empty = the state has no reason of its own.
	StatusReasonCode models.ReasonCode `json:"statusReasonCode"`
	Channel          string            `json:"channel"`
	Message          *models.Message   `json:"message,omitempty"` // left out of lists
	Audience         audienceView      `json:"audience"`
	Planned          bool              `json:"planned"`
	Counts           models.Counts     `json:"counts"`
	RatePerSecond    int               `json:"ratePerSecond"`
	// CurrentRatePerSecond and ETASeconds are measured over the last seconds of a running campaign; null when not known.
	CurrentRatePerSecond *float64          `json:"currentRatePerSecond"`
	ETASeconds           *int64            `json:"etaSeconds"`
	LimitedBy            *models.LimitedBy `json:"limitedBy"` // what holds it back; empty = nothing, null = not looked at
	Priority             models.Priority   `json:"priority"`
	Delivery             models.Delivery   `json:"delivery"`
	timingView
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

type audienceView struct {
	Type    models.AudienceType `json:"type"`
	GroupID string              `json:"groupID,omitempty"`
	Size    int64               `json:"size"`
}

func campaignJSON(c models.CampaignView) campaignView {
	v := campaignView{
		ID: c.PublicID, Name: c.Name, Status: c.Status, StatusReason: c.StatusReason, Channel: c.Channel,
		Audience: audienceView{c.AudienceType, c.GroupID, c.Counts.Total}, Planned: c.Planned, Counts: c.Counts,
		RatePerSecond: c.RatePerSecond, Priority: c.Priority, OperationID: c.OperationID, CreatedBy: c.CreatedBy,
		Delivery: c.Delivery, timingView: timingJSON(c.Timing), ScheduleID: c.ScheduleID, Slot: instantJSON(c.Slot, c.WallAt != 0), SendAt: instantJSON(c.SendAt, false),
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

// campaign reads the campaign that the path names. An ID that cannot be one is as unknown as any other.
func (a *API) campaign(r *http.Request) (models.CampaignView, error) {
	id, err := pathID(r, "id")
	if err != nil {
		return models.CampaignView{}, models.NotFound("campaign")
	}
	return a.Store.Campaign(r.Context(), id)
}

func (a *API) getCampaign(w http.ResponseWriter, r *http.Request) error {
	c, err := a.campaign(r)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, a.withPace(r.Context(), c))
}

// withPace is a campaign with how fast it goes.
func (a *API) withPace(ctx context.Context, c models.CampaignView) campaignView {
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

func (a *API) listCampaigns(w http.ResponseWriter, r *http.Request) error {
	before, limit, err := parseBeforePage(r)
	if err != nil {
		return err
	}
	f := models.CampaignFilter{Status: models.Status(r.URL.Query().Get("status")), Before: before, Limit: limit + 1}
	if f.Status != "" && !slices.Contains(models.Statuses, f.Status) {
		return queryError("status", "must be a campaign's status")
	}
	list, err := a.Store.Campaigns(r.Context(), f)
	if err != nil {
		return err
	}
	list, next := cutPage(list, limit, func(c models.CampaignView) string { return beforeCursor(c.ID) })
	views, running := make([]campaignView, len(list)), 0
	for i, c := range list {
		if c.Status == models.StatusRunning {
			running++
		}
		if running > maxPaced { // each is asked for in the ledger
			views[i] = campaignJSON(c)
		} else {
			views[i] = a.withPace(r.Context(), c)
		}
	}
	return answerData(w, http.StatusOK, map[string]any{"campaigns": views, "nextCursor": next})
}
