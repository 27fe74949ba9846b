package models

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"gorm.io/gorm"
)

// Idempotency is a caller's Idempotency-Key with what it is compared by. An empty Key means none was given.
type Idempotency struct {
	Caller, Route, Key string
	BodyHash           [sha256.Size]byte
}

type idempotencyRow struct {
	Caller, Route string
	IdemKey       string
	BodyHash      []byte
	PublicID      string
	Answer        []byte
	CreatedAt     Millis `gorm:"autoCreateTime:false"`
}

func (idempotencyRow) TableName() string { return "idempotency" }

// Created is what CreateCampaign did.
type Created struct {
	PublicID string
	Answer   []byte // what to answer, byte for byte the same on every replay
	Replayed bool
	Tasks    []PageTask // pages to enqueue
	Plan     *PlanTask  // the plan to enqueue, when the audience is still to be cut
	Refused  string     // why a slot of a schedule made no campaign
	Late     Millis     // how long after its sendAt a scheduled campaign has started
}

// ClientMsgID is the idempotency key of one recipient of one campaign towards a channel: 32 hex digits, the
// form the original server gives its message IDs.
func ClientMsgID(publicID string, kind int, recipientID string) string {
	var room [160]byte // of the longest IDs
	text := append(append(room[:0], publicID...), ':')
	text = append(strconv.AppendInt(text, int64(kind), 10), ':')
	sum := sha256.Sum256(append(text, recipientID...))
	return hex.EncodeToString(sum[:16])
}

// CreateCampaign stores spec, and its Idempotency-Key with the complete answer, in one transaction: as a running
// campaign whose audience is frozen, or, with a sendAt to come, as a scheduled one. answer renders what is to
// be answered; admins may send without standing in the directory.
// Errors: 1004 for an unknown sender, group or an empty directory, 3002 and 3003 for the key.
func (s *Store) CreateCampaign(ctx context.Context, spec CampaignSpec, admins []string, idem Idempotency, answer func(Campaign) []byte) (Created, error) {
	if done, err := s.replay(ctx, idem); err != nil || done != nil {
		return deref(done), err
	}
	c, err := s.newCampaign(ctx, &spec, admins)
	if err != nil {
		return Created{}, err
	}
	out := Created{PublicID: c.PublicID, Answer: answer(c)}
	return s.withIdempotency(ctx, idem, out, c.CreatedAt, func(tx *gorm.DB, out *Created) error {
		c := c // a repeated transaction starts from the frozen row
		return s.insertCampaign(tx, &c, spec.Audience, out)
	})
}

// withIdempotency runs f and stores the Idempotency-Key with out's answer in one transaction, the key first: the loser of two
// that come at the same time blocks on it and then replays.
func (s *Store) withIdempotency(ctx context.Context, idem Idempotency, out Created, now Millis, f func(tx *gorm.DB, out *Created) error) (Created, error) {
	err := s.tx(ctx, func(tx *gorm.DB) error {
		out.Tasks, out.Plan = nil, nil
		if idem.Key != "" { // guard: idempotency-key
			row := idempotencyRow{idem.Caller, idem.Route, idem.Key, idem.BodyHash[:], out.PublicID, out.Answer, now}
			if err := tx.Create(&row).Error; err != nil {
				return err
			}
		}
		return f(tx, &out)
	})
	if idem.Key == "" || err == nil {
		return out, err
	}
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		done, err := s.replay(ctx, idem)
		if done == nil && err == nil {
			err = &Error{Code: CodeIdempotencyInProgress, Detail: "another request with this Idempotency-Key is under way", RetryAfter: idempotencyWait}
		}
		return deref(done), err
	}
	if isRetryable(err) { // the winner holds the key's lock for longer than we wait
		err = &Error{Code: CodeIdempotencyInProgress, Detail: "another request with this Idempotency-Key is under way", RetryAfter: idempotencyWait, Cause: err}
	}
	return Created{}, err
}

// idempotencyWait is the Retry-After of a key whose first request is still under way.
const idempotencyWait = time.Second

func deref(c *Created) Created {
	if c == nil {
		return Created{}
	}
	return *c
}

