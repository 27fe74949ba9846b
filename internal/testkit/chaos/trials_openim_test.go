package main

import (
	"fmt"
	"testing"
	"time"

	"carillon/internal/testkit/openim"
)

// throughDouble is what an honest run leaves behind at an OpenIM: 100 users, of whom five are unknown there and five refuse.
func throughDouble() *Evidence {
	c := &Campaign{Order: Order{Name: "all"}, ID: "C"}
	e := &Evidence{Campaigns: []*Campaign{c}, NeverSent: func(u string) bool { return nature(u) == openim.Refuses }}
	for i := range 100 {
		u := fmt.Sprintf("u%06d", i)
		r := fate(u)
		r.UserID, r.ClientMsgID = u, "key-"+u
		c.Users, c.Rows = append(c.Users, u), append(c.Rows, r)
		if e.NeverSent(u) {
			continue
		}
		a := Arrival{Campaign: "C", RecvID: u, ClientMsgID: r.ClientMsgID, At: noon.Add(time.Duration(i) * time.Second), Answer: 202}
		if r.Status == "sent" {
			a.Answer = 200
		}
		e.Arrivals = append(e.Arrivals, a)
	}
	return e
}

func TestOracleOfOpenIM(t *testing.T) {
	seen := openim.Seen{Delivered: 90, Kicked: 3, Faults: map[string]int{openim.Closed: 2},
		Requests: map[string]int{"/msg/check_msg_is_send_success": 2, "/auth/get_admin_token": 4}}
	for name, tamper := range map[string]struct {
		exact, once, token Verdict
		by                 func(*Evidence, *openim.Seen)
	}{
		"nothing":               {Pass, Pass, Pass, func(*Evidence, *openim.Seen) {}},
		"one is not recorded":   {Fail, Pass, Pass, func(e *Evidence, _ *openim.Seen) { e.Campaigns[0].Rows = e.Campaigns[0].Rows[1:] }},
		"one never arrived":     {Fail, Pass, Pass, func(e *Evidence, _ *openim.Seen) { e.Arrivals = e.Arrivals[1:] }},
		"an unknown one, sent":  {Fail, Pass, Pass, func(e *Evidence, _ *openim.Seen) { e.Campaigns[0].Rows[3].Status = "sent" }},
		"another failure":       {Fail, Pass, Pass, func(e *Evidence, _ *openim.Seen) { e.Campaigns[0].Rows[3].ErrCode = 500 }},
		"a request for nothing": {Fail, Pass, Pass, func(e *Evidence, _ *openim.Seen) { e.Arrivals[6].RecvID = "u000007" }},
		"one sent again":        {Pass, Fail, Pass, func(e *Evidence, s *openim.Seen) { e.again(0, time.Minute).Dup = true; s.Repeats++ }},
		"under another ID":      {Pass, Fail, Pass, func(e *Evidence, _ *openim.Seen) { e.again(0, time.Minute) }},
		"of no campaign":        {Pass, Fail, Pass, func(e *Evidence, _ *openim.Seen) { e.again(0, time.Minute).Campaign = "" }},
		"no answer was lost":    {Pass, NotExercised, Pass, func(_ *Evidence, s *openim.Seen) { s.Faults = nil }},
		"a token more":          {Pass, Pass, Fail, func(_ *Evidence, s *openim.Seen) { s.Kicked-- }},
		"no kick": {Pass, Pass, NotExercised, func(_ *Evidence, s *openim.Seen) {
			s.Kicked, s.Requests = 0, map[string]int{"/msg/check_msg_is_send_success": 2}
		}},
	} {
		e, s := throughDouble(), seen
		tamper.by(e, &s)
		for _, c := range []struct {
			got  Check
			want Verdict
		}{{e.Exact(fate), tamper.exact}, {e.OnceEach(s), tamper.once}, {tokenCalls(s), tamper.token}} {
			if c.got.Verdict != c.want {
				t.Errorf("%s: %s %s %q, want %s", name, c.got.Promise, c.got.Verdict, c.got.Figure, c.want)
			}
		}
	}
}

// TestPagesOfNobodyMustMove: where the provider cannot tell who sends, each page that was begun must move after a kill.
func TestPagesOfNobodyMustMove(t *testing.T) {
	for name, still := range map[string]time.Duration{"at once": 0, "too late": movingLimit + time.Second} {
		e := throughDouble()
		e.Events = []Event{{Fault: Fault{Kind: KillWorker}, Start: noon.Add(50500 * time.Millisecond), End: noon.Add(51 * time.Second)}}
		for i := range e.Arrivals {
			if a := &e.Arrivals[i]; a.At.After(e.Events[0].Start) {
				a.At = a.At.Add(still)
			}
		}
		if c := e.Moving("R4", true, KillWorker); (c.Verdict == Pass) != (still == 0) {
			t.Errorf("%s: %s %s", name, c.Verdict, c.Figure)
		}
	}
}

func TestSearchFindsSecrets(t *testing.T) {
	const secret, wrong, token = "S3CRETSECRET", "wrong-S3CRETSE", "eyJh.eyJV.c2lnbmF0dXJl"
	for text, want := range map[string]Verdict{
		"nothing here":                           Pass,
		"the secret " + secret:                   Fail,
		"\"UzNDUkVUU0VDUkVU\" in base64":         Fail,
		"a refused one: " + wrong:                Fail,
		`{"token":"` + token + `"}`:              Fail,
		"its signature alone: c2lnbmF0dXJl, cut": Fail,
	} {
		for _, place := range searched {
			texts := map[string][]byte{place + ": x": []byte(text)}
			for _, other := range searched {
				texts[other] = []byte("-")
			}
			if c := judgeSearch(texts, secret, wrong, []string{token}); c.Verdict != want {
				t.Errorf("%q in %s: %s %s", text, place, c.Verdict, c.Figure)
			}
		}
	}
	if c := judgeSearch(map[string][]byte{"log: x": []byte("-")}, secret, wrong, []string{token}); c.Verdict != NotExercised {
		t.Errorf("most places were not looked at: %s %s", c.Verdict, c.Figure)
	}
}
