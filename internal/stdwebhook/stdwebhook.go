// Package stdwebhook signs requests as https://www.standardwebhooks.com says, scheme v1.
package stdwebhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

const (
	// Prefix begins each secret.
	Prefix   = "whsec_"
	minBytes = 24 // the least that Standard Webhooks allows
)

// MakeSecret is a command that makes a secret.
const MakeSecret = `echo "whsec_$(head -c 32 /dev/urandom | base64)"` //nolint:gosec // a command that makes one

// ErrSecret never quotes what it was given: half a secret in a log is a leak too.
var ErrSecret = errors.New(`must be "whsec_" and the base64 of at least 24 bytes; make one with: ` + MakeSecret)

// Key reads a secret, "whsec_" and the base64 of the key. Its error is ErrSecret.
func Key(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, Prefix)
	if !ok {
		return nil, ErrSecret
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) < minBytes {
		return nil, ErrSecret
	}
	return key, nil
}

// Sign is the value of the header webhook-signature. id and timestamp, unix seconds, are those of the headers
// webhook-id and webhook-timestamp.
func Sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