// replay finds what was answered under the key before: nil when nothing was, or there is no key.
func (s *Store) replay(ctx context.Context, idem Idempotency) (*Created, error) {
	if idem.Key == "" {
		return nil, nil
	}
	var rows []idempotencyRow
	err := s.db.WithContext(ctx).Where("caller = ? AND route = ? AND idem_key = ?", idem.Caller, idem.Route, idem.Key).Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if string(rows[0].BodyHash) != string(idem.BodyHash[:]) { // guard: another-body
		return nil, Errorf(CodeIdempotencyMismatch, "this Idempotency-Key was used with another body")
	}
	return &Created{PublicID: rows[0].PublicID, Answer: rows[0].Answer, Replayed: true}, nil
}

// directoryState is what freezes an audience: one non-locking read of the directory.
type directoryState struct {
	Rev, Live, Now int64
	SenderKnown    bool
}

func (s *Store) directoryState(db *gorm.DB, senderID string) (d directoryState, err error) {
	err = db.Raw("SELECT rev, live, "+s.d.now+" AS now, EXISTS(SELECT 1 FROM users WHERE user_id = ?) AS sender_known FROM directory WHERE id=1", senderID).Scan(&d).Error
	return d, err
}

// newCampaign turns spec into the row to insert, its audience frozen unless it starts later.
func (s *Store) newCampaign(ctx context.Context, spec *CampaignSpec, admins []string) (Campaign, error) {
	spec.Audience.UserIDs = sortedUnique(spec.Audience.UserIDs)
	db := s.db.WithContext(ctx)
	c := Campaign{
		PublicID: ulid.Make().String(), Name: spec.Name, Status: StatusRunning, Channel: spec.Channel, Message: spec.Message,
		AudienceType: spec.Audience.Type, GroupID: spec.Audience.GroupID, RatePerSecond: spec.RatePerSecond,
		Priority: spec.Priority, Delivery: cmp.Or(spec.Delivery, AtLeastOnce), ExpireAt: spec.ExpireAt,
		SendAt: spec.SendAt, Timing: spec.Timing, ScheduleID: spec.ScheduleID, Slot: spec.Slot,
		OperationID: spec.OperationID, CreatedBy: spec.CreatedBy, Traceparent: s.traceparent(ctx),
	}
	// Before the directory is read: a sync that ends in between has then filled it.
	why, waits, err := s.awaits(db, &c)
	if err != nil {
		return Campaign{}, err
	}
	dir, err := s.directoryState(db, spec.Message.SendID)
	if err != nil {
		return Campaign{}, err
	}
	if !dir.SenderKnown && !slices.Contains(admins, spec.Message.SendID) {
		return Campaign{}, &Error{Code: CodeRecordNotFound, Detail: "sendID is neither a user of the directory nor an admin", Fields: []FieldError{{Field: "message.sendID", Reason: "is neither a user of the directory nor an admin"}}}
	}
	now := Millis(dir.Now)
	c.CreatedAt, c.StartedAt = now, now
	switch {
	case spec.ExpireAfter > 0 && c.WallAt != 0:
		c.ExpireAfter = spec.ExpireAfter // ExpireAt is the last zone's
	case spec.ExpireAfter > 0:
		c.ExpireAt = now + spec.ExpireAfter
	}
	later := c.SendAt > now
	if !later {
		later, c.StatusReason, c.StatusReasonCode = waits, why.Text, why.Code
	}
	if err := s.freeze(db, &c, dir, len(spec.Audience.UserIDs)); err != nil {
		return c, err
	}
	if later {
		c.Status, c.StartedAt, c.Inbox = StatusScheduled, 0, inboxNone
	}
	return c, nil
}

