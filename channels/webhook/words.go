package webhook

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"carillon/channels/provider"
	"carillon/internal/stdwebhook"
)

const (
	maxWords  = 200     // characters of what an error's body says
	wordBytes = 4 << 10 // of the body that are looked at: more than the words and a secret behind them
)

// errorText is what the body of an error says, for the recipients' error texts: its beginning, on one line, without secrets.
// It is empty for a body of results, which may be about other recipients, and for a body that is no text.
func (w *Channel) errorText(body io.Reader, encoding string) string {
	raw := make([]byte, wordBytes)
	n, _ := io.ReadFull(body, raw) // what came of a body that breaks off says something too
	raw = raw[:n]
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); {
	case len(raw) > 1 && raw[0] == 0x1f && raw[1] == 0x8b: // whatever the header says, as with 2xx
		raw = unzipped(raw)
	case encoding != "" && encoding != "identity":
		return ""
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if bytes.Contains(bytes.ToLower(raw), []byte(`"results"`)) {
		return ""
	}
	text := provider.CleanText(w.withoutSecrets(strings.TrimSpace(string(raw))), maxWords)
	if strings.Count(text, string(utf8.RuneError))*8 > utf8.RuneCountInString(text) {
		return ""
	}
	return strings.Join(strings.Fields(text), " ")
}

// unzipped is as much of packed data as its beginning holds.
func unzipped(raw []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil
	}
	plain := make([]byte, wordBytes)
	n, _ := io.ReadFull(z, plain)
	return plain[:n]
}

// signature is the value of a webhook-signature, which a provider may quote.
var signature = regexp.MustCompile(`v1,[A-Za-z0-9+/=%]{16,}`)

func (w *Channel) withoutSecrets(text string) string {
	for _, s := range w.secrets {
		text = strings.ReplaceAll(text, s, "…")
	}
	return signature.ReplaceAllString(text, "…")
}

// secretsOf are the texts that a provider's words must not show, the longest first: the key, and the parts of the URL's path and
// the values of its query that are long enough for a token, as they stand there and decoded.
func secretsOf(u *url.URL, key string) []string {
	parts := append(strings.Split(u.EscapedPath(), "/"), strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == '=' || r == ';' })...)
	for _, p := range slices.Clone(parts) {
		if plain, err := url.QueryUnescape(p); err == nil {
			parts = append(parts, plain)
		}
		if plain, err := url.PathUnescape(p); err == nil {
			parts = append(parts, plain)
		}
	}
	parts = append(parts, key, strings.TrimPrefix(key, stdwebhook.Prefix))
	parts = slices.DeleteFunc(parts, func(p string) bool { return len(p) < leastToken })
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(parts)
}
