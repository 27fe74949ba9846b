package openim

import (
	"errors"

	"carillon/channels"
	"carillon/models"
)

const (
	notConfirmed = "OpenIM did not find the recipient, the sender, or something else"
	foundBoth    = "OpenIM did not find something that the message needs, although it has the sender and the recipient"
)

// confirm finds out what OpenIM did not find when it answered 1004, by one account_check for all these recipients and
// the sender.
func (s *sending) confirm() {
	var ids []string
	var at []int
	for i := range s.tries {
		if !s.tries[i].missing {
			continue
		}
		at = append(at, i)
		if r := &s.batch.Recipients[i]; r.UserID != "" && r.UserID != s.batch.Message.SendID {
			ids = append(ids, r.UserID)
		}
	}
	if len(at) == 0 {
		return
	}
	verdict := s.lookUp(append(ids, s.batch.Message.SendID))
	for _, i := range at {
		o := verdict(s.batch.Recipients[i])
		o.ErrCode = models.CodeRecordNotFound
		s.out[i] = o
		s.tell(i)
	}
}

// lookUp asks which users exist, and returns what that makes of a recipient.
func (s *sending) lookUp(ids []string) func(channels.Recipient) channels.Outcome {
	same := func(o channels.Outcome) func(channels.Recipient) channels.Outcome {
		return func(channels.Recipient) channels.Outcome { return o }
	}
	if s.ctx.Err() != nil || s.batch.MayStart != nil && !s.batch.MayStart() {
		return same(channels.Outcome{Result: channels.Retry, ErrMsg: notConfirmed})
	}
	exists, err := s.AccountCheck(s.ctx, ids)
	if err != nil {
		o := channels.Outcome{Result: channels.Retry, ErrMsg: notConfirmed}
		if e := (*Error)(nil); errors.As(err, &e) {
			o.ErrMsg, o.Fault, o.RetryAfter = notConfirmed+": "+e.Error(), channels.Stumble, e.RetryAfter
		}
		return same(o)
	}
	if !exists[s.batch.Message.SendID] {
		return same(channels.Outcome{Result: channels.Failed, ErrMsg: noSender, Campaign: true})
	}
	return func(r channels.Recipient) channels.Outcome {
		switch {
		case r.GroupID != "":
			return channels.Outcome{Result: channels.Failed, ErrMsg: codes[1201].words}
		case !exists[r.UserID]:
			return channels.Outcome{Result: channels.Failed, ErrMsg: noUser}
		}
		return channels.Outcome{Result: channels.Retry, ErrMsg: foundBoth}
	}
}
