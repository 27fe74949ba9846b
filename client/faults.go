package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"

	"carillon/internal/tlsfault"
)

// noAnswer makes an Error of a request without an answer. An error of the caller's context stays
// what it is.
func (d *doer) noAnswer(ctx context.Context, operationID string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	out := &Error{OperationID: operationID, cause: err}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case tlsfault.NoTLS(err):
		out.Message, out.Fix = d.server+" does not speak TLS", "give the address with http://"
	case tlsfault.BadCertificate(err):
		out.Message = fmt.Sprintf("this machine does not trust the certificate of %s (%s)", d.server, inner(err))
		out.Fix = "add its CA to the system's, or name the CA's file in SSL_CERT_FILE"
	case errors.As(err, &dns):
		out.Unreachable, out.Message, out.Fix = true, fmt.Sprintf("there is no host %s", dns.Name), "check the server's address"
	case errors.Is(err, syscall.ECONNREFUSED):
		out.Unreachable, out.Message = true, fmt.Sprintf("nothing listens at %s", d.server)
	case errors.As(err, &op) && op.Op == "dial":
		out.Unreachable, out.Message = true, fmt.Sprintf("%s cannot be reached (%s)", d.server, inner(err))
	default:
		out.Message = fmt.Sprintf("%s broke off the connection or did not answer in time (%s)", d.server, inner(err))
	}
	return out
}

// inner is the text of an error without the request's method and address, whose path may hold IDs.
func inner(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
