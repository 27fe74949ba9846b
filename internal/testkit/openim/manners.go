package openim

import (
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"sync/atomic"
	"time"
)

// Manners is how a double behaves.
type Manners struct {
	Latency Duration `json:"latency,omitempty"` // before each answer
	Shift   int      `json:"shift,omitempty"`   // users who move to the end of the list after each page that is read
	Online  float64  `json:"online,omitempty"`  // the share of users who are online, drawn from the seed
	Faults  []Fault  `json:"faults,omitempty"`  // the first that strikes counts; slow goes together with another
}

// Kinds of faults.
const (
	// Slow adds Wait to the latency.
	Slow = "slow"
	// Status answers with an HTTP status (Fault.Status) and no envelope, but for 429, which has one. Wait is Retry-After.
	Status = "status"
	// Code answers with an errCode (Fault.Code) and Text in errDlt, after all checks. 1004 by this kind is a look-up that
	// has nothing to do with the recipient: account_check says that the recipient exists.
	Code = "code"
	// Kicked ends the caller's token: 1506, until the caller has a newer one.
	Kicked = "kicked"
	// Closed closes the connection and answers nothing.
	Closed = "closed"
	// Hangs answers nothing and closes the connection after Wait (0 = when the double ends).
	Hangs = "hangs"
	// Malformed answers 200 with Text (default: a page of HTML).
	Malformed = "malformed"
	// Cut answers 200, writes the half of the answer, and closes the connection.
	Cut = "cut"
	// Unknown: the recipient does not exist: 1004, and account_check says so too. Lists of users have them all the same.
	Unknown = "unknown"
	// Refuses: the recipient takes no messages: errCode 0 with an empty serverMsgID, and globalRecvMsgOpt 1 in get_users.
	Refuses = "refuses"
	// RefusesSilently is Refuses, with globalRecvMsgOpt 0 in get_users: the user has decided so since.
	RefusesSilently = "refusesSilently"
	// Forgets: check_msg_is_send_success answers 0 for a message that was sent.
	Forgets = "forgets"
)

var kinds = []string{Slow, Status, Code, Kicked, Closed, Hangs, Malformed, Cut, Unknown, Refuses, RefusesSilently, Forgets}

// Fault is one way to fail, and whom it strikes.
type Fault struct {
	Kind  string  `json:"kind"`
	Route string  `json:"route,omitempty"` // "" = the route that Kind belongs to, in general /msg/send_msg; * = all
	Users string  `json:"users,omitempty"` // pattern of path.Match over recvID or groupID, e.g. *7; "" = all
	Share float64 `json:"share,omitempty"` // 0.01 = one of a hundred, drawn from the seed; 0 = all
	Every int     `json:"every,omitempty"` // only each n-th request that fits; 0 = all
	Times int64   `json:"times,omitempty"` // at most so often; 0 = no limit
	// Delivers: the message is delivered all the same; for Status, Code, Closed, Hangs, Malformed and Cut.
	Delivers bool     `json:"delivers,omitempty"`
	Wait     Duration `json:"wait,omitempty"`
	Status   int      `json:"status,omitempty"`
	Code     int      `json:"code,omitempty"`
	Text     string   `json:"text,omitempty"`
}

// Duration is a time.Duration that JSON has as text: "50ms".
type Duration time.Duration

// MarshalText is the text of time.Duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads the text of time.Duration.
func (d *Duration) UnmarshalText(text []byte) error {
	one, err := time.ParseDuration(string(text))
	*d = Duration(one)
	return err
}

// behaviour is Manners at work.
type behaviour struct {
	Manners
	seed   uint64
	counts []count // of each fault
}

type count struct{ fits, struck atomic.Int64 }

// newBehaviour checks manners.
func newBehaviour(m Manners, seed uint64) (*behaviour, error) {
	m.Faults = slices.Clone(m.Faults)
	for i := range m.Faults {
		if err := m.Faults[i].check(); err != nil {
			return nil, fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	if m.Shift < 0 || m.Latency < 0 || m.Online < 0 || m.Online > 1 {
		return nil, fmt.Errorf("shift and latency are 0 or more, online is 0 to 1")
	}
	return &behaviour{Manners: m, seed: seed, counts: make([]count, len(m.Faults))}, nil
}

func (f *Fault) check() error {
	_, err := path.Match(f.Users, "")
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("no kind is called %q: there are %v", f.Kind, kinds)
	case err != nil:
		return fmt.Errorf("users %q: %w", f.Users, err)
	case f.Share < 0 || f.Share > 1 || f.Every < 0 || f.Times < 0 || f.Wait < 0:
		return fmt.Errorf("share is 0 to 1, and no number is below 0")
	case f.Kind == Status && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status is 400 to 599")
	case f.Kind == Code && f.Code == 0:
		return fmt.Errorf("code is missing")
	case f.ofUser() && (f.Every != 0 || f.Times != 0 || f.Route != ""):
		return fmt.Errorf("%s belongs to a user: it has no route, every and times", f.Kind)
	}
	if f.Route == "" {
		f.Route = routeSend
		if f.Kind == Forgets {
			f.Route = routeCheck
		}
	}
	return nil
}

// ofUser says that a fault belongs to a user, whatever the request.
func (f *Fault) ofUser() bool {
	return f.Kind == Unknown || f.Kind == Refuses || f.Kind == RefusesSilently
}

// fits says whether a fault is about this route and recipient, before anything is drawn.
func (f *Fault) fits(route, user string) bool {
	if f.Route != "*" && f.Route != route {
		return false
	}
	if f.Users == "" {
		return true
	}
	ok, err := path.Match(f.Users, user)
	return err == nil && ok
}

// strike draws what happens to a request: how much slower it is, and which fault it meets (nil = none). key and try
// tell requests of one operationID apart.
func (b *behaviour) strike(route, user, key string, try int) (wait time.Duration, struck *Fault) {
	for i := range b.Faults {
		f := &b.Faults[i]
		if f.ofUser() || !f.fits(route, user) {
			continue
		}
		if !b.drawn(i, key, try) || !b.counts[i].next(f) {
			continue
		}
		if f.Kind != Slow {
			return wait, f
		}
		wait += time.Duration(f.Wait)
	}
	return wait, nil
}

// next counts a request that fits, and says whether its turn has come.
func (c *count) next(f *Fault) bool {
	if n := c.fits.Add(1); f.Every > 1 && n%int64(f.Every) != 0 {
		return false
	}
	n := c.struck.Add(1)
	return f.Times == 0 || n <= f.Times
}

// nature is the fault that belongs to a user, always the same one; nil = none.
func (b *behaviour) nature(user string) *Fault {
	for i := range b.Faults {
		f := &b.Faults[i]
		if f.ofUser() && f.fits(routeSend, user) && b.drawn(i, user, 0) {
			return f
		}
	}
	return nil
}

// drawn is the share's lot. Each fault draws for itself.
func (b *behaviour) drawn(fault int, key string, try int) bool {
	share := b.Faults[fault].Share
	return share == 0 || b.lot(fault+1, key, try) < share
}

// online says whether a user is online.
func (b *behaviour) online(user string) bool { return b.lot(0, user, 0) < b.Online }

// lot is a number in [0, 1) that depends on the seed and the arguments alone.
func (b *behaviour) lot(what int, key string, try int) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // a hash takes everything
	x := h.Sum64() ^ b.seed*0x9e3779b97f4a7c15 ^ uint64(what)<<32 ^ uint64(try)
	// The finish of splitmix64: neighbours of x come out far apart.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}
