package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"

	"carillon/internal/tlsfault"
	"carillon/models"
)

// MySQL's error numbers for refusals before a log-in is complete.
const (
	noDatabaseRights = 1044
	wrongPassword    = 1045
	noSuchDatabase   = 1049
	noPlugin         = 1698 // the user may not log in by password
	wantsTLS         = 3159
)

// mendDatabase says what to do about a database that refuses the connection.
func mendDatabase(ctx context.Context, rawURL string, err error) string {
	var refused *mysql.MySQLError
	switch {
	case errors.As(err, &refused) && refused.Number == wrongPassword && opensWithTLS(ctx, rawURL): // MariaDB answers so to a user who must use TLS and does not
		return "it wants TLS: add ?tls=true to CARILLON_DATABASE_URL"
	case errors.As(err, &refused) && (refused.Number == wrongPassword || refused.Number == noPlugin):
		return "it runs and refuses the user or the password: mend them in CARILLON_DATABASE_URL, with special characters percent-encoded"
	case errors.As(err, &refused) && refused.Number == noDatabaseRights:
		return "give the user all rights on this database (GRANT ALL ON …), or name another database in CARILLON_DATABASE_URL"
	case errors.As(err, &refused) && refused.Number == noSuchDatabase:
		return "make it (CREATE DATABASE …), or name another database in CARILLON_DATABASE_URL"
	case errors.As(err, &refused) && (refused.Number == wantsTLS || strings.Contains(refused.Message, "insecure transport")):
		return "it wants TLS: add ?tls=true to CARILLON_DATABASE_URL"
	case errors.Is(err, mysql.ErrNoTLS), tlsfault.NoTLS(err):
		return "it speaks no TLS: leave tls= out of CARILLON_DATABASE_URL, or set up TLS at the server"
	case tlsfault.BadCertificate(err):
		return "give it a certificate that this machine trusts, or accept any with ?tls=skip-verify in CARILLON_DATABASE_URL"
	case refused != nil:
		return "mend the server, or CARILLON_DATABASE_URL"
	}
	return "start it, or mend CARILLON_DATABASE_URL"
}

// opensWithTLS reports whether a database that refused its user without TLS accepts the user with
// TLS.
func opensWithTLS(ctx context.Context, rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil || u.Query().Has("tls") {
		return false
	}
	u.RawQuery = "tls=skip-verify"
	ledger, err := models.Open(u.String())
	if err != nil {
		return false
	}
	defer func() { _ = ledger.Close() }()
	_, err = databaseVersion(ctx, ledger)
	return err == nil
}

// mendRedis says what to do about a Redis that does not answer.
func mendRedis(ctx context.Context, rawURL string, err error) string {
	text := err.Error()
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("without any password configured", "no password is set"):
		return "it has no password: leave it out of CARILLON_REDIS_URL, or set requirepass in redis.conf"
	case has("WRONGPASS", "NOAUTH", "invalid password", "invalid username-password"):
		return "it runs and refuses the user or the password: mend them in CARILLON_REDIS_URL, with special characters percent-encoded"
	case has("NOPERM"):
		return "give its user all commands and keys, or name another user in CARILLON_REDIS_URL"
	case tlsfault.NoTLS(err):
		return "it speaks no TLS: write redis:// instead of rediss:// in CARILLON_REDIS_URL, or set up TLS there"
	case tlsfault.BadCertificate(err):
		return "give it a certificate that this machine trusts"
	case takesTLS(ctx, rawURL):
		return "it wants TLS: write rediss:// instead of redis:// in CARILLON_REDIS_URL"
	}
	return "start it, or mend CARILLON_REDIS_URL"
}

// takesTLS reports whether a Redis that was asked without TLS completes a TLS handshake.
func takesTLS(ctx context.Context, rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "redis" {
		return false
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent over the connection
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
