package openim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sessionSingle       = 1
	sessionWriteGroup   = 2
	sessionReadGroup    = 3
	sessionNotification = 4

	// askLimit is how long a sent message can be asked about.
	askLimit = 24 * time.Hour
)

// message is the body of send_msg, as far as the double looks at it.
type message struct {
	SendID       string          `json:"sendID"`
	RecvID       string          `json:"recvID"`
	GroupID      string          `json:"groupID"`
	Nickname     string          `json:"senderNickname"`
	FaceURL      string          `json:"senderFaceURL"`
	PlatformID   int             `json:"senderPlatformID"`
	Content      json.RawMessage `json:"content"`
	ContentType  int             `json:"contentType"`
	SessionType  int             `json:"sessionType"`
	IsOnlineOnly bool            `json:"isOnlineOnly"`
	NotPush      bool            `json:"notOfflinePush"`
	SendTime     int64           `json:"sendTime"`
	Push         *struct {
		Title      string `json:"title"`
		Desc       string `json:"desc"`
		Ex         string `json:"ex"`
		Sound      string `json:"iOSPushSound"`
		BadgeCount bool   `json:"iOSBadgeCount"`
		Signal     string `json:"signalInfo"`
	} `json:"offlinePushInfo"`
	Ex string `json:"ex"`
}

// bindMessage decodes the body of send_msg. Of a body that cannot be bound it returns what was understood.
func bindMessage(body []byte) (m message, err error) {
	if err = json.Unmarshal(body, &m); err != nil {
		return m, err
	}
	if err = m.bound(); err != nil {
		return m, err
	}
	switch {
	case (m.SessionType == sessionSingle || m.SessionType == sessionNotification) && m.RecvID == "":
		return m, errors.New("recvID is required")
	case (m.SessionType == sessionWriteGroup || m.SessionType == sessionReadGroup) && m.GroupID == "":
		return m, errors.New("groupID is required")
	}
	return m, nil
}

// bound checks what send_msg and batch_send_msg both need before anything else.
func (m *message) bound() error {
	switch {
	case m.SendID == "":
		return errors.New("sendID is required")
	case len(m.Content) == 0 || m.Content[0] != '{':
		return errors.New("content must be an object")
	case m.ContentType == 0:
		return errors.New("contentType is required")
	case m.SessionType == 0:
		return errors.New("sessionType is required")
	}
	return nil
}

// made is the answer's data for a message.
type made struct {
	ServerMsgID string `json:"serverMsgID"`
	ClientMsgID string `json:"clientMsgID"`
	SendTime    int64  `json:"sendTime"`
	RecvID      string `json:"recvID,omitempty"`
}

// sends knows what was sent under which operationID.
type sends struct {
	serial atomic.Int64

	mu   sync.Mutex
	byOp map[string]*operation
}

type operation struct {
	tries int
	at    time.Time           // of the last that was sent; zero = none
	to    map[string]struct{} // recipients
}

func newSends() *sends { return &sends{byOp: map[string]*operation{}} }

func (s *sends) of(op string) *operation {
	one := s.byOp[op]
	if one == nil {
		one = &operation{}
		s.byOp[op] = one
	}
	return one
}

// try is the number of sends under an operationID, this one included.
func (s *sends) try(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of(op)
	one.tries++
	return one.tries
}

// deliver notes a message that was sent. It is true when it was sent before.
func (s *sends) deliver(op, to string, at time.Time) (repeat bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of(op)
	one.at = at
	if _, repeat = one.to[to]; repeat {
		return true
	}
	if one.to == nil {
		one.to = make(map[string]struct{}, 1)
	}
	one.to[to] = struct{}{}
	return false
}

// sent says whether a message of this operationID was sent in the last 24 hours.
func (s *sends) sent(op string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byOp[op]
	return one != nil && !one.at.IsZero() && now.Sub(one.at) < askLimit
}

