// Package channels is how a message leaves Carillon. A channel gets a chunk of recipients and says for each
// of them what became of it; it knows nothing of pages, attempts, rates or campaigns' states.
package channels

import (
	"context"
	"net/http"
	"time"

	"carillon/models"
)

// Recipient is one addressee of a chunk: a user or, for a group message that is stored once, a group.
type Recipient struct {
	UserID      string // empty for a group
	GroupID     string // empty for a user
	ClientMsgID string // deterministic per (campaign, recipient): the idempotency key towards the provider
	Attempt     int    // 1 = the first that the ledger knows of
	// MaybeSent: an earlier request for this recipient may have been accepted, and nobody knows. A channel whose Traits
	// say Asks asks its provider about the recipient before it sends again.
	MaybeSent bool
}

// Batch is one chunk to send: the same message to each of Recipients.
type Batch struct {
	CampaignID  string // the campaign's public ID, a ULID
	OperationID string
	Message     *models.Message
	Recipients  []Recipient
	// AtMostOnce: no recipient may be sent the message twice. A recipient who is MaybeSent is asked about and never sent
	// again: the outcome is Sent, Ambiguous where the answer does not say so, or Retry where there was no answer.
	AtMostOnce bool
	// MayStart is asked directly before each request; when it says no, that request is not begun and its
	// recipients are NotTried. nil = always yes.
	MayStart func() bool
	// Answered is told of each request when it is over, from any goroutine: the place of its first recipient in
	// Recipients, their outcomes, and what it took from its start to the end of its answer. So the caller can stop in
	// the middle of a chunk when the provider fails. A channel without a provider does not call it. nil = nobody wants
	// to know.
	Answered func(from int, of []Outcome, took time.Duration)
}

// Result is what became of one recipient.
type Result int

const (
	// Sent: the provider accepted it.
	Sent Result = iota
	// Failed: it will never be accepted; not tried again.
	Failed
	// Skipped: rightly not sent, e.g. the user is offline and the message is for those online only.
	Skipped
	// Retry: it was not accepted, as far as the answer says, and may be tried again after a backoff. See Outcome.Unsure.
	Retry
	// NotTried: no request was begun for it; the attempt does not count.
	NotTried
	// Ambiguous: the request was written and its answer never came: it may or may not have been accepted.
	Ambiguous
)

// Fault says whose failure a Retry or an Ambiguous outcome is, as far as the channel can tell.
type Fault int

const (
	// NoFault: nothing failed, or it is a matter between provider and recipient.
	NoFault Fault = iota
	// Stumble: the provider failed over this request and may do better with another: 500, a time-out, a connection
	// that broke under way.
	Stumble
	// Away: the provider is not there, whoever the recipient: no connection, 502, 503, 504.
	Away
)

// Outcome is the Result for one recipient with what there is to say about it.
type Outcome struct {
	Result      Result
	ErrCode     models.Code   // 0 when Sent
	ErrMsg      string        // shown to operators; at most models.MaxTextChars characters are kept
	ServerMsgID string        // the provider's own ID of the message, where it gave one
	RetryAfter  time.Duration // > 0: the provider asked for the whole channel to be left alone so long
	Fault       Fault
	Stopped     bool // this process gave the request up; the outcome says nothing about the provider
	HTTP        int  // status of an answer that is an error; 0 = none
	Unsure      bool // with Retry: the answer is an error that may stand for a message that was accepted all the same
	// Campaign, with Failed: what was refused is the same for all recipients of the campaign: the sender, the content, or
	// the right to send. None of them will be accepted, so the campaign fails as a whole.
	Campaign bool
	// Foreign, with Retry: what answered is not the provider, for example a web page. Nothing was accepted.
	Foreign bool
}

// Refused says that the provider could not be connected to, so that nothing of the request left: no recipient
// can be the cause of that.
func (o Outcome) Refused() bool { return o.Fault == Away && o.ErrCode == models.CodeNetwork }

// Unread says that an answer came and what it says of this recipient cannot be read. Where that is the rule, the
// answers of a whole audience would be as unreadable.
func (o Outcome) Unread() bool {
	return o.Foreign || o.Result == Ambiguous && o.ErrCode == models.CodeCallback
}

// Denied says that the provider refuses the caller, whoever the recipient is, and may take the same request once an operator has
// mended that: 401, 403 and other errors of the 4xx, but for those that only ask to come later.
func (o Outcome) Denied() bool {
	return o.Result == Retry && o.HTTP >= 400 && o.HTTP < 500 && o.HTTP != http.StatusTooEarly && o.RetryAfter == 0 && !o.Unsure && !o.Foreign
}

// Traits are what the others must know of a channel.
type Traits struct {
	Name string // in campaigns and settings: the constant Name of the channel's folder
	// MaxBatch is the largest number of recipients that one request carries. A chunk may hold several requests.
	MaxBatch int
	// KnowsUsers: only users of the directory can be reached. An unknown one is failed with 1004 before sending.
	KnowsUsers bool
	// SyncsUsers: the directory is synced from the provider's users. So:
	//   - users who refuse messages there are skipped before sending (models.User);
	//   - a campaign to all users waits for the sync when the directory is old (models.Store.AwaitSync).
	SyncsUsers bool
	// StoresInInbox: the row of a recipient who was sent the message is the message, which users and members of a group
	// read here, later. The ledger is told of these channels: models.Store.InboxChannels. So:
	//   - a message that is stored once for a group cannot be for those online only;
	//   - a group's campaign may leave out its sessionType.
	StoresInInbox bool
	// GroupEach: a group's message can go to each of its members (sessionType 2).
	GroupEach bool
	// GroupOnce: a group's message can go to the group, once (sessionType 3).
	GroupOnce bool
	// SyncsSender: each message that is stored also comes to its sender's own devices, as one conversation per recipient.
	SyncsSender bool
	// Asks: the provider can be asked whether it has accepted a message. See Recipient.MaybeSent.
	Asks bool
}

// MaxTimeout is the longest that one request may take: it lives under its page's lease of 10 s, with room to write its
// outcome.
const MaxTimeout = 8 * time.Second

// Channel sends one chunk. Send returns one Outcome per recipient, in order, and never an error: a fault of
// the transport is an Outcome too. When ctx ends, Send gives up and reports what is then true (Retry if
// nothing was written, else Ambiguous). Implementations are safe for concurrent use.
type Channel interface {
	// Traits are the same as long as the process lives.
	Traits() Traits
	Send(ctx context.Context, b Batch) []Outcome
}

// Same fills a slice with one outcome for n recipients.
func Same(n int, o Outcome) []Outcome {
	out := make([]Outcome, n)
	for i := range out {
		out[i] = o
	}
	return out
}