// freeze sets what the audience of c is from here on: its mark or group version, and its first total. listed is how
// many recipients it names. For one that starts later it is a first look, and the start freezes anew.
func (s *Store) freeze(db *gorm.DB, c *Campaign, dir directoryState, listed int) error {
	switch c.AudienceType {
	case AudienceAll:
		if dir.Live == 0 && c.StatusReasonCode != ReasonDirectorySync {
			return &Error{Code: CodeRecordNotFound, Detail: "the directory holds no users; run carillon users import",
				Fields: []FieldError{{Field: "audience", Reason: "is empty: the directory holds no users; run carillon users import"}}}
		}
		c.Mark, c.Total = dir.Rev, dir.Live
		if dir.SenderKnown && c.leftOut() != "" {
			c.Total--
		}
	case AudienceUsers:
		c.Mark, c.Planned, c.Total = dir.Rev, !c.Zoned(), int64(listed)
	case AudienceGroup:
		g, err := s.group(db, c.GroupID)
		if err != nil && AsError(err).Code == CodeRecordNotFound {
			return &Error{Code: CodeRecordNotFound, Detail: "the group does not exist", Fields: []FieldError{{Field: "audience.groupID", Reason: "does not exist"}}}
		}
		if err != nil {
			return err
		}
		c.Mark, c.GroupVersion, c.Total = dir.Rev, g.Version, int64(g.Size)
		if c.Message.SessionType == SessionLargeGroup {
			c.Kind, c.Planned, c.Total = KindGroup, true, 1
		} else if c.Priority == PriorityTransactional && g.Size > MaxTransactional {
			return Invalid([]FieldError{{Field: "priority", Reason: fmt.Sprintf("transactional is for at most %d recipients; the group has %d", MaxTransactional, g.Size)}})
		}
	}
	if s.StoresInInbox(c.Channel) && !c.Message.IsOnlineOnly {
		c.Inbox = inboxLarge
		if c.Total <= maxInboxSmall {
			c.Inbox = inboxSmall
		}
	}
	return nil
}

// insertCampaign stores the row and, where the audience is at hand, its pages, and queues the first of them if it
// runs.
func (s *Store) insertCampaign(tx *gorm.DB, c *Campaign, a Audience, out *Created) error {
	if c.AudienceType == AudienceGroup {
		g, err := s.lockGroup(tx, c.GroupID)
		if err != nil {
			return err
		}
		c.GroupVersion = g.Version
	}
	members := a.UserIDs
	if c.Kind == KindGroup {
		members = []string{c.GroupID}
	}
	running := c.Status == StatusRunning
	if c.Planned {
		c.Pages = (len(members) + PageSize - 1) / PageSize
	} else if running {
		c.PlanEpoch, c.PlanDue = 1, c.CreatedAt+PlanLease
	}
	if err := s.begin(tx, c); err != nil {
		return err
	}
	if c.StatusReasonCode == ReasonDirectorySync {
		if err := wantSync(tx); err != nil {
			return err
		}
	}
	if !c.Planned {
		if running {
			out.Plan = &PlanTask{Campaign: c.ID, Epoch: c.PlanEpoch, Priority: c.Priority}
		}
		return insertListed(tx, c.ID, members)
	}
	pages := cutPages(c.ID, 0, members)
	if running {
		for i := range pages[:min(firstWindow, len(pages))] {
			pages[i].State, pages[i].Epoch, pages[i].DueAt = PageQueued, 1, c.CreatedAt+QueueLease
			out.Tasks = append(out.Tasks, PageTask{Campaign: c.ID, Page: pages[i].No, Epoch: 1, Priority: c.Priority})
		}
	}
	return insertPages(tx, pages)
}

func (c *CampaignView) computePending() {
	c.Counts.Total = c.Campaign.Total
	c.Pending = c.Campaign.Total - c.Sent - c.Failed - c.Skipped - c.Expired - c.Cancelled - c.Unknown
}

// Campaign reads a campaign by its public ID with its counts, in one statement; 1004 when there is none.
func (s *Store) Campaign(ctx context.Context, publicID string) (CampaignView, error) {
	if !isPublicID(publicID) {
		return CampaignView{}, NotFound("campaign")
	}
	return s.campaign(ctx, "c.public_id = ?", publicID)
}

// CampaignByID is Campaign by the internal number.
func (s *Store) CampaignByID(ctx context.Context, id int64) (CampaignView, error) {
	return s.campaign(ctx, "c.id = ?", id)
}

func (s *Store) campaign(ctx context.Context, where string, arg any) (CampaignView, error) {
	rows, err := s.campaigns(ctx, "SELECT c.* FROM campaigns c WHERE "+where, arg)
	if err == nil && len(rows) == 0 {
		err = NotFound("campaign")
	}
	if err != nil {
		return CampaignView{}, err
	}
	return rows[0], nil
}