// made draws the IDs of a message.
func (s *sends) made(m message) made {
	n := strconv.FormatInt(s.serial.Add(1), 36)
	now := time.Now()
	one := made{ServerMsgID: fmt.Sprintf("s%x-%s", now.UnixMicro(), n), ClientMsgID: fmt.Sprintf("c%x-%s", now.UnixMicro(), n), SendTime: m.SendTime}
	if one.SendTime == 0 {
		one.SendTime = now.UnixMilli()
	}
	return one
}

func (d *Double) sendMsg(c *call) answer {
	if c.bad != nil {
		return unbound("%s", c.bad)
	}
	if !c.caller.admin {
		return refusal(codeNoPermission, "only admins may send for others")
	}
	if a := c.msg.fits(); a.code != 0 {
		return a
	}
	if a := c.permitted(); a.code != 0 {
		return a
	}
	if a := d.senderKnown(c.msg); a.code != 0 {
		return a
	}
	one, a := d.deliver(c.how, c.msg, c.line())
	if f := c.fault; f != nil && f.Kind == Code && a.code == 0 {
		return refusal(f.Code, "%s", f.Text)
	}
	if a.code == 0 {
		a.data = one
	}
	return a
}

// senderKnown looks the sender up.
func (d *Double) senderKnown(m message) answer {
	if slices.Contains(d.opts.Admins, m.SendID) || d.users.has(m.SendID) {
		return answer{}
	}
	return refusal(codeRecordNotFound, "the sender is not found")
}

// deliver brings a message to its recipient or group, and notes it in line.
func (d *Double) deliver(how *behaviour, m message, line *Line) (made, answer) {
	one := d.sends.made(m)
	if m.SessionType == sessionWriteGroup {
		return made{}, refusal(codeArgs, "unknown sessionType")
	}
	to := m.GroupID
	if m.SessionType != sessionReadGroup {
		to = m.RecvID
		if !d.exists(how, to) {
			line.Fault = Unknown
			return made{}, refusal(codeRecordNotFound, "the user is not found")
		}
		if f := how.nature(to); f != nil {
			line.Fault, one.ServerMsgID = f.Kind, ""
			return one, answer{}
		}
	}
	line.Repeat = d.sends.deliver(line.OperationID, to, line.At)
	line.Delivered, line.ServerMsgID = true, one.ServerMsgID
	return one, answer{}
}

func (d *Double) batchSendMsg(c *call) answer {
	var in struct {
		message
		RecvIDs   []string `json:"recvIDs"`
		IsSendAll bool     `json:"isSendAll"`
	}
	if a := bind(c.body, &in); a.code != 0 {
		return a
	}
	if err := in.bound(); err != nil {
		return unbound("%s", err)
	}
	if in.RecvIDs == nil {
		return unbound("recvIDs is required")
	}
	l := c.line()
	l.SendID, l.GroupID, l.OnlineOnly = in.SendID, in.GroupID, in.IsOnlineOnly
	if a := c.permitted(); a.code != 0 {
		return a
	}
	if in.IsSendAll {
		in.RecvIDs = d.users.ids()
	}
	if a := in.fits(); a.code != 0 {
		return a
	}
	l.In = len(in.RecvIDs)
	var out struct {
		Results []made   `json:"results"`
		Failed  []string `json:"failedUserIDs"`
	}
	shared := d.sends.made(in.message).ClientMsgID
	for _, id := range in.RecvIDs {
		line := Line{At: c.at, Route: routeBatch, OperationID: l.OperationID, Token: l.Token, TokenID: l.TokenID, SendID: in.SendID, RecvID: id, GroupID: in.GroupID, OnlineOnly: in.IsOnlineOnly}
		one, a := d.deliverOne(c.how, in.message, id, &line)
		line.ErrCode = a.code
		if a.code != 0 {
			out.Failed = append(out.Failed, id)
		} else {
			one.ClientMsgID, one.RecvID = shared, id
			out.Results = append(out.Results, one)
		}
		c.lines = append(c.lines, line)
	}
	return answer{data: out}
}

// deliverOne is one turn of the batch's loop.
func (d *Double) deliverOne(how *behaviour, m message, recvID string, line *Line) (made, answer) {
	m.RecvID = recvID
	if a := d.senderKnown(m); a.code != 0 {
		return made{}, a
	}
	return d.deliver(how, m, line)
}
