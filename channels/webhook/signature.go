package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"carillon/channels"
	"carillon/internal/stdwebhook"
)

// errSecret never quotes what it was given: half a secret in a log is a leak too.
var errSecret = fmt.Errorf("webhook secret: %w", stdwebhook.ErrSecret)

// signer signs requests as https://www.standardwebhooks.com says, scheme v1: HMAC-SHA256 over
// "<webhook-id>.<unix seconds>.<body>". Not safe for concurrent use: its state is used again and again.
type signer struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

func decodeSecret(secret string) ([]byte, error) {
	key, err := stdwebhook.Key(secret)
	if err != nil {
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
