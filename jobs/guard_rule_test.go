package jobs

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"carillon/channels"
	"carillon/models"
)

func TestGuardRule(t *testing.T) {
	t.Parallel()
	denied, blocked := models.FailureKind{ErrCode: 80000, HTTP: 401}, models.FailureKind{ErrCode: 1302}
	first := func(k models.FailureKind) try { return try{k, true} }
	again := func(k models.FailureKind) try { return try{kind: k} }
	var fine models.FailureKind
	for name, c := range map[string]struct {
		tries    tries
		allows   models.FailureKinds
		someSent bool
		kinds    models.FailureKinds
		nobody   bool
	}{
		"19 and nobody":                    {tries: tries{first(denied): 19}},
		"20 and nobody":                    {tries: tries{first(denied): 20}, kinds: models.FailureKinds{denied}, nobody: true},
		"first and later tries together":   {tries: tries{first(denied): 10, again(denied): 10}, kinds: models.FailureKinds{denied}, nobody: true},
		"20 and one who was sent":          {tries: tries{first(denied): 20, first(fine): 1}},
		"20 and one who was sent later":    {tries: tries{first(denied): 20, again(fine): 1}},
		"20, and the ledger knows better":  {tries: tries{first(denied): 20}, someSent: true},
		"half of 100":                      {tries: tries{first(denied): 50, first(fine): 50}},
		"more than half of 100":            {tries: tries{first(denied): 51, first(fine): 49}, kinds: models.FailureKinds{denied}},
		"more than half of 99":             {tries: tries{first(denied): 60, first(fine): 39}},
		"the same at later tries":          {tries: tries{again(denied): 500, first(fine): 49}},
		"a kind that may pass":             {tries: tries{first(denied): 500}, allows: models.FailureKinds{denied}},
		"a new kind beside it":             {tries: tries{first(denied): 500, first(blocked): 20}, allows: models.FailureKinds{denied}, kinds: models.FailureKinds{blocked}, nobody: true},
		"a rare kind stays under watch":    {tries: tries{first(denied): 400, first(blocked): 10, first(fine): 100}, kinds: models.FailureKinds{denied}},
		"as many kinds as the rule needs":  {tries: tries{first(denied): 60, first(blocked): 59, first(fine): 60}, kinds: models.FailureKinds{denied}},
		"two kinds, each of them too many": {tries: tries{first(denied): 400, first(blocked): 300, first(fine): 100}, kinds: models.FailureKinds{denied, blocked}},
	} {
		w := &watched{run: 3, allows: c.allows, someSent: c.someSent, words: map[models.FailureKind]string{denied: strings.Repeat("né", 200)}}
		trip := c.tries.trip(w)
		if held := c.tries.sums(c.allows).bad(c.someSent); held != (c.kinds != nil) || held != (trip != nil) {
			t.Errorf("%s: %+v", name, trip)
			continue
		}
		if trip == nil {
			continue
		}
		if !slices.Equal(trip.Kinds, c.kinds) || trip.Nobody != c.nobody || trip.Run != 3 {
			t.Errorf("%s: %+v", name, trip)
		}
		if n := utf8.RuneCountInString(trip.Reason); n > models.MaxTextChars || !strings.HasSuffix(trip.Reason, "regardless of this") {
			t.Errorf("%s: %d characters of %q", name, n, trip.Reason)
		}
		var texts []string
		for k, n := range c.tries {
			texts = append(texts, k.String(), strconv.Itoa(n))
		}
		if back, err := parseTries(texts); err != nil || !maps.Equal(back, c.tries) {
			t.Errorf("%s: %v came back as %v, %v", name, c.tries, back, err)
		}
	}
}

// Which outcomes the guard counts, and as what.
func TestGuardJudges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o      channels.Outcome
		failed bool // its recipient
		kind   string
	}{
		"sent":                     {channels.Outcome{}, false, "0/0"},
		"refused for good":         {channels.Outcome{Result: channels.Failed, ErrCode: 80000, HTTP: 422}, true, "80000/422"},
		"failed without a code":    {channels.Outcome{Result: channels.Failed}, true, "80000/0"},
		"401":                      {channels.Outcome{Result: channels.Retry, ErrCode: 80000, HTTP: 401}, false, "80000/401"},
		"unreadable":               {channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeCallback}, false, ""},
		"408":                      {channels.Outcome{Result: channels.Retry, ErrCode: 80000, HTTP: 408, Unsure: true}, false, ""},
		"425":                      {channels.Outcome{Result: channels.Retry, ErrCode: 80000, HTTP: 425}, false, ""},
		"429":                      {channels.Outcome{Result: channels.Retry, ErrCode: 80000, HTTP: 429, RetryAfter: 1}, false, ""},
		"500":                      {channels.Outcome{Result: channels.Retry, ErrCode: 80000, HTTP: 500, Fault: channels.Stumble}, false, ""},
		"500 as the last try":      {channels.Outcome{Result: channels.Retry, ErrCode: 80000, HTTP: 500, Fault: channels.Stumble}, true, "80000/500"},
		"no answer":                {channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeNetwork}, false, ""},
		"asked to come again":      {channels.Outcome{Result: channels.Retry, ErrCode: 5}, false, ""},
		"asked so as the last try": {channels.Outcome{Result: channels.Retry, ErrCode: 5}, true, "5/0"},
		"not begun":                {channels.Outcome{Result: channels.NotTried}, false, ""},
		"not online":               {channels.Outcome{Result: channels.Skipped}, false, ""},
	} {
		kind, counts := kindOf(c.o, c.failed)
		if counts != (c.kind != "") || counts && kind.String() != c.kind {
			t.Errorf("%s: %t as %s", name, counts, kind)
		}
	}
}
