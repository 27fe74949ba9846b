package models

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
)

// FailureKind tells failures apart: by the code in the recipient's row and, where the provider answered with an error,
// by its HTTP status.
type FailureKind struct {
	ErrCode Code
	HTTP    int // 0 = none
}

func (k FailureKind) String() string { return fmt.Sprintf("%d/%d", k.ErrCode, k.HTTP) }

// ParseFailureKind reads what String writes.
func ParseFailureKind(text string) (k FailureKind, err error) {
	if _, err = fmt.Sscanf(text, "%d/%d", &k.ErrCode, &k.HTTP); err != nil {
		err = fmt.Errorf("%q is no kind of failure: %w", text, err)
	}
	return k, err
}

// maxFailureKinds is how many kinds a campaign remembers. A provider may give each recipient a code of its own.
const maxFailureKinds = 32

// anyFailure stands for all kinds.
const anyFailure Code = -1

// FailureKinds are the kinds of failure that a campaign's guard lets pass. They are stored as texts with commas between.
type FailureKinds []FailureKind

// Has says whether the guard lets a kind pass.
func (ks FailureKinds) Has(k FailureKind) bool {
	return slices.ContainsFunc(ks, func(one FailureKind) bool { return one == k || one.ErrCode == anyFailure })
}

// with adds kinds; when they become too many, all pass.
func (ks FailureKinds) with(more FailureKinds) FailureKinds {
	sum := slices.Clone(ks)
	for _, k := range more {
		if !sum.Has(k) {
			sum = append(sum, k)
		}
	}
	if len(sum) > maxFailureKinds {
		return FailureKinds{{ErrCode: anyFailure}}
	}
	return sum
}

// Value is the stored form.
func (ks FailureKinds) Value() (driver.Value, error) {
	texts := make([]string, len(ks))
	for i, k := range ks {
		texts[i] = k.String()
	}
	return strings.Join(texts, ","), nil
}

// Scan reads the stored form.
func (ks *FailureKinds) Scan(stored any) error {
	var text string
	switch v := stored.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("kinds of failure are stored as a text, not as %T", stored)
	}
	*ks = nil
	for one := range strings.SplitSeq(text, ",") {
		if one == "" {
			continue
		}
		k, err := ParseFailureKind(one)
		if err != nil {
			return err
		}
		*ks = append(*ks, k)
	}
	return nil
}

// Trip is why the guard wants to pause a campaign.
type Trip struct {
	Run    int          // of the campaign, as the outcomes were counted
	Kinds  FailureKinds // without them it would let the campaign go on
	Nobody bool         // as far as was counted, nobody was sent in this run
	Reason string
}

// Guard pauses a running campaign and lets the trip's kinds of failure pass from then on: whoever resumes the campaign does
// so regardless of them. It pauses none that has moved meanwhile, has nobody pending, or lets the kinds pass already. someSent
// says that the ledger knows better than a trip by which nobody was sent, and does not pause it either.
func (s *Store) Guard(ctx context.Context, campaignID int64, t Trip) (paused, someSent bool, err error) {
	c, err := s.CampaignByID(ctx, campaignID)
	if err != nil || c.Status != StatusRunning || c.GuardRun != t.Run || c.Pending == 0 {
		return false, false, err
	}
	if t.Nobody && c.Sent > c.GuardBase {
		return false, true, nil
	}
	allows := c.GuardAllows.with(t.Kinds)
	if slices.Equal(allows, c.GuardAllows) {
		return false, false, nil
	}
	paused, err = s.moveCampaign(ctx, campaignID, StatusRunning, move{to: StatusPaused, reason: Reason{ReasonGuard, t.Reason}, via: ViaGuard,
		set: "guard_allows=?", setArgs: []any{allows}, only: "guard_run=? AND guard_allows=?", onlyArgs: []any{t.Run, c.GuardAllows}})
	return paused, false, err
}
