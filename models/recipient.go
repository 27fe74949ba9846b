package models

// RecipientStatus is what became of one recipient.
type RecipientStatus int

const (
	RecipientPending RecipientStatus = iota
	RecipientSent
	RecipientFailed
	RecipientSkipped
	RecipientExpired
	RecipientCancelled
	RecipientUnknown // it may or may not have been sent, and must not be tried again
	// RecipientClaimed is a pending one that an at-most-once worker is about to send; outside it reads pending.
	RecipientClaimed
)

// RecipientStatusNames are the names outside, by number.
var RecipientStatusNames = []string{"pending", "sent", "failed", "skipped", "expired", "cancelled", "unknown"}

func (r RecipientStatus) String() string {
	if r == RecipientClaimed {
		r = RecipientPending
	}
	return RecipientStatusNames[r]
}

// Recipient is the row of one recipient: it stands once an outcome, or a failed attempt, is known.
type Recipient struct {
	CampaignID int64  `gorm:"primaryKey;autoIncrement:false"`
	Kind       int    `gorm:"primaryKey;autoIncrement:false"`
	UserID     string `gorm:"primaryKey"` // or the group's ID, by Kind
	Status     RecipientStatus
	Attempts   int
	// SentAt of a recipient that is sent is when. In the row of any other it says that a request may have been accepted,
	// and is when that was noted last; see shown.
	SentAt        *Millis
	NextAttemptAt *Millis
	ErrCode       *Code
	ErrMsg        *string
	ServerMsgID   *string
	FailingSince  *Millis // of a pending row: its first try that failed; nil = none did
}

// shown is the recipient without what the row keeps for workers alone.
func (r Recipient) shown() Recipient {
	if r.Status == RecipientClaimed {
		r.Status = RecipientPending
	}
	if r.Status != RecipientSent {
		r.SentAt = nil
	}
	return r
}
