package openim

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

// class says what an answer to send_msg asks us to do.
type class int

const (
	// sent: it was accepted.
	sent class = iota
	// recipient: never for this recipient or group.
	recipient
	// campaign: never for anybody of this campaign.
	campaign
	// kicked: once more with a newer token.
	kicked
	// badToken: the same; and if the newer token is refused too, never for this campaign.
	badToken
	// missing: OpenIM did not find something. account_check tells what.
	missing
	// later: once more after a while.
	later
	// foreign: this is no answer of OpenIM's.
	foreign
)

// row is a line of the table.
type row struct {
	class class
	words string // what the operator reads, in front of the code; "" = OpenIM's own words
}

// codes is the table of OpenIM's errCodes, as far as one code alone decides. docs/openim.md has it in words.
var codes = map[models.Code]row{
	models.CodeRecordNotFound:   {missing, ""},
	1101:                        {recipient, noUser},
	1201:                        {recipient, "OpenIM has no such group"},
	1203:                        {recipient, "the sender is not in the group"},
	1204:                        {recipient, "the group is dismissed"},
	1302:                        {recipient, "the recipient has blocked the sender"},
	1303:                        {recipient, "the recipient is no friend of the sender's"},
	1402:                        {recipient, "the sender is muted in the group"},
	1403:                        {recipient, "the group is muted"},
	models.CodeNoPermission:     {campaign, "OpenIM does not let the admin send: CARILLON_OPENIM_ADMIN must be one of imAdminUserID in OpenIM's share.yml"},
	models.CodeTokenExpired:     {kicked, tokenRefused},
	1506:                        {kicked, tokenRefused},
	models.CodeTokenNotExist:    {kicked, tokenRefused},
	models.CodeTokenInvalid:     {badToken, tokenRefused},
	models.CodeTokenMalformed:   {badToken, tokenRefused},
	models.CodeTokenNotValidYet: {badToken, tokenRefused},
	models.CodeTokenUnknown:     {badToken, tokenRefused},
	models.CodeInternal:         {later, ""},
	models.CodeTooManyRequests:  {later, ""},
	models.CodeCallback:         {later, "a webhook of OpenIM's failed"},
	codeDatabase:                {later, ""},
	models.CodeNetwork:          {later, ""},
	grpcDeadline:                {later, ""},
	grpcExhausted:               {later, ""},
	grpcUnavailable:             {later, ""},
}

const (
	noUser       = "OpenIM has no such user"
	noSender     = "the sender is no user of OpenIM: register sendID there, or send as somebody who is one"
	refuses      = "refuses messages"
	tokenRefused = "OpenIM refuses the admin token" //nolint:gosec // words, no token

	// firstWebhookCode begins the codes that a webhook of OpenIM's gives when it stops a message.
	firstWebhookCode models.Code = 20001

	defaultSlowDown = time.Second // for a 429 that does not say how long

	maxDetail = 160 // characters of OpenIM's own words
)

// contentTexts are how OpenIM says, with 500, that a content does not fit its contentType.
var contentTexts = []string{"Field validation for", "error(s) decoding"}

// notSentText is how OpenIM says, with 1001, that it did not send the message to this recipient.
const notSentText = "message is not sent"

// classify finds the row of an answer.
func (p *reply) classify() row {
	said := p.msg + " " + p.dlt
	switch {
	case p.envelope && p.code == models.CodeInternal && containsAny(said, contentTexts):
		return row{campaign, "the content does not fit its contentType"}
	case p.http == http.StatusTooManyRequests, p.http >= 500, p.http == http.StatusRequestTimeout, p.http == http.StatusTooEarly:
		return row{class: later}
	case !p.envelope:
		return row{class: foreign}
	case p.http == http.StatusBadRequest:
		return row{campaign, "OpenIM cannot read the message"}
	case p.code == 0 && p.http == http.StatusOK && p.data:
		return row{class: sent}
	case p.code == 0:
		return row{class: foreign}
	case p.code == models.CodeArgs && strings.Contains(said, notSentText):
		return row{recipient, "OpenIM did not send the message"}
	}
	r, known := codes[p.code]
	switch {
	case known:
		return r
	case p.code <= maxGRPC:
		return row{class: later}
	case p.code >= firstWebhookCode:
		return row{recipient, "a webhook of OpenIM's stopped the message"}
	}
	return row{class: recipient}
}

// maxGRPC is the last of gRPC's own codes, which OpenIM passes on where one of its services does not answer.
const maxGRPC = 16

func containsAny(text string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// outcome is what an answer to send_msg makes of a recipient, when nothing more is asked.
func (p *reply) outcome(r row, header func(string) string, secret string) channels.Outcome {
	o := channels.Outcome{Result: channels.Failed, ErrCode: p.code, ErrMsg: p.words(r, secret)}
	if p.http != http.StatusOK {
		o.HTTP = p.http
	}
	if o.ErrCode == 0 {
		o.ErrCode = models.CodeCallback
	}
	switch r.class {
	case sent:
		o = channels.Outcome{Result: channels.Sent, ServerMsgID: provider.CleanID([]byte(p.serverID))}
		if p.serverID == "" {
			o = channels.Outcome{Result: channels.Skipped, ErrMsg: refuses}
		}
	case recipient:
	case campaign, badToken:
		o.Campaign = true
	case kicked, missing:
		o.Result = channels.Retry
	case later:
		p.later(&o, header)
	case foreign:
		o.ErrCode = models.CodeCallback
		if p.http == http.StatusOK { // perhaps OpenIM has the message, and what stands before it muddles the answer
			o.Result = channels.Ambiguous
		} else {
			o.Result, o.Foreign = channels.Retry, true
		}
	}
	return o
}

// later says whose failure it is, and whether the message may have been accepted all the same.
func (p *reply) later(o *channels.Outcome, header func(string) string) {
	o.Result = channels.Retry
	switch {
	case p.http == http.StatusTooManyRequests, p.code == models.CodeTooManyRequests:
		if o.RetryAfter = provider.RetryAfter(header); o.RetryAfter <= 0 {
			o.RetryAfter = defaultSlowDown
		}
	case p.http == http.StatusServiceUnavailable:
		o.Fault, o.RetryAfter = channels.Away, provider.RetryAfter(header)
	case p.http == http.StatusTooEarly, p.code == grpcExhausted:
		o.Fault = channels.Stumble
	case p.http == http.StatusBadGateway, p.http == http.StatusGatewayTimeout, p.code == grpcUnavailable:
		o.Fault, o.Unsure = channels.Away, true
	default: // it may have failed after it had sent
		o.Fault, o.Unsure = channels.Stumble, true
	}
}

// words are what the operator reads.
func (p *reply) words(r row, secret string) string {
	switch {
	case r.class == foreign:
		return (&Error{Kind: Foreign, Route: routeSend, HTTP: p.http}).Error()
	case !p.envelope:
		return (&Error{Kind: Later, Route: routeSend, HTTP: p.http}).Error()
	}
	words := r.words
	if words == "" {
		words = "OpenIM did not take the message"
	}
	text := fmt.Sprintf("%s (%d %s)", words, p.code, shown(p.msg, secret, maxSaid))
	if detail := shown(p.dlt, secret, maxDetail); detail != "" && detail != shown(p.msg, secret, maxDetail) {
		text += ": " + detail
	}
	return text
}
