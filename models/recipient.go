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
	CampaignID    int64  `gorm:"primaryKey;autoIncrement:false"`
	Kind          int    `gorm:"primaryKey;autoIncrement:false"`
	UserID        string `gorm:"primaryKey"` // or the group's ID, by Kind
	Status        RecipientStatus
	Attempts      int
	SentAt        *Millis
	NextAttemptAt *Millis
	ErrCode       *Code
	ErrMsg        *string
	ServerMsgID   *string
	FailingSince  *Millis // of a pending row: its first try that failed; nil = none did
}
