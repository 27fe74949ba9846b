package openim

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheFactsClassesCanBeSwitchedOn has one row for each answer of the facts' table of classes.
func TestTheFactsClassesCanBeSwitchedOn(t *testing.T) {
	t.Parallel()
	code := func(code int, text string) Fault { return Fault{Kind: Code, Code: code, Text: text} }
	for _, row := range []struct {
		name  string
		fault Fault
		http  int
		code  int
		dlt   string
	}{
		// For good, this recipient.
		{"1004 and the account is unknown", Fault{Kind: Unknown}, 200, 1004, ""},
		{"1004 and the account is known", code(1004, "another look-up"), 200, 1004, "another look-up"},
		{"1101", code(1101, ""), 200, 1101, ""},
		{"1302", code(1302, ""), 200, 1302, ""},
		{"1303", code(1303, ""), 200, 1303, ""},
		{"message is not sent", code(1001, "message is not sent"), 200, 1001, "message is not sent"},
		{"a webhook's code", code(20001, "by a webhook"), 200, 20001, "by a webhook"},
		{"1201", code(1201, ""), 200, 1201, ""},
		{"1203", code(1203, ""), 200, 1203, ""},
		{"1204", code(1204, ""), 200, 1204, ""},
		{"1402", code(1402, ""), 200, 1402, ""},
		{"1403", code(1403, ""), 200, 1403, ""},
		// For good, the campaign.
		{"1002", code(1002, ""), 200, 1002, ""},
		{"Field validation", code(500, "Field validation for 'content'"), 200, 500, "Field validation for"},
		{"decoding", code(500, "1 error(s) decoding"), 200, 500, "error(s) decoding"},
		// A new token.
		{"1501", code(1501, ""), 200, 1501, ""},
		{"1502", code(1502, ""), 200, 1502, ""},
		{"1503", code(1503, ""), 200, 1503, ""},
		{"1504", code(1504, ""), 200, 1504, ""},
		{"1505", code(1505, ""), 200, 1505, ""},
		{"1507", code(1507, ""), 200, 1507, ""},
		// Later.
		{"429", Fault{Kind: Status, Status: 429, Wait: Duration(3 * time.Second)}, 429, 429, ""},
		{"HTTP 500", Fault{Kind: Status, Status: 500}, 500, 0, ""},
		{"HTTP 503", Fault{Kind: Status, Status: 503}, 503, 0, ""},
		{"another 500", code(500, "mongo"), 200, 500, "mongo"},
		{"90002", code(90002, ""), 200, 90002, ""},
		{"90004", code(90004, ""), 200, 90004, ""},
		{"80000", code(80000, ""), 200, 80000, ""},
		{"gRPC 4", code(4, "deadline"), 200, 4, ""},
		{"gRPC 8", code(8, "exhausted"), 200, 8, ""},
		{"gRPC 14", code(14, "unavailable"), 200, 14, ""},
		{"HTML", Fault{Kind: Malformed}, 200, 0, ""},
		{"malformed text", Fault{Kind: Malformed, Text: `{"errCode":"0"`}, 200, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			k := start(t)
			k.behave(row.fault)
			r := k.send("op", "u000001")
			if r.Err != nil || r.HTTP != row.http || r.ErrCode != row.code || !strings.Contains(r.ErrDlt, row.dlt) {
				t.Fatalf("HTTP %d %s %v", r.HTTP, r.Raw, r.Err)
			}
			l := last(t, k)
			if l.Delivered || l.Fault != row.fault.Kind || l.HTTP != row.http || k.status("op") != 0 {
				t.Errorf("not delivered, and the log says %+v", l)
			}
			if row.http == 429 && r.Header.Get("Retry-After") != "3" {
				t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
			}
			if row.fault.Kind == Malformed && strings.HasPrefix(r.Raw, `{"errCode":0`) {
				t.Errorf("well formed: %s", r.Raw)
			}
			accounts := k.ask(routeAccounts, "op", k.token, `{"checkUserIDs":["u000001"]}`)
			if known := !strings.Contains(accounts.Raw, `"accountStatus":0`); known == (row.fault.Kind == Unknown) {
				t.Errorf("account_check: %s", accounts.Raw)
			}
			k.behave()
			if r := k.send("op", "u000001"); r.ErrCode != 0 || k.status("op") != 2 {
				t.Errorf("without the fault: %s", r.Raw)
			}
		})
	}
}

