package openim

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Line is one request as the double's log has it. A batch has a line for the request and one for each recipient.
type Line struct {
	At          time.Time `json:"at"` // of arrival
	Route       string    `json:"route"`
	OperationID string    `json:"operationID,omitempty"`
	Token       string    `json:"token"`             // admin, user, none, bad, expired, kicked or retired
	TokenID     string    `json:"tokenID,omitempty"` // names the token, and does not open anything
	SendID      string    `json:"sendID,omitempty"`
	RecvID      string    `json:"recvID,omitempty"`
	GroupID     string    `json:"groupID,omitempty"`
	OnlineOnly  bool      `json:"onlineOnly,omitempty"`
	HTTP        int       `json:"http"`    // 0 = no answer, or none that is whole
	ErrCode     int       `json:"errCode"` // of the envelope
	Status      int       `json:"status,omitempty"`
	Fault       string    `json:"fault,omitempty"`
	Delivered   bool      `json:"delivered,omitempty"`
	Repeat      bool      `json:"repeat,omitempty"` // delivered, and so was an earlier one of this operationID and recipient
	ServerMsgID string    `json:"serverMsgID,omitempty"`

	Issued string    `json:"issued,omitempty"` // the ID of the token that the answer holds
	For    string    `json:"for,omitempty"`    // whose it is
	Listed int       `json:"listed,omitempty"` // users on the page that the answer holds
	In     int       `json:"in,omitempty"`     // recipients of a batch
	Page   int       `json:"page,omitempty"`
	Ends   time.Time `json:"ends,omitzero"` // of the issued token
}

// ledger is the log's file. Each line is written with one call, before the request is answered.
type ledger struct {
	mu   sync.Mutex
	file *os.File
	err  error // the first that failed
}

func openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := endLine(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &ledger{file: f}, nil
}

// endLine ends a line that a full disk or a power cut has torn, so that the next one stands alone.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

func (l *ledger) write(lines ...Line) {
	var raw []byte
	for i := range lines {
		one, err := json.Marshal(&lines[i])
		if err != nil {
			panic(err) // the lines are the double's own
		}
		raw = append(append(raw, one...), '\n')
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(raw); err != nil && l.err == nil {
		l.err = err
	}
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.file.Close())
}

// ReadLog calls each with every line of a log, in order. It may be called while a double writes. A line that was torn
// is left out.
func ReadLog(path string, each func(Line)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		raw, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var line Line
		if json.Unmarshal(raw, &line) == nil {
			each(line)
		}
	}
}
