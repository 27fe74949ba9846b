package openim

import (
	"crypto/subtle"
	"encoding/json"
	"slices"
)

const (
	routeAdminToken = "/auth/get_admin_token"
	routeParseToken = "/auth/parse_token"
	routeSend       = "/msg/send_msg"
	routeBatch      = "/msg/batch_send_msg"
	routeCheck      = "/msg/check_msg_is_send_success"
	routeAccounts   = "/user/account_check"
	routeIDs        = "/user/get_all_users_uid"
	routeUsers      = "/user/get_users"
	routeOnline     = "/user/get_users_online_status"
)

// route is one of the API.
type route struct {
	open  bool // without a token
	serve func(*Double, *call) answer
}

var routes = map[string]route{
	routeAdminToken: {true, (*Double).adminToken},
	routeParseToken: {true, (*Double).parseToken},
	routeSend:       {false, (*Double).sendMsg},
	routeBatch:      {false, (*Double).batchSendMsg},
	routeCheck:      {false, (*Double).checkMsg},
	routeAccounts:   {false, (*Double).accountCheck},
	routeIDs:        {false, (*Double).allIDs},
	routeUsers:      {false, (*Double).page},
	routeOnline:     {false, (*Double).onlineStatus},
}

// bind decodes a body. Unknown fields are left alone.
func bind(body []byte, into any) answer {
	if err := json.Unmarshal(body, into); err != nil {
		return unbound("the body cannot be bound")
	}
	return answer{}
}

func (d *Double) adminToken(c *call) answer {
	var in struct {
		Secret string `json:"secret"`
		UserID string `json:"userID"`
	}
	if a := bind(c.body, &in); a.code != 0 {
		return a
	}
	if subtle.ConstantTimeCompare([]byte(in.Secret), []byte(d.opts.Secret)) != 1 {
		return refusal(codeNoPermission, "the secret is wrong")
	}
	if !slices.Contains(d.opts.Admins, in.UserID) {
		return refusal(codeNoPermission, "this user is no admin")
	}
	if f := c.fault; f != nil && f.Kind == Code {
		return refusal(f.Code, "%s", f.Text)
	}
	token, id, ends, err := d.tokens.issue(in.UserID, adminPlatform)
	if err != nil {
		return refusal(codeServerInternal, "signing failed")
	}
	l := c.line()
	l.Issued, l.For, l.Ends = id, in.UserID, ends
	return answer{data: map[string]any{"token": token, "expireTimeSeconds": int64(d.opts.TokenLife.Seconds())}}
}

func (d *Double) parseToken(c *call) answer {
	var in struct {
		Token string `json:"token"`
	}
	if a := bind(c.body, &in); a.code != 0 {
		return a
	}
	if in.Token == "" {
		return unbound("token is required")
	}
	who, code := d.tokens.check(in.Token)
	c.line().TokenID, c.line().Token = who.id, kind(who, code)
	if f := c.fault; code == 0 && f != nil && f.Kind == Code {
		return refusal(f.Code, "%s", f.Text)
	}
	if code != 0 {
		return refusal(code, "the token does not stand")
	}
	return answer{data: map[string]any{"userID": who.user, "platformID": who.platform, "expireTimeSeconds": who.ends.Unix()}}
}

func (d *Double) checkMsg(c *call) answer {
	if a := bind(c.body, &struct{}{}); a.code != 0 {
		return a
	}
	if f := c.fault; f != nil && f.Kind == Code {
		return refusal(f.Code, "%s", f.Text)
	}
	l := c.line()
	if d.sends.sent(l.OperationID, c.at) && (c.fault == nil || c.fault.Kind != Forgets) {
		l.Status = 2
	}
	return answer{data: map[string]any{"status": l.Status}}
}
