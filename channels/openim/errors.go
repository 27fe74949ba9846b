package openim

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"

	"carillon/channels/provider"
	"carillon/internal/tlsfault"
	"carillon/models"
)

// Kind is what went wrong with a call, as far as it decides what to do.
type Kind int

const (
	// Network: no whole answer came.
	Network Kind = iota + 1
	// Foreign: something answered that is no OpenIM: a web page, a proxy, another service.
	Foreign
	// Secret: OpenIM gives out no admin token for the secret.
	Secret
	// Admin: the user who is set as admin is none there.
	Admin
	// Token: a token was refused.
	Token
	// Later: OpenIM cannot answer now.
	Later
	// Refused: OpenIM understood the request and refuses it, or does not take it for valid.
	Refused
)

// Error is a call that failed. Its text says what to do, and holds no token, secret, ID and text of a user.
type Error struct {
	Kind       Kind
	Route      string      // e.g. /user/get_users
	HTTP       int         // status of the answer; 0 = there was none
	Code       models.Code // errCode of the envelope; 0 = there was none
	Said       string      // errMsg of the envelope, made fit to be shown; for Network the reason
	RetryAfter time.Duration
	at         time.Time // of a token that could not be had: when OpenIM was asked; else zero
}

func (e *Error) Error() string {
	switch e.Kind {
	case Network:
		return fmt.Sprintf("OpenIM did not answer %s: %s", e.Route, e.Said)
	case Foreign:
		return fmt.Sprintf("%s was answered by something that is no OpenIM API (%s): CARILLON_OPENIM_URL must be the address of OpenIM's API, by default port 10002", e.Route, e.answer())
	case Secret:
		return fmt.Sprintf("OpenIM gives no admin token (%s): CARILLON_OPENIM_SECRET must be the secret of OpenIM's share.yml", e.answer())
	case Admin:
		return fmt.Sprintf("OpenIM does not take the user for an admin (%s): CARILLON_OPENIM_ADMIN must be one of imAdminUserID in OpenIM's share.yml", e.answer())
	case Token:
		return fmt.Sprintf("OpenIM refuses the token (%s)", e.answer())
	case Later:
		return fmt.Sprintf("OpenIM cannot answer %s now (%s)", e.Route, e.answer())
	case Refused:
	}
	return fmt.Sprintf("OpenIM refuses %s (%s)", e.Route, e.answer())
}

// answer is what came back, in short: "HTTP 502 Bad Gateway" or "1002 NoPermissionError".
func (e *Error) answer() string {
	if e.Code == 0 {
		return strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.HTTP, http.StatusText(e.HTTP)))
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", e.Code, e.Said))
}

// maxSaid is how much of an errMsg is shown.
const maxSaid = 100

// jwtText is a JSON Web Token or its beginning.
var jwtText = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{5,}[A-Za-z0-9_.-]*`)

// shown is a text of OpenIM's as it may be shown: cut to n characters, without the secret and without tokens.
func shown(text, secret string, n int) string {
	text = jwtText.ReplaceAllString(text, "…")
	if len(secret) >= leastSecret {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return provider.CleanText(text, n)
}

// leastSecret: a shorter text would stand in every word.
const leastSecret = 4

// networkReason says why no answer came. It quotes no address.
func networkReason(err error, limit time.Duration) string {
	var (
		dns     *net.DNSError
		errno   syscall.Errno
		timeout net.Error
	)
	switch {
	case tlsfault.BadCertificate(err):
		return "its TLS certificate is not trusted: add the authority that signed it to this system's, or name a file with it in SSL_CERT_FILE"
	case tlsfault.NoTLS(err), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS: CARILLON_OPENIM_URL must begin with http://"
	case errors.As(err, &dns):
		return "the host name of CARILLON_OPENIM_URL cannot be resolved"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no whole answer within " + limit.String()
	case errors.As(err, &errno):
		return errno.Error() // "connection refused", "no route to host"
	}
	return "the connection broke before the answer was complete"
}