// Progress reads how far campaigns are, by public ID: whether they have finished and how many recipients they have, in
// one narrow statement for some hundred of them. Their messages and counts are left out.
func (s *Store) Progress(ctx context.Context, publicIDs []string) (map[string]Campaign, error) {
	out := make(map[string]Campaign, len(publicIDs))
	for some := range slices.Chunk(publicIDs, 500) {
		var rows []Campaign
		err := s.db.WithContext(ctx).Select("id", "public_id", "status", "channel", "kind", "planned", "total", "finished_at", "purged_at").
			Where("public_id IN ?", some).Find(&rows).Error
		if err != nil {
			return nil, err
		}
		for _, c := range rows {
			out[c.PublicID] = c
		}
	}
	return out, nil
}

// CampaignFilter selects campaigns, newest first.
type CampaignFilter struct {
	Status      Status // empty = any
	Name        string // a part of the name, in upper or lower case; empty = any
	ScheduleID  string // that has made them; empty = any
	CreatedFrom Millis // 0 = any
	CreatedTo   Millis // before it; 0 = any
	Before      int64  // internal number to go on before; 0 = from the newest
	Limit       int
}

// where is the filter as a condition. A part of a name has no index: the names are read from Before on, until the page is full.
func (f CampaignFilter) where(anyCase string) (where string, args []any) {
	and := func(condition string, arg any) {
		where += " AND " + condition
		args = append(args, arg)
	}
	where, args = "id < ?", []any{cmp.Or(f.Before, math.MaxInt64)}
	if f.Status != "" {
		and("status = ?", f.Status)
	}
	if f.ScheduleID != "" {
		and("schedule_id = ?", f.ScheduleID)
	}
	if f.CreatedFrom != 0 {
		and("created_at >= ?", f.CreatedFrom)
	}
	if f.CreatedTo != 0 {
		and("created_at < ?", f.CreatedTo)
	}
	if f.Name != "" {
		and("name"+anyCase+" LIKE ? ESCAPE '!'", "%"+likeText.Replace(f.Name)+"%")
	}
	return where, args
}

// likeText makes a text stand for itself in a LIKE whose escape is "!".
var likeText = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// Campaigns lists campaigns, newest first, with their counts and without their messages.
func (s *Store) Campaigns(ctx context.Context, f CampaignFilter) ([]CampaignView, error) {
	where, args := f.where(s.d.anyCase)
	if f.Name != "" { // campaigns selects twice, and all rows may have to be read for a few names
		var ids []int64
		err := s.db.WithContext(ctx).Raw("SELECT id FROM campaigns WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...).Scan(&ids).Error
		if err != nil || len(ids) == 0 {
			return nil, err
		}
		where, args = "id IN ?", []any{ids} // whatever else has changed since
	}
	return s.campaigns(ctx, "SELECT "+listedColumns+", "+finalColumns+" FROM campaigns WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
}

// campaigns joins the selected rows with the sums of their pages, which only unfinished ones have: rows and sums are
// of one instant.
func (s *Store) campaigns(ctx context.Context, selected string, args ...any) ([]CampaignView, error) {
	var rows []CampaignView
	err := s.db.WithContext(ctx).Raw(`SELECT c.*, `+campaignCounts+` FROM (`+selected+`) c
		JOIN (SELECT s.id, `+campaignSums+` FROM (`+selected+`) s `+countedPages+` GROUP BY s.id) t ON t.id = c.id
		ORDER BY c.id DESC`, append(append([]any{}, args...), args...)...).Scan(&rows).Error
	for i := range rows {
		rows[i].computePending()
	}
	return rows, err
}

// PurgeIdempotency deletes the keys older than the given time.
func (s *Store) PurgeIdempotency(ctx context.Context, before Millis) error {
	db := s.db.WithContext(ctx)
	for {
		var rows []idempotencyRow
		if err := db.Select("caller", "route", "idem_key").Where("created_at < ?", before).Limit(1000).Find(&rows).Error; err != nil {
			return err
		}
		for _, r := range rows {
			err := s.w.WithContext(ctx).Where("caller = ? AND route = ? AND idem_key = ?", r.Caller, r.Route, r.IdemKey).Delete(&idempotencyRow{}).Error
			if err != nil {
				return err
			}
		}
		if len(rows) < 1000 {
			return nil
		}
	}
}

// RunningCounts reads all running campaigns with their counts, without their messages.
func (s *Store) RunningCounts(ctx context.Context) ([]CampaignView, error) {
	return s.campaigns(ctx, "SELECT "+listedColumns+", "+finalColumns+" FROM campaigns WHERE status = ?", StatusRunning)
}
