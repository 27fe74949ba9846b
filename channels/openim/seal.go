package openim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// seal encrypts tokens: AES-256-GCM with a key that is derived from OpenIM's secret (HKDF, SHA-256). Processes with
// another URL, secret or admin have another name for the token in Redis, so that a change of these settings, one process
// after another, makes them not overwrite each other's.
type seal struct {
	aead cipher.AEAD
	name []byte
}

func newSeal(base string, cfg Config) (s *seal, name string, err error) {
	raw, err := hkdf.Key(sha256.New, []byte(cfg.Secret), nil, "carillon openim token\n"+base+"\n"+cfg.Admin, 32+8)
	if err != nil {
		return nil, "", err
	}
	block, err := aes.NewCipher(raw[:32])
	if err != nil {
		return nil, "", err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, "", err
	}
	name = hex.EncodeToString(raw[32:])
	return &seal{aead, []byte(name)}, name, nil
}

// sealed is a token as it is encrypted. Times are Unix milliseconds.
type sealed struct {
	Text    string `json:"text"`
	ID      string `json:"id"`
	RenewAt int64  `json:"renewAt"`
	Ends    int64  `json:"ends"`
}

func (s *seal) close(t *token) []byte {
	raw, _ := json.Marshal(sealed{t.text, t.id, t.renewAt.UnixMilli(), t.ends.UnixMilli()}) // of texts and numbers it never fails
	return s.aead.Seal(nil, nil, raw, s.name)                                               //nolint:gosec // the nonce is drawn by the AEAD itself
}

// open is nil for what close did not make.
func (s *seal) open(box []byte) *token {
	raw, err := s.aead.Open(nil, nil, box, s.name)
	var t sealed
	if err != nil || json.Unmarshal(raw, &t) != nil {
		return nil
	}
	return &token{text: t.Text, id: t.ID, renewAt: time.UnixMilli(t.RenewAt), ends: time.UnixMilli(t.Ends)}
}
