package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/channels"
	"carillon/models"
)

// The rule; docs/states.md has it in words.
const (
	guardFirst = 20  // failures, when nobody was sent
	guardLeast = 100 // outcomes of first tries; with fewer their share of failures says nothing
	guardShare = 0.5 // of failures among first tries
	// Outcomes of half a window. The window is the half that was filled last and what came after
	// it.
	guardHalf = 250
)

// sent reports whether a kind of outcome is no failure: a recipient who was sent has no code.
func sent(k models.FailureKind) bool { return k.ErrCode == 0 }

// try is one kind of outcome.
type try struct {
	kind models.FailureKind
	// first says that it was the recipient's first try. In the end only recipients are left who
	// fail again and again, and their share of failures would say nothing of the campaign.
	first bool
}

// kindOf is the kind of an outcome, and whether the guard judges by it. failed says that the
// recipient failed by it. A failing provider's answer counts only then: the provider may be well
// again the next moment. Answers that cannot be read are legible.go's.
func kindOf(o channels.Outcome, failed bool) (kind models.FailureKind, judged bool) {
	switch {
	case o.Result == channels.Sent:
		return kind, true
	case o.Campaign: // refused.go's
		return kind, false
	case o.Result == channels.Failed,
		o.Denied(), // guard: refused-counts
		failed:
		return models.FailureKind{ErrCode: cmp.Or(o.ErrCode, models.CodeCallback), HTTP: o.HTTP}, true
	}
	return kind, false
}

// tries counts outcomes.
type tries map[try]int

func (ts tries) add(more tries) {
	for t, n := range more {
		ts[t] += n
	}
}

func (ts tries) fails() bool {
	for t := range ts {
		if !sent(t.kind) {
			return true
		}
	}
	return false
}

// sums are the figures of the rule, without the failures that an operator has allowed.
type sums struct {
	sent, failed         int // of first tries
	everSent, everFailed int // of all
	worst                models.FailureKind
	worstFailed          int // of all
}

func (ts tries) sums(allows models.FailureKinds) (s sums) {
	kinds := map[models.FailureKind]int{}
	for t, n := range ts {
		switch {
		case sent(t.kind):
			s.everSent += n
			if t.first {
				s.sent += n
			}
		case !allows.Has(t.kind):
			kinds[t.kind] += n
			s.everFailed += n
			if t.first {
				s.failed += n
			}
		}
	}
	for k, n := range kinds {
		if n > s.worstFailed || n == s.worstFailed && k.String() < s.worst.String() {
			s.worst, s.worstFailed = k, n
		}
	}
	return s
}

func (s sums) nobody(someSent bool) bool {
	return !someSent && s.everSent == 0 && s.everFailed >= guardFirst
}

// bad is the rule: nobody was sent, or too many first tries failed. someSent says that somebody was
// sent in this run, whatever the window holds.
func (s sums) bad(someSent bool) bool {
	n := s.sent + s.failed
	return s.nobody(someSent) || n >= guardLeast && float64(s.failed) > guardShare*float64(n)
}

// reason is the statusReason. It quotes the provider's words, because an operator needs them.
func (s sums) reason(nobody bool, words string) string {
	const after = "; resume goes on regardless of this"
	text := fmt.Sprintf("too many failed: %d of the last %d recipients", s.failed, s.sent+s.failed)
	if nobody {
		text = fmt.Sprintf("too many failed: %d tries and nobody was sent", s.everFailed)
	}
	text += fmt.Sprintf(", %d with code %d", s.worstFailed, s.worst.ErrCode)
	if words != "" {
		text += ": " + words
	} else if s.worst.HTTP > 0 {
		text += ": the provider answered " + strconv.Itoa(s.worst.HTTP)
	}
	return models.CutText(text, models.MaxTextChars-len(after)) + after
}

// String is the form in Redis.
func (t try) String() string {
	when := "again"
	if t.first {
		when = "first"
	}
	return when + " " + t.kind.String()
}

func parseTries(texts []string) (tries, error) {
	ts := tries{}
	for pair := range slices.Chunk(texts, 2) {
		when, kind, _ := strings.Cut(pair[0], " ")
		k, err := models.ParseFailureKind(kind)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(pair[len(pair)-1])
		if err != nil {
			return nil, err
		}
		ts[try{k, when == "first"}] += n
	}
	return ts, nil
}
