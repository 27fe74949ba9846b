package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func startProvider(t *testing.T) (*Provider, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	p, err := StartProvider(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, path
}

// send posts as the product does, and returns status and body; 0 when no answer came.
func send(t *testing.T, addr, body string, limit time.Duration) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/worker1", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw)
}

func body(users ...string) string {
	var b strings.Builder
	b.WriteString(`{"campaignID":"C","message":{},"recipients":[`)
	for i, u := range users {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"recvID":"` + u + `","clientMsgID":"key-` + u + `"}`)
	}
	return b.String() + "]}"
}

func TestTheProviderWritesDownWhatItWasSent(t *testing.T) {
	t.Parallel()
	p, path := startProvider(t)
	p.Behave(Manners{Refuses: "13", Stumbles: "31", Hangs: "77"})
	for user, want := range map[string]int{"u1": 200, "u13": 422, "u31": 500} {
		if got, _ := send(t, p.Addr(), body(user), 5*time.Second); got != want {
			t.Errorf("%s: %d, want %d", user, got, want)
		}
	}
	if got, _ := send(t, p.Addr(), body("u77"), 2*time.Second); got != 0 {
		t.Errorf("the provider that hangs answered %d", got)
	}
	if got, _ := send(t, p.Addr(), `{"campaignID":"C","recip`, 5*time.Second); got != 0 {
		t.Errorf("a request that was cut: %d", got)
	}
	if got, _ := send(t, p.Addr(), body("u1"), 5*time.Second); got != 200 {
		t.Errorf("a repeat: %d", got)
	}
	log := p.Log()
	if len(log) != 5 {
		t.Fatalf("%d arrivals, want 5: %+v", len(log), log)
	}
	for _, a := range log[:4] {
		if a.Dup || a.Sender != "worker1" || a.Campaign != "C" || a.Accepted() != (a.RecvID == "u1") {
			t.Errorf("%+v", a)
		}
	}
	if last := log[4]; !last.Dup || last.RecvID != "u1" {
		t.Errorf("the repeat is %+v", last)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(raw), []byte("\n")) {
		var a Arrival
		if err := json.Unmarshal(line, &a); err != nil || a.RecvID != log[i].RecvID || a.Answer != log[i].Answer {
			t.Errorf("line %d: %s, %v", i, line, err)
		}
	}
}

func TestTheProviderForgetsACampaign(t *testing.T) {
	t.Parallel()
	p, path := startProvider(t)
	for _, b := range []string{body("u1", "u2"), strings.ReplaceAll(strings.Replace(body("u1"), `"C"`, `"D"`, 1), "key-", "other-")} {
		if got, _ := send(t, p.Addr(), b, 5*time.Second); got != 200 {
			t.Fatalf("%d", got)
		}
	}
	before := p.Log()
	p.Forget("C")
	if log := p.Log(); len(log) != 1 || log[0].Campaign != "D" {
		t.Errorf("after it: %+v", log)
	}
	if len(before) != 3 || before[0].Campaign != "C" || before[2].Campaign != "D" {
		t.Errorf("who had read the log before sees it change: %+v", before)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || bytes.Count(raw, []byte("\n")) != 3 {
		t.Errorf("the file does not keep it: %v\n%s", err, raw)
	}
}

func TestTheProviderTellsTheRecipientsOfABatchApart(t *testing.T) {
	t.Parallel()
	p, _ := startProvider(t)
	p.Behave(Manners{Refuses: "13", Stumbles: "31", Hangs: "77"})
	status, got := send(t, p.Addr(), body("u1", "u13", "u31", "u77"), 5*time.Second)
	want := `{"results":[{"recvID":"u1","status":"sent"},{"recvID":"u13","status":"failed","errCode":1},{"recvID":"u31","status":"retry","errCode":1}]}`
	if status != 200 || strings.TrimSpace(got) != want {
		t.Errorf("%d %s", status, got)
	}
	if n := p.Len(); n != 4 {
		t.Errorf("%d arrivals", n)
	}
}

func TestTheProviderFalters(t *testing.T) {
	t.Parallel()
	p, _ := startProvider(t)
	p.Behave(Manners{Stumbles: "007", Falters: 5})
	users := userIDs(10_000)
	if status, _ := send(t, p.Addr(), body(users...), 20*time.Second); status != 200 {
		t.Fatal(status)
	}
	failed, always := 0, 0
	for _, a := range p.Log() {
		switch {
		case strings.HasSuffix(a.RecvID, "007"):
			always += map[bool]int{true: 1}[!a.Accepted()]
		case !a.Accepted():
			failed++
		}
	}
	if always != 10 || failed < 350 || failed > 650 {
		t.Errorf("%d of the 10 whom it does not serve failed, and %d of 10,000", always, failed)
	}
}

func TestASpoiledLinkFailsAndHeals(t *testing.T) {
	t.Parallel()
	for _, toxic := range []Toxic{
		{"reset_peer", "upstream", map[string]int64{"timeout": 0}},
		{"reset_peer", "downstream", map[string]int64{"timeout": 0}},
		{"timeout", "downstream", map[string]int64{"timeout": 0}},
		{"limit_data", "upstream", map[string]int64{"bytes": 50}},
		{"limit_data", "downstream", map[string]int64{"bytes": 5}},
		{"latency", "upstream", map[string]int64{"latency": 3000, "jitter": 0}},
	} {
		t.Run(toxic.String(), func(t *testing.T) {
			t.Parallel()
			p, _ := startProvider(t)
			l, err := OpenLink("provider", p.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if got, _ := send(t, l.Addr(), body("u1"), 5*time.Second); got != 200 {
				t.Fatalf("a link that was not spoiled: %d", got)
			}
			if err := l.Spoil(toxic); err != nil {
				t.Fatal(err)
			}
			if got, _ := send(t, l.Addr(), body("u1"), time.Second); got != 0 {
				t.Errorf("the spoiled link carried an answer: %d", got)
			}
			l.Heal()
			if got, _ := send(t, l.Addr(), body("u1"), 5*time.Second); got != 200 {
				t.Errorf("the healed link: %d", got)
			}
		})
	}
}
