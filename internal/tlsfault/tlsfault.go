// Package tlsfault tells what is wrong with a connection with TLS from its error, so that a text can name the fix.
package tlsfault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
)

// NoTLS says that what was asked with TLS answered with something else.
func NoTLS(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) || strings.Contains(err.Error(), "first record does not look like a TLS handshake") ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") // of net/http, which has no type for it
}

// BadCertificate says that this machine does not trust the other side's certificate, or that it is for another host.
func BadCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host)
}
