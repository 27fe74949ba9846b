package web

import "time"

// Every phase of a request has its time. The header's is the server's own (ReadHeaderTimeout).
const (
	// bodyTime is for a body as a whole, but for an import: that may take as long as it keeps its rate.
	bodyTime = 30 * time.Second
	// bodyStart is for the first bytes of a body; then it must come at bodyRate or faster.
	bodyStart = 10 * time.Second
	bodyRate  = 256 << 10 // bytes per second
	// A client must take writePiece bytes within writeTime, else it is dropped. Exports and streams have their own.
	writePiece = 64 << 10
	writeTime  = 10 * time.Second
	streamTime = 5 * time.Second
)

// Body limits by purpose.
const (
	LoginBody   = 8 << 10   // a secret or a token
	FormBody    = 128 << 10 // a log-in with a form that was kept, in which each byte may take three
	ControlBody = 64 << 10  // names, times and short lists
	ListBody    = 16 << 20  // 100,000 IDs, or 1,000 users with all their texts
)
