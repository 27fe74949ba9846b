package webhook

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

const (
	maxTokenBytes = 64 << 10 // of one text in an answer
	bufferBytes   = 4 << 10  // what is read at once
	keptBytes     = 16 << 10 // a reader that needed more for one answer is not used again
)

// unreadable is why an answer cannot be read, in the words in which it is shown.
type unreadable string

func (u unreadable) Error() string { return string(u) }

const (
	errTooLarge  unreadable = "it is larger than 1 MiB"
	errEncoding  unreadable = "its Content-Encoding is neither gzip nor identity"
	errGzip      unreadable = "its gzip data is broken"
	errEarly     unreadable = "its JSON ends too early"
	errNoJSON    unreadable = "it is neither one JSON object nor a plain remark"
	errAList     unreadable = "a list must stand in the field results of an object"
	errBehind    unreadable = "more than a plain remark stands behind its JSON object"
	errNoList    unreadable = "its results are no list"
	errTwice     unreadable = "it has results twice"
	errElsewhere unreadable = "it has results elsewhere than in the object's own field results"
	errLongText  unreadable = "it holds a text longer than 64 KiB"
)

// answerReader makes outcomes of 2xx answers, by the grammar in docs/webhook.md. It reads an answer as it comes and keeps
// no more of it than what is said of the recipients that were asked for.
type answerReader struct {
	in       *bufio.Reader // what is read: packed or plain
	packed   *bufio.Reader
	plain    *bufio.Reader // over gzip; nil until there was any
	gzip     gzip.Reader
	unpacked provider.Body

	json        jsontext.Decoder
	options     []jsontext.Options
	bytesRead   int64        // bytes handed to json
	maxHeld     int64        // of them that it had to hold at once
	value       []byte       // of a text with escapes
	openObjects []fieldsSeen // what the objects around the place have, of an answer's other fields

	list list
}

func newAnswerReader() *answerReader {
	r := &answerReader{packed: bufio.NewReaderSize(nil, bufferBytes)}
	// What stands twice is looked for where it matters. The decoder would have to keep all names for that.
	r.options = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	return r
}

// reset forgets the answer. It returns false when r has grown so much that the garbage collector should have it.
func (r *answerReader) reset() bool {
	r.packed.Reset(nil)
	r.list.reset(nil, nil)
	return r.maxHeld <= keptBytes && cap(r.value) <= keptBytes && cap(r.openObjects) <= keptBytes
}

// outcomes fills out, one for each of items. Where the answer cannot be read they are Ambiguous and say so; a fault of
// the connection shows in body.
func (r *answerReader) outcomes(body io.Reader, encoding string, items []channels.Recipient, out []channels.Outcome) {
	clear(out) // the zero Outcome is Sent
	r.packed.Reset(body)
	r.in, r.maxHeld = r.packed, 0
	r.list.reset(items, out)
	if err := r.decode(encoding); err != nil {
		o := ambiguous("the provider's answer cannot be read: " + reason(err))
		for i := range out {
			out[i] = o
		}
	}
}

func ambiguous(why string) channels.Outcome {
	return channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeCallback, ErrMsg: why}
}

// reason puts the error into words that quote nothing of the answer.
func reason(err error) string {
	var (
		known  unreadable
		broken flate.CorruptInputError
		syntax *jsontext.SyntacticError
	)
	switch {
	case errors.Is(err, provider.ErrTooLarge):
		return errTooLarge.Error()
	case errors.As(err, &known):
		return known.Error()
	case errors.As(err, &broken), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return errGzip.Error()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errEarly.Error()
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is no valid JSON at byte %d", syntax.ByteOffset)
	}
	return errEarly.Error()
}

// decode finds out which form the answer has, and reads it to its end.
func (r *answerReader) decode(encoding string) error {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity", "gzip", "x-gzip":
	default:
		return errEncoding
	}
	head, err := r.in.Peek(3)
	if len(head) > 1 && head[0] == 0x1f && head[1] == 0x8b { // gzip, whatever the header says: nothing else begins so
		if err := r.unpack(); err != nil {
			return err
		}
		head, err = r.in.Peek(3)
	}
	switch {
	case string(head) == "{}" && errors.Is(err, io.EOF): // what most providers answer
		return nil
	case string(head) == "\xef\xbb\xbf": // a byte order mark
		_, _ = r.in.Discard(len(head))
	}
	first, err := r.skipSpace()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	case first == '{':
		return r.object()
	case first == '[':
		return errAList
	}
	var words remark
	return words.read(r.in, errNoJSON)
}

func (r *answerReader) unpack() error {
	if err := r.gzip.Reset(r.packed); err != nil {
		return err
	}
	r.unpacked = provider.NewBody(&r.gzip)
	if r.plain == nil {
		r.plain = bufio.NewReaderSize(nil, bufferBytes)
	}
	r.plain.Reset(&r.unpacked)
	r.in = r.plain
	return nil
}

// skipSpace goes to the first byte that is none of JSON's white space.
func (r *answerReader) skipSpace() (first byte, err error) {
	for {
		c, err := r.in.ReadByte()
		switch {
		case err != nil:
			return 0, err
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return c, r.in.UnreadByte()
		}
	}
}

// remark is a text that is no JSON and does not look as if it held results: "OK", "accepted: 12".
type remark struct{ last uint64 } // its last bytes, as small letters

func (m *remark) accept(text []byte) bool {
	const results, groupID, recvID = 'r'<<48 | 'e'<<40 | 's'<<32 | 'u'<<24 | 'l'<<16 | 't'<<8 | 's',
		'g'<<48 | 'r'<<40 | 'o'<<32 | 'u'<<24 | 'p'<<16 | 'i'<<8 | 'd', 'r'<<40 | 'e'<<32 | 'c'<<24 | 'v'<<16 | 'i'<<8 | 'd'
	for _, c := range text {
		switch {
		case c == '{' || c == '[' || c == '<' || c == 0x7f || c >= 0xfe, c < ' ' && c != '\t' && c != '\r' && c != '\n':
			return false
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		}
		m.last = m.last<<8 | uint64(c)
		if seven := m.last & (1<<56 - 1); seven == results || seven == groupID || m.last&(1<<48-1) == recvID {
			return false
		}
	}
	return true
}

// read takes the text to its end; it returns otherwise when that is no remark.
func (m *remark) read(in *bufio.Reader, otherwise error) error {
	for {
		if _, err := in.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		text, _ := in.Peek(in.Buffered())
		if !m.accept(text) {
			return otherwise
		}
		_, _ = in.Discard(len(text))
	}
}
