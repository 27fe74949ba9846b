package jobs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/models"
)

const (
	// Outcomes without a failure go to the other processes once in this time.
	guardPublish = time.Second
	// A process forgets a campaign this long after its last chunk.
	guardForget = time.Minute
	// Redis forgets the campaign after this time.
	guardKeep = time.Hour
)

// guard pauses a campaign whose failures are not its recipients': a wrong secret or a broken
// template would fail a million users. The rule is in guard_rule.go.
//   - It judges tries, as they are answered. A recipient who is refused with 401 is tried again for
//     half a minute before the ledger has the failure, and so is everybody else meanwhile.
//   - All processes count in one window in Redis. When Redis loses the window, they only count
//     anew.
//   - Whether nobody was sent is for the ledger to say.
type guard struct {
	rdb       redis.UniversalClient
	mu        sync.Mutex
	campaigns map[int64]*watched
}

// watched is one campaign as this process sees it.
type watched struct {
	run         int // of the guard: it counts up when an operator resumes the campaign
	allows      models.FailureKinds
	window      tries // of all processes, as last heard
	unpublished tries // of this process, not in the window yet
	publishedAt time.Time
	usedAt      time.Time
	someSent    bool                          // in this run, by the ledger
	stopped     bool                          // no request starts until the guard's word is in the ledger
	words       map[models.FailureKind]string // the provider's last words
}

func newGuard(rdb redis.UniversalClient) *guard {
	return &guard{rdb: rdb, campaigns: map[int64]*watched{}}
}

// watch is one chunk that the guard watches; nil for a campaign that is too small to be judged.
type watch struct {
	guard    *guard
	id       int64
	campaign *watched
	chunk    []member
	counted  []bool // by place in chunk
}

// watch starts with a chunk; now is the campaign's control state.
func (g *guard) watch(c *models.Campaign, now models.Control, chunk []member) *watch {
	if c.Total < guardFirst {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.campaigns[c.ID]
	if w == nil || w.run != now.GuardRun {
		for id, old := range g.campaigns {
			if time.Since(old.usedAt) > guardForget {
				delete(g.campaigns, id)
			}
		}
		w = &watched{run: now.GuardRun, window: tries{}, unpublished: tries{}, words: map[models.FailureKind]string{}}
		g.campaigns[c.ID] = w
	}
	w.usedAt = time.Now()
	if !slices.Equal(w.allows, now.GuardAllows) {
		w.allows = now.GuardAllows
		w.applyRule()
	}
	return &watch{guard: g, id: c.ID, campaign: w, chunk: chunk, counted: make([]bool, len(chunk))}
}

// applyRule applies the rule to what this process knows.
func (w *watched) applyRule() {
	w.stopped = w.known().sums(w.allows).bad(w.someSent)
}

// known are the outcomes of the window, and those of this process that are not in it yet.
func (w *watched) known() tries {
	all := tries{}
	all.add(w.window)
	all.add(w.unpublished)
	return all
}

// mayStart is asked before each request.
func (w *watch) mayStart() bool {
	if w == nil {
		return true
	}
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	return !w.campaign.stopped
}

// answered takes in what the channel says of one request, so that a chunk can stop in its middle.
func (w *watch) answered(from int, of []channels.Outcome) {
	if w == nil {
		return
	}
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	for i, o := range of {
		w.count(from+i, o, false)
	}
}

// ended takes in the outcomes of the members at some places of the chunk, with the rows that they
// led to.
func (w *watch) ended(at []int, outcomes []channels.Outcome, rows []models.RecipientOutcome) {
	if w == nil {
		return
	}
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	for k, o := range outcomes {
		w.count(at[k], o, rows[k].Status == models.RecipientFailed)
	}
}

// count counts the outcome of a member once; failed says that it was the member's last try.
func (w *watch) count(i int, o channels.Outcome, failed bool) {
	kind, judged := kindOf(o, failed)
	if w.counted[i] || !judged {
		return
	}
	c := w.campaign
	w.counted[i] = true
	c.unpublished[try{kind, w.chunk[i].attempts == 0}]++
	if sent(kind) {
		return
	}
	c.words[kind] = o.ErrMsg
	if !c.stopped {
		c.applyRule()
	}
}

// judge publishes what this process has seen and applies the rule to what all processes have seen.
// nil = go on. After an error it judges by what this process knows.
func (w *watch) judge(ctx context.Context) (*models.Trip, error) {
	if w == nil {
		return nil, nil
	}
	w.guard.mu.Lock()
	c := w.campaign
	own := c.unpublished
	if !c.stopped && !own.fails() && (len(own) == 0 || time.Since(c.publishedAt) < guardPublish) {
		w.guard.mu.Unlock()
		return nil, nil
	}
	c.unpublished, c.publishedAt = tries{}, time.Now()
	w.guard.mu.Unlock()

	window, err := w.publish(ctx, c.run, own)

	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	if err != nil { // nothing is lost
		c.unpublished.add(own)
		window = c.known()
	} else {
		c.window = window
	}
	c.applyRule()
	return window.trip(c), err
}

// sentSome takes in that the ledger knows of recipients who were sent in this run.
func (w *watch) sentSome() {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	w.campaign.someSent = true
	w.campaign.applyRule()
}

// windowScript adds outcomes to a campaign's window and returns all of the window.
//
// The window has two halves: the last half that is full (fields f…), and the half that is being
// filled (fields n…). KEYS: the window. ARGV: outcomes in a half, milliseconds to keep the window,
// then pairs of a try (try.String) and its count. It returns such pairs.
var windowScript = redis.NewScript(`
local full, now, all, n = {}, {}, {}, 0
local raw = redis.call('HGETALL', KEYS[1])
for i = 1, #raw, 2 do
  local half, key, count = raw[i]:sub(1, 1), raw[i]:sub(2), tonumber(raw[i + 1])
  if half == 'f' then full[key] = count else now[key] = count end
end
for i = 3, #ARGV, 2 do
  now[ARGV[i]] = (now[ARGV[i]] or 0) + tonumber(ARGV[i + 1])
end
for key, count in pairs(full) do all[key] = count end
for key, count in pairs(now) do
  all[key] = (all[key] or 0) + count
  n = n + count
end
if n >= tonumber(ARGV[1]) then full, now = now, {} end
redis.call('DEL', KEYS[1])
for key, count in pairs(full) do redis.call('HSET', KEYS[1], 'f' .. key, count) end
for key, count in pairs(now) do redis.call('HSET', KEYS[1], 'n' .. key, count) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local out = {}
for key, count in pairs(all) do
  out[#out + 1] = key
  out[#out + 1] = tostring(count)
end
return out
`)

// publish adds the outcomes of this process to the window in Redis, and returns the window.
func (w *watch) publish(ctx context.Context, run int, own tries) (tries, error) {
	args := []any{guardHalf, guardKeep.Milliseconds()}
	for t, n := range own {
		args = append(args, t.String(), n)
	}
	texts, err := windowScript.Run(ctx, w.guard.rdb, []string{fmt.Sprintf("carillon:guard:%d:%d", w.id, run)}, args...).StringSlice()
	if err != nil {
		return nil, err
	}
	return parseTries(texts)
}

// trip is what the rule says of outcomes; nil = go on. Its kinds are the fewest that must be left
// out for the rule to let the campaign go on. So the guard goes on watching a rare kind beside a
// common one.
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
