package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/openim"
)

const openIMSender = "openIMAdmin" // an admin of both sides, and the sender of all campaigns

// inOpenIM is how the double behaves: 5 % of the users unknown, 5 % refusing, 1 % of the answers lost behind a message
// that was delivered. Two of the five refuse as the list of users says, and three have decided so since.
var inOpenIM = openim.Manners{
	Latency: openim.Duration(50 * time.Millisecond),
	Faults: []openim.Fault{
		{Kind: openim.Kicked, Every: 2000},
		{Kind: openim.Closed, Delivers: true, Share: 0.01},
		{Kind: openim.Unknown, Users: "*[0-4]3"},
		{Kind: openim.Refuses, Users: "*[01]7"},
		{Kind: openim.RefusesSilently, Users: "*[2-4]7"},
	},
}

// nature is the fault that belongs to a user; "" = none.
func nature(user string) string {
	for _, f := range inOpenIM.Faults {
		if ok, err := path.Match(f.Users, user); ok && err == nil {
			return f.Kind
		}
	}
	return ""
}

// fate is the row that a user must have in the end, as far as OpenIM decides it.
func fate(user string) lab.Row {
	switch nature(user) {
	case openim.Unknown:
		return lab.Row{Status: "failed", ErrCode: 1004}
	case openim.Refuses, openim.RefusesSilently:
		return lab.Row{Status: "skipped", ErrMsg: "refuses messages"}
	}
	return lab.Row{Status: "sent"}
}

// openIM are the settings of a process that sends through OpenIM.
func (s *System) openIM(o openim.Options) []string {
	return []string{
		"CARILLON_CHANNEL=openim", "CARILLON_OPENIM_URL=" + s.OpenIM.URL(), "CARILLON_OPENIM_SECRET=" + o.Secret,
		"CARILLON_OPENIM_ADMIN=" + openIMSender,
	}
}

// throughOpenIM brings the users into the directory and sends to all of them through OpenIM. The campaign is paused and
// resumed; then one worker is killed twice, one is stopped, and the API is killed.
func throughOpenIM(ctx context.Context, b *Bench, o Options) ([]Check, error) {
	faults := []Fault{
		{At: 3 * time.Second, Kind: KillWorker, For: time.Second},
		{At: 7 * time.Second, Kind: KillAPI, For: 300 * time.Millisecond},
		{At: 10 * time.Second, Kind: KillWorker, For: time.Second},
		{At: 14 * time.Second, Kind: TermWorker, Worker: o.Workers - 1, For: time.Second},
	}
	users := make([]string, o.Recipients)
	for i := range users {
		users[i] = fmt.Sprintf("u%06d", i+1) // as the double names them
	}
	there := &openim.Options{Users: len(users), Seed: o.Seed, Admins: []string{openIMSender}, Secret: rand.Text(), Manners: inOpenIM}
	setup := Setup{Trial: "openim", Workers: o.Workers, Role: "worker,scheduler", Batch: o.Batch, OpenIM: there}
	return b.on(ctx, setup, nil, func(ctx context.Context, s *System) ([]Check, error) {
		search := s.search(there.Secret)
		defer search.end()
		said, err := s.API.Run(ctx, "users", "sync")
		if err != nil {
			return nil, err
		}
		search.add("output of users sync", []byte(said))
		main, err := s.Post(ctx, Order{Name: "all", Users: users, All: true, Rate: paced(len(users), 25*time.Second)})
		if err != nil {
			return nil, err
		}
		checks, err := s.pausedInOpenIM(ctx, main)
		if err != nil {
			return checks, err
		}
		e, err := s.besiege(ctx, main, faults, endLimit, atLeastOnce)
		if err != nil {
			return checks, err
		}
		judged, err := s.judgeOpenIM(ctx, e, o.Times)
		if checks = append(checks, judged...); err != nil {
			return checks, err
		}
		found, err := search.judge(ctx, main.ID)
		return append(checks, found), err
	})
}

func (s *System) judgeOpenIM(ctx context.Context, e *Evidence, times bool) ([]Check, error) {
	e.NeverSent = func(user string) bool { return nature(user) == openim.Refuses }
	stands, err := s.stands(ctx, e.Campaigns)
	if err != nil {
		return nil, err
	}
	seen, err := openim.Client{URL: s.OpenIM.URL()}.Seen(ctx)
	if err != nil {
		return nil, err
	}
	return []Check{
		stands, e.Exact(fate), e.Sums(), e.OnceEach(seen), e.Moving("R4", times, KillWorker), e.Terms(times), tokenCalls(seen), e.Clean(),
	}, nil
}

// pausedInOpenIM is R8: it pauses a campaign, the only one, and resumes it.
func (s *System) pausedInOpenIM(ctx context.Context, c *Campaign) ([]Check, error) {
	lab.Sleep(ctx, 3*time.Second)
	refused, at, err := s.tell(ctx, c, "pause")
	if err != nil {
		return nil, err
	}
	lab.Sleep(ctx, 5*time.Second)
	var before int
	var late time.Duration
	err = openim.ReadLog(s.OpenIM.LogFile(), func(l openim.Line) {
		if l.Route == openIMSend && l.At.Before(at) {
			before++
		} else if l.Route == openIMSend {
			late = max(late, l.At.Sub(at))
		}
	})
	if err != nil {
		return nil, err
	}
	paused := check("R8", refused == nil && before > 0 && late <= 2*time.Second, "pause %s after %d sends; the last send began %.2f s later", obeyed(refused), before, late.Seconds())
	refused, _, err = s.tell(ctx, c, "resume")
	return []Check{paused, check("R8", refused == nil, "resume %s", obeyed(refused))}, err
}