func last(t *testing.T, k *kit) Line {
	t.Helper()
	all := slices.DeleteFunc(k.lines(), func(l Line) bool { return l.Route != routeSend })
	if len(all) == 0 {
		t.Fatal("no send in the log")
	}
	return all[len(all)-1]
}

// TestAnswersThatDoNotArrive: each with the message delivered and not.
func TestAnswersThatDoNotArrive(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fault Fault
		err   error // errors.Is; nil = any
		raw   int   // bytes of the answer that arrive, at least
	}{
		{Fault{Kind: Closed}, io.EOF, 0},
		{Fault{Kind: Hangs, Wait: Duration(50 * time.Millisecond)}, io.EOF, 0},
		{Fault{Kind: Cut}, io.ErrUnexpectedEOF, 10},
	} {
		for _, delivers := range []bool{false, true} {
			t.Run(fmt.Sprint(row.fault.Kind, delivers), func(t *testing.T) {
				t.Parallel()
				k := start(t)
				f := row.fault
				f.Delivers, f.Times = delivers, 1
				k.behave(f)
				r := k.send("op", "u000001")
				if !errors.Is(r.Err, row.err) || len(r.Raw) < row.raw {
					t.Fatalf("%v: %q", r.Err, r.Raw)
				}
				if l := last(t, k); l.Delivered != delivers || l.HTTP != 0 || l.Fault != f.Kind {
					t.Errorf("%+v", l)
				}
				if sent := k.status("op") == 2; sent != delivers {
					t.Errorf("the check says %v", sent)
				}
				if r := k.send("op", "u000001"); r.ErrCode != 0 || last(t, k).Repeat != delivers {
					t.Errorf("%s, and the log says %+v", r.Raw, last(t, k))
				}
			})
		}
	}
	t.Run("an error after it was delivered", func(t *testing.T) {
		t.Parallel()
		k := start(t)
		k.behave(Fault{Kind: Code, Code: 90004, Delivers: true, Users: "u000001"}, Fault{Kind: Status, Status: 503, Delivers: true})
		for user, op := range map[string]string{"u000001": "op1", "u000002": "op2"} {
			if r := k.send(op, user); r.ErrCode != 90004 && r.HTTP != 503 || k.status(op) != 2 {
				t.Errorf("HTTP %d %s", r.HTTP, r.Raw)
			}
		}
	})
	t.Run("a check that forgets", func(t *testing.T) {
		t.Parallel()
		k := start(t)
		k.behave(Fault{Kind: Forgets, Times: 1})
		if k.send("op", "u000001"); k.status("op") != 0 || k.status("op") != 2 {
			t.Error("it does not forget once")
		}
	})
}

func TestWhoRefusesIsAnsweredWithoutAnID(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.behave(Fault{Kind: Refuses, Users: "u00000[1-2]"})
	r := k.send("op", "u000001")
	if r.ErrCode != 0 || field[string](t, r.Data, "serverMsgID") != "" || field[string](t, r.Data, "clientMsgID") == "" || k.status("op") != 0 {
		t.Errorf("%s", r.Raw)
	}
	if r := k.send("op3", "u000003"); field[string](t, r.Data, "serverMsgID") == "" {
		t.Errorf("%s", r.Raw)
	}
}

func TestATokenIsKickedEveryFewCalls(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.behave(Fault{Kind: Kicked, Every: 5})
	kicks := 0
	for i := range 20 {
		r := k.send(fmt.Sprint("op", i), "u000001")
		if r.ErrCode != 0 {
			if r.ErrCode != 1506 || r.HTTP != 200 {
				t.Fatalf("%s", r.Raw)
			}
			kicks++
			if again := k.ask(routeCheck, "op", k.token, `{}`); again.ErrCode != 1506 {
				t.Fatalf("it stands again: %s", again.Raw)
			}
			k.token = k.admin()
		}
	}
	seen, err := Client{k.url}.Seen(t.Context())
	if err != nil || kicks != 4 || seen.Kicked != 4 || seen.Issued != 5 || seen.Delivered != 16 {
		t.Errorf("%d kicks; %+v %v", kicks, seen, err)
	}
	if n, err := (Client{k.url}).Kick(t.Context()); err != nil || n != 1 || k.send("op", "u000001").ErrCode != 1506 {
		t.Errorf("by the control route: %d %v", n, err)
	}
}

