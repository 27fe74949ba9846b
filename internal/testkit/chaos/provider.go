package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carillon/internal/testkit/lab"
)

// Arrival is one recipient of one request that reached the provider whole: a line of its log.
type Arrival struct {
	Campaign    string    `json:"campaign"`
	RecvID      string    `json:"recvID"`
	ClientMsgID string    `json:"clientMsgID"`
	Sender      string    `json:"sender"` // the process that sent it
	At          time.Time `json:"at"`
	Answer      int       `json:"answer"`        // HTTP status; 0 = the provider hung until the sender gave up
	Dup         bool      `json:"dup,omitempty"` // a clientMsgID that was accepted before: who honours the key ignores it
}

// Accepted says whether the user got the message by this arrival at a provider that does not honour the key.
func (a Arrival) Accepted() bool { return a.Answer == http.StatusOK }

// Manners is how the provider behaves. By the end of its ID a user may be one that it does not serve.
type Manners struct {
	Delay    time.Duration // before each answer
	Status   int           // to everybody; 0 = as below
	Refuses  string        // IDs with this end: 422, a failure for good
	Stumbles string        // IDs with this end: 500, a failure to try again
	Hangs    string        // IDs with this end: no answer at all
	Dawdles  string        // IDs with this end: 2 s before the answer
	Falters  int           // of a hundred of the others, drawn anew for each arrival: 500
}

// Provider is what the webhook channel talks to: a server outside the product that writes down every request
// it was really sent, before it answers.
type Provider struct {
	mu       sync.Mutex
	file     *os.File
	out      *bufio.Writer
	log      []Arrival         // what was written to it is never changed: readers share it
	accepted map[string]bool   // clientMsgIDs
	names    map[string]string // one copy of each campaign, recipient and sender, however often they arrive

	manners  atomic.Pointer[Manners]
	server   *http.Server
	listener net.Listener
	quit     chan struct{}
	closing  sync.Once
	closed   error
}

// StartProvider serves on a free loopback port and appends its log to the file at path, one JSON per line.
func StartProvider(path string) (*Provider, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p := &Provider{file: f, out: bufio.NewWriterSize(f, 1<<16), accepted: map[string]bool{}, names: map[string]string{}, listener: l, quit: make(chan struct{})}
	p.manners.Store(&Manners{})
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = p.server.Serve(l) }()
	return p, nil
}

// Addr is host:port.
func (p *Provider) Addr() string { return p.listener.Addr().String() }

// Behave changes the provider's manners.
func (p *Provider) Behave(m Manners) { p.manners.Store(&m) }

// Close ends the provider and its log. It may be called twice.
func (p *Provider) Close() error {
	p.closing.Do(func() {
		close(p.quit)
		err := p.server.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.closed = errors.Join(err, p.out.Flush(), p.file.Close())
	})
	return p.closed
}

// Log is every arrival so far, in order. It is not a copy: it is for reading.
func (p *Provider) Log() []Arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.log)
}

// Forget drops a campaign's arrivals from memory, not from the file: a run of hours would fill it.
func (p *Provider) Forget(campaign string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept []Arrival
	for _, a := range p.log {
		if a.Campaign == campaign {
			delete(p.accepted, a.ClientMsgID)
		} else {
			kept = append(kept, a)
		}
	}
	p.log = kept
	delete(p.names, campaign)
}

// Len is the number of arrivals so far.
func (p *Provider) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.log)
}

type webhookBody struct {
	CampaignID string `json:"campaignID"`
	Recipients []struct {
		RecvID      string `json:"recvID"`
		ClientMsgID string `json:"clientMsgID"`
	} `json:"recipients"`
}

// serve answers one POST to /<sender>.
func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var body webhookBody
	if err != nil || json.Unmarshal(raw, &body) != nil {
		// Cut on the way: nobody was named, nobody is written down, and a 400 would be the provider's refusal.
		panic(http.ErrAbortHandler)
	}
	m := *p.manners.Load()
	answers := make([]int, len(body.Recipients))
	for i, rec := range body.Recipients {
		if answers[i] = m.answer(rec.RecvID); answers[i] == http.StatusOK && rand.IntN(100) < m.Falters {
			answers[i] = http.StatusInternalServerError
		}
	}
	p.note(strings.TrimPrefix(r.URL.Path, "/"), body, answers)
	status := http.StatusOK
	if len(answers) == 1 || m.Status != 0 && len(answers) > 0 {
		status = answers[0]
	}
	if status == 0 {
		select { // the client's going away ends the wait, and so does the end of the trial
		case <-r.Context().Done():
		case <-p.quit:
		}
		return
	}
	if !lab.Sleep(r.Context(), m.delay(body)) {
		return
	}
	if len(answers) == 1 || m.Status != 0 {
		w.WriteHeader(status)
		return
	}
	writeResults(w, body, answers)
}

// writeResults tells each recipient of a batch apart. In a batch nobody can hang alone: such a user is left out of
// the results, which the product takes for ambiguous.
func writeResults(w http.ResponseWriter, body webhookBody, answers []int) {
	type result struct {
		RecvID  string `json:"recvID"`
		Status  string `json:"status"`
		ErrCode int    `json:"errCode,omitempty"`
	}
	var out struct {
		Results []result `json:"results"`
	}
	for i, rec := range body.Recipients {
		switch answers[i] {
		case http.StatusOK:
			out.Results = append(out.Results, result{rec.RecvID, "sent", 0})
		case http.StatusUnprocessableEntity:
			out.Results = append(out.Results, result{rec.RecvID, "failed", 1})
		case http.StatusInternalServerError:
			out.Results = append(out.Results, result{rec.RecvID, "retry", 1})
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// dawdle is the time before a late answer: shorter than a request's time-out, and long for a chunk.
const dawdle = 2 * time.Second

// delay is the time before the answer to a request.
func (m Manners) delay(body webhookBody) time.Duration {
	for _, rec := range body.Recipients {
		if m.Dawdles != "" && strings.HasSuffix(rec.RecvID, m.Dawdles) {
			return m.Delay + dawdle
		}
	}
	return m.Delay
}

// answer is what a user always gets.
func (m Manners) answer(user string) int {
	ends := func(suffix string) bool { return suffix != "" && strings.HasSuffix(user, suffix) }
	switch {
	case m.Status != 0:
		return m.Status
	case ends(m.Refuses):
		return http.StatusUnprocessableEntity
	case ends(m.Stumbles):
		return http.StatusInternalServerError
	case ends(m.Hangs):
		return 0
	}
	return http.StatusOK
}

// note writes a request down.
func (p *Provider) note(sender string, body webhookBody, answers []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, campaign, sender := time.Now(), p.name(body.CampaignID), p.name(sender)
	for i, rec := range body.Recipients {
		a := Arrival{Campaign: campaign, RecvID: p.name(rec.RecvID), ClientMsgID: rec.ClientMsgID, Sender: sender, At: now, Answer: answers[i]}
		if a.Accepted() {
			a.Dup = p.accepted[a.ClientMsgID]
			p.accepted[a.ClientMsgID] = true
		}
		p.log = append(p.log, a)
		line, err := json.Marshal(a)
		if err == nil {
			_, _ = p.out.Write(append(line, '\n')) // a full disk shows when the log is closed
		}
	}
}

func (p *Provider) name(s string) string {
	one, ok := p.names[s]
	if !ok {
		one = s
		p.names[s] = s
	}
	return one
}
