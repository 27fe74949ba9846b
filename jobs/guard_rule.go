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
	guardFirst = 20  // so many failures, and nobody was sent
	guardLeast = 100 // outcomes of first tries, before their share of failures says anything
	guardShare = 0.5
	guardHalf  = 250 // outcomes of half a window; the window is the half that was filled last and what came after it
)

// sent is the kind of the outcomes that are no failure: no code stands for a recipient who was sent.
func sent(k models.FailureKind) bool { return k.ErrCode == 0 }

// try is one kind of outcome.
type try struct {
	kind models.FailureKind
	// first: of its recipient's first try. In the end only those are left who fail again and again, and a share of their
	// failures would say nothing of the campaign.
	first bool
}

// judged says whether an outcome speaks of the campaign, and its kind; failed says that its recipient failed by it. What a
// provider that is ill answers counts only then: it may be well again the next moment. Answers that cannot be read are legible.go's.
func judged(o channels.Outcome, failed bool) (kind models.FailureKind, counts bool) {
	switch {
	case o.Result == channels.Sent:
		return kind, true
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

// sums are what the rule is about, without the failures that the guard lets pass.
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

// bad is the rule. someSent says that somebody was sent in this run, whatever the window holds.
func (s sums) bad(someSent bool) bool {
	n := s.sent + s.failed
	return s.nobody(someSent) || n >= guardLeast && float64(s.failed) > guardShare*float64(n)
}

// trip is what the rule says of outcomes; nil = go on. Its kinds are the fewest without which the rest would let the
// campaign go on, so a rare kind beside a common one stays under watch.
func (ts tries) trip(w *watched) *models.Trip {
	now := ts.sums(w.allows)
	t := &models.Trip{Run: w.run, Nobody: now.nobody(w.someSent)}
	allows := slices.Clone(w.allows)
	for s := now; s.bad(w.someSent); s = ts.sums(allows) {
		t.Kinds, allows = append(t.Kinds, s.worst), append(allows, s.worst)
	}
	if len(t.Kinds) == 0 {
		return nil
	}
	t.Reason = now.reason(t.Nobody, w.words[now.worst])
	return t
}

// maxReason is how many characters of a statusReason are stored.
const maxReason = 255

// reason is the statusReason: the provider's words are what an operator needs.
func (s sums) reason(nobody bool, words string) string {
	const after = "; resume goes on regardless of this"
	text := fmt.Sprintf("too many failed: %d of the last %d recipients", s.failed, s.sent+s.failed)
	if nobody {
		text = fmt.Sprintf("too many failed: %d tries and nobody was sent", s.everFailed)
	}
	text += fmt.Sprintf(", %d with %d", s.worstFailed, s.worst.ErrCode)
	if words != "" {
		text += ": " + words
	} else if s.worst.HTTP > 0 {
		text += ": the provider answered " + strconv.Itoa(s.worst.HTTP)
	}
	return cutTo(text, maxReason-len(after)) + after
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