// TestSharesAreDrawnFromTheSeed: the same seed strikes the same requests in any order, another seed others.
func TestSharesAreDrawnFromTheSeed(t *testing.T) {
	t.Parallel()
	m := Manners{Faults: []Fault{{Kind: Closed, Share: 0.01}, {Kind: Status, Status: 503, Share: 0.05}, {Kind: Unknown, Share: 0.05}, {Kind: Refuses, Share: 0.05}}}
	draw := func(seed uint64, backwards bool) (struck map[int]string, counts map[string]int) {
		b, err := newBehaviour(m, seed)
		if err != nil {
			t.Fatal(err)
		}
		struck, counts = map[int]string{}, map[string]int{}
		for i := range 20_000 {
			if backwards {
				i = 19_999 - i
			}
			if _, f := b.strike(routeSend, userID(i), fmt.Sprint("op", i), 1); f != nil {
				struck[i] += f.Kind
				counts[f.Kind]++
			}
			if f := b.nature(userID(i)); f != nil {
				struck[i] += f.Kind
				counts[f.Kind]++
			}
		}
		return struck, counts
	}
	one, counts := draw(7, false)
	if same, _ := draw(7, true); fmt.Sprint(one) != fmt.Sprint(same) {
		t.Error("the order changes who is struck")
	}
	if other, _ := draw(8, false); fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("the seed changes nothing")
	}
	for kind, want := range map[string]int{Closed: 200, Status: 1000, Unknown: 1000, Refuses: 1000} {
		if got := counts[kind]; got < want*3/4 || got > want*5/4 {
			t.Errorf("%s struck %d, want some %d", kind, got, want)
		}
	}
	b, err := newBehaviour(m, 7)
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for i, kind := range one {
		if kind == Closed {
			if _, f := b.strike(routeSend, userID(i), fmt.Sprint("op", i), 2); f != nil && f.Kind == Closed {
				again++
			}
		}
	}
	if again > 20 {
		t.Errorf("of %d the second try was struck for %d: it is not drawn anew", counts[Closed], again)
	}
}

func TestFaultsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	k := start(t)
	for _, f := range []Fault{
		{Kind: "unheard"}, {Kind: Code}, {Kind: Status}, {Kind: Status, Status: 200}, {Kind: Closed, Share: 2},
		{Kind: Closed, Users: "[a"}, {Kind: Unknown, Every: 2}, {Kind: Slow, Wait: -1}, {Kind: Closed, Times: -1},
	} {
		if err := (Client{k.url}).Behave(t.Context(), Manners{Faults: []Fault{f}}); err == nil {
			t.Errorf("%+v", f)
		}
	}
	if r := k.send("op", "u000001"); r.ErrCode != 0 {
		t.Errorf("a refused change has changed it: %s", r.Raw)
	}
}

func TestSlowIsSlowForWhomItIsFor(t *testing.T) {
	t.Parallel()
	k := start(t)
	if err := k.d.Behave(Manners{Latency: Duration(30 * time.Millisecond), Faults: []Fault{
		{Kind: Slow, Users: "*2", Wait: Duration(200 * time.Millisecond)}, {Kind: Code, Code: 1302, Users: "*2"},
	}}); err != nil {
		t.Fatal(err)
	}
	for user, row := range map[string]struct {
		least time.Duration
		code  int
	}{"u000001": {30 * time.Millisecond, 0}, "u000002": {230 * time.Millisecond, 1302}} {
		begun := time.Now()
		if r := k.send("op"+user, user); r.ErrCode != row.code || time.Since(begun) < row.least {
			t.Errorf("%s after %s: %s", user, time.Since(begun), r.Raw)
		}
	}
}

// TestPagesShift: a pass over shifting pages misses users, and the pass after it misses others.
func TestPagesShift(t *testing.T) {
	t.Parallel()
	k := start(t, func(o *Options) { o.Users = 9_999; o.Manners.Shift = 3 })
	pass := func() map[string]int {
		met := map[string]int{}
		for number := 1; ; number++ {
			r := k.ask(routeIDs, "op", k.token, fmt.Sprintf(`{"pagination":{"pageNumber":%d,"showNumber":500}}`, number))
			ids := field[[]string](t, r.Data, "userIDs")
			for _, id := range ids {
				met[id]++
			}
			if len(ids) < 500 {
				return met
			}
		}
	}
	first, second := pass(), pass()
	all, err := Client{k.url}.Users(t.Context())
	if err != nil || len(all) != 10_000 {
		t.Fatal(len(all), err)
	}
	missed := 0
	for _, id := range all {
		if first[id] == 0 {
			missed++
			if second[id] == 0 {
				t.Errorf("%s was missed twice", id)
			}
		}
	}
	if missed < 50 {
		t.Errorf("%d users were missed", missed)
	}
}
