package openim

import (
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"carillon/channels/provider"
	"carillon/models"
)

// reply is an answer to send_msg or check_msg_is_send_success.
type reply struct {
	http     int
	envelope bool // the body is an envelope; without it what follows is not set
	code     models.Code
	msg, dlt string
	data     bool   // there is data
	serverID string // of a send
	status   int    // of a check
}

// sentStatus is the status by which OpenIM says that a message was sent.
const sentStatus = 2

// wire is an envelope with the data of both routes.
type wire struct {
	ErrCode *models.Code `json:"errCode"`
	ErrMsg  string       `json:"errMsg"`
	ErrDlt  string       `json:"errDlt"`
	Data    *struct {
		ServerMsgID string `json:"serverMsgID"`
		Status      int    `json:"status"`
	} `json:"data"`
}

// readers hold what reading an answer needs.
var readers = sync.Pool{New: func() any { return new(reader) }}

type reader struct {
	raw []byte
	in  wire
}

// lenient: an answer's other fields are none of our business.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// readReply reads the body of an answer. A fault of the connection shows in the answer.
func readReply(a provider.Answer) reply {
	r := readers.Get().(*reader)
	defer r.giveBack()
	p := reply{http: a.Status()}
	if r.readAll(a.Body()) != nil || json.Unmarshal(r.raw, &r.in, lenient) != nil || r.in.ErrCode == nil {
		return p
	}
	p.envelope, p.code, p.msg, p.dlt = true, *r.in.ErrCode, r.in.ErrMsg, r.in.ErrDlt
	if d := r.in.Data; d != nil {
		p.data, p.serverID, p.status = true, d.ServerMsgID, d.Status
	}
	return p
}

func (r *reader) giveBack() {
	r.in, r.raw = wire{}, r.raw[:0]
	if cap(r.raw) <= keptScratchBytes {
		readers.Put(r)
	}
}

// readAll fills raw.
func (r *reader) readAll(from io.Reader) error {
	if cap(r.raw) == 0 {
		r.raw = make([]byte, 0, 512)
	}
	for {
		n, err := from.Read(r.raw[len(r.raw):cap(r.raw)])
		r.raw = r.raw[:len(r.raw)+n]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case len(r.raw) == cap(r.raw):
			r.raw = append(r.raw, 0)[:len(r.raw)]
		}
	}
}
