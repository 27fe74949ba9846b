package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// The ways in which a provider treats some recipients worse than the others.
const (
	moodWell   = "well"   // nobody
	moodFails  = "fails"  // 500 for a request with one of them, each time
	moodRetry  = "retry"  // "retry" in the list of results for each of them, each time
	moodFirst  = "first"  // "retry" for everybody the first time, and well the second
	moodRandom = "random" // 500 for requests at random
	moodSlow   = "slow"   // an answer after slowAnswer to a request with one of them, each time
)

const (
	slowAnswer = 8 * time.Second
	tickLength = 100 * time.Millisecond
)

// Mood is how the provider is to answer.
type Mood struct {
	Kind  string
	Every int   // one recipient in so many is treated worse
	Goal  int64 // Seen.Reached is when so many were accepted
}

// ResetTo forgets everything, and lets the provider answer in a mood from now on.
func (p *Provider) ResetTo(ctx context.Context, m Mood) error {
	q := url.Values{"delay": {"0s"}, "kind": {m.Kind}, "every": {strconv.Itoa(m.Every)}, "goal": {strconv.FormatInt(m.Goal, 10)}}
	return p.ask(ctx, http.MethodPost, "reset?"+q.Encode(), nil)
}

// reachable is how many of the first n users the provider accepts sooner or later.
func (m Mood) reachable(n int) int {
	if m.Kind == moodFirst {
		return n
	}
	reached, at := n, mood{Mood: m}
	for i := range n {
		if at.worse([]byte(userID(i))) {
			reached--
		}
	}
	return reached
}

// mood is a Mood at work.
type mood struct {
	Mood
	requests, good, reached atomic.Int64

	mu    sync.Mutex
	ticks []int64
	met   map[string]bool // of moodFirst: whom the provider has turned away once
}

// newMood reads a mood from the query of a reset; nil when it names none.
func newMood(q *fasthttp.Args) (*mood, error) {
	m := &mood{met: map[string]bool{}}
	switch m.Kind = string(q.Peek("kind")); m.Kind {
	case "":
		return nil, nil
	case moodWell, moodFails, moodRetry, moodFirst, moodRandom, moodSlow:
	default:
		return nil, fmt.Errorf("no such mood: %q", m.Kind)
	}
	var err error
	if m.Every, err = q.GetUint("every"); err != nil {
		return nil, err
	}
	goal, err := q.GetUint("goal")
	m.Goal = int64(goal)
	return m, err
}

var recvMark = []byte(`"recvID":"`)

// answer answers one request that came since (nanoseconds) after the first one.
func (m *mood) answer(ctx *fasthttp.RequestCtx, since int64) {
	var ids [][]byte
	for rest := ctx.PostBody(); ; {
		i := bytes.Index(rest, recvMark)
		if i < 0 {
			break
		}
		id, after, _ := bytes.Cut(rest[i+len(recvMark):], []byte{'"'})
		ids, rest = append(ids, id), after
	}
	worse := 0
	turnedAway := make([]bool, len(ids))
	for i, id := range ids {
		if turnedAway[i] = m.worse(id); turnedAway[i] {
			worse++
		}
	}
	switch m.Kind {
	case moodFails, moodRandom:
		if m.Kind == moodRandom && m.requests.Add(1)*7919%int64(m.Every) == 0 || m.Kind == moodFails && worse > 0 {
			ctx.SetStatusCode(fasthttp.StatusInternalServerError)
			return
		}
		worse = 0
	case moodSlow:
		if worse > 0 {
			time.Sleep(slowAnswer)
		}
	case moodRetry, moodFirst:
		if worse > 0 {
			ctx.SetBody(results(ids, turnedAway))
		}
	}
	m.accepted(int64(len(ids)-worse), since)
}

// worse says whether a recipient is one of those that are treated worse: always the same ones, spread over all pages.
func (m *mood) worse(id []byte) bool {
	switch m.Kind {
	case moodWell, moodRandom:
		return false
	case moodFirst:
		m.mu.Lock()
		defer m.mu.Unlock()
		met := m.met[string(id)]
		m.met[string(id)] = true
		return !met
	}
	h := fnv.New32a()
	_, _ = h.Write(id)
	return h.Sum32()%uint32(m.Every) == 0
}

func results(ids [][]byte, retry []bool) []byte {
	var b bytes.Buffer
	b.WriteString(`{"results":[`)
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		status := "sent"
		if retry[i] {
			status = "retry"
		}
		fmt.Fprintf(&b, `{"recvID":"%s","status":"%s"}`, id, status)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func (m *mood) accepted(n, since int64) {
	if good := m.good.Add(n); good >= m.Goal && good-n < m.Goal {
		m.reached.Store(time.Now().UnixNano())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tick := int(max(0, min(since, int64(time.Hour))) / int64(tickLength))
	for len(m.ticks) <= tick {
		m.ticks = append(m.ticks, 0)
	}
	m.ticks[tick] += n
}

func (m *mood) report(s *Seen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Good, s.Reached, s.Ticks = m.good.Load(), m.reached.Load(), append([]int64{}, m.ticks...)
}