const openIMSend = "/msg/send_msg"

// sentThroughOpenIM is the double's log as arrivals: its operationIDs end with the clientMsgID, and the ledger tells
// whose that is. One that the ledger does not have belongs to no campaign. Who sent it the double cannot tell.
func (s *System) sentThroughOpenIM(campaigns []*Campaign) (list []Arrival, err error) {
	of := map[string]string{}
	for _, c := range campaigns {
		for _, r := range c.Rows {
			of[r.ClientMsgID] = c.ID
		}
	}
	err = openim.ReadLog(s.OpenIM.LogFile(), func(l openim.Line) {
		if l.Route != openIMSend {
			return
		}
		key := l.OperationID[strings.LastIndexByte(l.OperationID, '-')+1:]
		a := Arrival{Campaign: of[key], RecvID: l.RecvID, ClientMsgID: key, At: l.At, Answer: http.StatusAccepted, Dup: l.Repeat}
		if l.Delivered {
			a.Answer = http.StatusOK
		}
		list = append(list, a)
	})
	return list, err
}

// stands is R1: the campaigns that were answered for are there, and no other one.
func (s *System) stands(ctx context.Context, campaigns []*Campaign) (Check, error) {
	there := map[string]bool{}
	for one, err := range s.Client.Campaigns(ctx, client.ListCampaignsParams{Limit: &listLimit}) {
		if err != nil {
			return Check{}, err
		}
		there[one.ID] = true
	}
	lost := 0
	for _, c := range campaigns {
		if !there[c.ID] {
			lost++
		}
	}
	return check("R1", lost == 0 && len(there) == len(campaigns), "%d of %d answered POSTs lost, %d campaigns in the ledger; the API was killed meanwhile", lost, len(campaigns), len(there)), nil
}

// Exact is R2 where it is known what becomes of each user: each stands once in the ledger, as fate has it, and got the
// message when the ledger says so, and not otherwise.
func (e *Evidence) Exact(fate func(user string) lab.Row) Check {
	by := e.arrivalsOf()
	n, wrong, first := map[string]int{}, 0, ""
	bad := func(format string, args ...any) {
		if wrong++; wrong == 1 {
			first = ", first: " + fmt.Sprintf(format, args...)
		}
	}
	total := 0
	for _, c := range e.Campaigns {
		total += len(c.Users)
		rows := map[string]lab.Row{}
		for _, r := range c.Rows {
			rows[r.UserID] = r
		}
		if len(c.Rows) != len(c.Users) {
			bad("%s is %s and has %d rows for %d users", c.Name, c.Last().Status, len(c.Rows), len(c.Users))
		}
		for _, u := range c.Users {
			r, want, got := rows[u], fate(u), false
			if came := len(by[c.ID][u]); came > 0 && e.NeverSent != nil && e.NeverSent(u) {
				bad("%s of %s refuses in the directory, and was sent %d requests", u, c.Name, came)
			}
			for _, a := range by[c.ID][u] {
				got = got || a.Accepted()
			}
			if r.Status != want.Status || r.ErrCode != want.ErrCode && want.ErrCode != 0 || r.ErrMsg != want.ErrMsg && want.ErrMsg != "" || got != (want.Status == "sent") {
				bad("%s of %s is %+v, delivered: %t", u, c.Name, r, got)
			}
			n[r.Status]++
		}
	}
	return check("R2", wrong == 0, "%d of %d recipients not as OpenIM treats them%s; %v", wrong, total, first, n)
}

// OnceEach is R3 at a provider that can be asked: nobody got a message twice, whatever crashed and whatever answer was
// lost.
func (e *Evidence) OnceEach(seen openim.Seen) Check {
	repeats, strange := seen.Repeats, 0
	for campaign, users := range e.arrivalsOf() {
		for _, arrivals := range users {
			accepted, again := 0, 0
			for _, a := range arrivals {
				if a.Accepted() {
					accepted++
				}
				if a.Dup {
					again++
				}
			}
			if campaign == "" {
				strange += len(arrivals)
			}
			repeats += max(0, accepted-again-1) // under another operationID
		}
	}
	lost, asked := seen.Faults[openim.Closed], seen.Requests["/msg/check_msg_is_send_success"]
	c := check("R3", repeats+strange == 0, "%d repeats of %d messages, %d of nobody in the ledger; %d answers were lost, %d times OpenIM was asked", repeats, seen.Delivered, strange, lost, asked)
	if c.Verdict == Pass && (lost == 0 || asked == 0) {
		c.Verdict = NotExercised
	}
	return c
}

// tokenCalls says that a token was asked for at the beginning and after each kick, and no more often.
func tokenCalls(seen openim.Seen) Check {
	asked := seen.Requests["/auth/get_admin_token"]
	c := check("token", asked <= seen.Kicked+1, "get_admin_token was called %d times for %d kicks and %d requests", asked, seen.Kicked, seen.Requests[openIMSend])
	if c.Verdict == Pass && seen.Kicked == 0 {
		c.Verdict = NotExercised
	}
	return c
}
