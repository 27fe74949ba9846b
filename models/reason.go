package models

// ReasonCode says why something happened, for programs. Reason.Text says the same for people. docs/api.md lists the codes.
type ReasonCode string

// All reason codes.
const (
	ReasonNone ReasonCode = "" // nothing is to be said: a campaign has started, or all its recipients have their outcome

	// Of campaigns: they stand in statusReasonCode, too.
	ReasonOperator     ReasonCode = "operator"     // somebody asked for this one campaign or schedule to be paused, resumed, cancelled, retried …
	ReasonPauseAll     ReasonCode = "pauseAll"     // the kill switch, pause --all
	ReasonResumeAll    ReasonCode = "resumeAll"    // resume --all, of what the kill switch had paused
	ReasonGuard        ReasonCode = "guard"        // it paused itself: too many recipients failed, or the provider's answers cannot be read
	ReasonExpired      ReasonCode = "expired"      // its expireAt passed with recipients unsent
	ReasonMissed       ReasonCode = "missed"       // nothing ran at its sendAt, or at a schedule's slot
	ReasonNoAudience   ReasonCode = "noAudience"   // it could not start: its group or all users were gone
	ReasonRestored     ReasonCode = "restored"     // the ledger was restored, and is older than what was sent from it
	ReasonTakenOver    ReasonCode = "takenOver"    // a replica took over the ledger and lacks the last seconds
	ReasonRefused      ReasonCode = "refused"      // the channel refuses it as a whole; or of a slot: the template cannot be sent any more, or the schedule cannot be read
	ReasonTotalDiffers ReasonCode = "totalDiffers" // all pages are done, but their outcomes are not the total; verify the campaign

	ReasonDirectorySync ReasonCode = "directorySync" // its time has come, and it waits for the sync of an old directory
	ReasonDirectoryAsIs ReasonCode = "directoryAsIs" // somebody lets it start with the directory as it is

	// Of a schedule's slots.
	ReasonOverlap       ReasonCode = "overlap"       // an earlier campaign of the schedule had not ended
	ReasonByHand        ReasonCode = "byHand"        // somebody ran the schedule, outside its slots
	ReasonSkippedByHand ReasonCode = "skippedByHand" // somebody leaves the slot out
)

// ReasonCodes lists all codes but ReasonNone.
var ReasonCodes = []ReasonCode{ReasonOperator, ReasonPauseAll, ReasonResumeAll, ReasonGuard, ReasonExpired, ReasonMissed, ReasonNoAudience,
	ReasonRestored, ReasonTakenOver, ReasonTotalDiffers, ReasonDirectorySync, ReasonDirectoryAsIs, ReasonOverlap, ReasonRefused, ReasonByHand, ReasonSkippedByHand}

// Reason is why something happened.
type Reason struct {
	Code ReasonCode
	Text string // for people; at most MaxTextChars characters; may be empty
}
