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
	guardTell   = time.Second // what no failure is in can wait so long
	guardForget = time.Minute // after a process's last chunk of a campaign
	guardKeep   = time.Hour   // the same in Redis
)

// guard pauses a campaign whose failures are not its recipients': a wrong secret or a broken template would fail a million users.
// The rule is in guard_rule.go. It judges tries, as they are answered: a recipient who is refused with 401 is tried
// again for half a minute before the ledger has the failure, and so is everybody else meanwhile. All processes count
// in one window in Redis. One that loses the window only counts anew; whether nobody was sent is the ledger's to say.
type guard struct {
	rdb redis.UniversalClient
	mu  sync.Mutex
	all map[int64]*watched
}

// watched is one campaign as this process sees it.
type watched struct {
	run      int
	allows   models.FailureKinds
	heard    tries // the window, when it was last told to
	own      tries // not told yet
	told     time.Time
	used     time.Time
	someSent bool                          // the ledger says so
	held     bool                          // no request starts until the ledger has the guard's word
	words    map[models.FailureKind]string // the provider's last ones
}

func newGuard(rdb redis.UniversalClient) *guard {
	return &guard{rdb: rdb, all: map[int64]*watched{}}
}

// watch is one chunk under the guard's eyes; nil for a campaign too small to be judged.
type watch struct {
	*guard
	id    int64
	on    *watched
	chunk []member
	noted []bool
}

// watch begins with a chunk; now is the campaign's state.
func (g *guard) watch(c *models.Campaign, now models.Control, chunk []member) *watch {
	if c.Total < guardFirst {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.all[c.ID]
	if w == nil || w.run != now.GuardRun {
		for id, old := range g.all {
			if time.Since(old.used) > guardForget {
				delete(g.all, id)
			}
		}
		w = &watched{run: now.GuardRun, heard: tries{}, own: tries{}, words: map[models.FailureKind]string{}}
		g.all[c.ID] = w
	}
	w.used = time.Now()
	if !slices.Equal(w.allows, now.GuardAllows) {
		w.allows = now.GuardAllows
		w.look()
	}
	return &watch{g, c.ID, w, chunk, make([]bool, len(chunk))}
}

// look applies the rule to what this process knows.
func (w *watched) look() {
	all := tries{}
	all.add(w.heard)
	all.add(w.own)
	w.held = all.sums(w.allows).bad(w.someSent)
}

// mayStart is asked before each request.
func (w *watch) mayStart() bool {
	if w == nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.on.held
}

// answered is the channel's word about one request: so a chunk stops in its middle.
func (w *watch) answered(from int, of []channels.Outcome) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, o := range of {
		w.note(from+i, o, false)
	}
}

// ended takes in the outcomes of the members at some places of the chunk, with the rows they have led to.
func (w *watch) ended(at []int, outcomes []channels.Outcome, rows []models.RecipientOutcome) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, o := range outcomes {
		w.note(at[k], o, rows[k].Status == models.RecipientFailed)
	}
}

// note counts an outcome once; failed says that it was the recipient's last try.
func (w *watch) note(i int, o channels.Outcome, failed bool) {
	kind, counts := judged(o, failed)
	if w.noted[i] || !counts {
		return
	}
	on := w.on
	w.noted[i] = true
	on.own[try{kind, w.chunk[i].attempts == 0}]++
	if !sent(kind) {
		on.words[kind] = o.ErrMsg
		if !on.held {
			on.look()
		}
	}
}

// judge tells the other processes what this one has seen and applies the rule to what all have; nil = go on.
func (w *watch) judge(ctx context.Context) (*models.Trip, error) {
	if w == nil {
		return nil, nil
	}
	w.mu.Lock()
	on := w.on
	own := on.own
	if !on.held && !own.fails() && (len(own) == 0 || time.Since(on.told) < guardTell) {
		w.mu.Unlock()
		return nil, nil
	}
	on.own, on.told = tries{}, time.Now()
	w.mu.Unlock()

	heard, err := w.tell(ctx, on.run, own)

	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil { // nothing is lost, and this process can judge by itself
		on.own.add(own)
		heard = tries{}
		heard.add(on.heard)
		heard.add(on.own)
	} else {
		on.heard = heard
	}
	on.look()
	return heard.trip(on), err
}

// sentSome takes in that the ledger knows of recipients who were sent in this run.
func (w *watch) sentSome() {
	w.mu.Lock()
	defer w.mu.Unlock()
	on := w.on
	on.someSent = true
	on.look()
}

// tellScript adds outcomes to a campaign's window and returns the window: the last half that is full and the one being filled.
// KEYS: the window. ARGV: outcomes in a half, milliseconds to keep it, then outcomes and how many.
var tellScript = redis.NewScript(`
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

func (w *watch) tell(ctx context.Context, run int, own tries) (tries, error) {
	args := []any{guardHalf, guardKeep.Milliseconds()}
	for t, n := range own {
		args = append(args, t.String(), n)
	}
	texts, err := tellScript.Run(ctx, w.rdb, []string{fmt.Sprintf("carillon:guard:%d:%d", w.id, run)}, args...).StringSlice()
	if err != nil {
		return nil, err
	}
	return parseTries(texts)
}
