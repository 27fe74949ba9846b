package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strings"

	"carillon/channels"
)

const (
	secretPrefix   = "whsec_"
	minSecretBytes = 24 // the least that Standard Webhooks allows
)

// errSecret never quotes what it was given: half a secret in a log is a leak too.
var errSecret = errors.New(`webhook secret: must be "whsec_" and the base64 of at least 24 bytes; ` +
	`make one with: echo "whsec_$(openssl rand -base64 32)"`)

// signer signs requests as https://www.standardwebhooks.com says, scheme v1: HMAC-SHA256 over
// "<webhook-id>.<unix seconds>.<body>". Not safe for concurrent use: its state is used again and again.
type signer struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

func decodeSecret(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return nil, errSecret
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) < minSecretBytes {
		return nil, errSecret
	}
	return key, nil
}

func newSigner(key []byte) signer { return signer{mac: hmac.New(sha256.New, key)} }

// appendSignature appends the value of the header webhook-signature. head is "<webhook-id>.<unix seconds>.", the
// body may come in parts.
func (s *signer) appendSignature(dst, head []byte, body ...[]byte) []byte {
	s.mac.Reset()
	s.mac.Write(head)
	for _, part := range body {
		s.mac.Write(part)
	}
	return base64.StdEncoding.AppendEncode(append(dst, "v1,"...), s.mac.Sum(s.sum[:0]))
}

// requestKey is what webhook-id and Idempotency-Key carry: the clientMsgID of a single recipient, else the
// SHA-256 (64 hex digits) of the clientMsgIDs in order. It depends on nothing but the items, so that the same
// request made again, by any process and any version, has the same key.
func requestKey(items []channels.Recipient) string {
	if len(items) == 1 {
		return items[0].ClientMsgID
	}
	h := sha256.New()
	var size [binary.MaxVarintLen64]byte
	for _, r := range items {
		// The length in front keeps ["ab","c"] apart from ["a","bc"].
		h.Write(size[:binary.PutUvarint(size[:], uint64(len(r.ClientMsgID)))])
		h.Write([]byte(r.ClientMsgID))
	}
	return hex.EncodeToString(h.Sum(nil))
}
