package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"carillon/models"
)

const (
	// maxDepth is far more than any message has (four levels). It is far less than what troubles a
	// parser, ours or that of a provider that gets the content.
	maxDepth = 100
	// maxEntries of one array is a little more than any list may have. maxFields of one object is
	// more than content of its size can hold. Both bound the cost of a body beyond its bytes.
	maxEntries = 110_000
	maxFields  = 20_000
	// maxNameBytes and maxPathBytes bound what a finding repeats of the caller's own keys.
	maxNameBytes = 64
	maxPathBytes = 256
)

// UnknownFields says what happens to a field that the request does not have. With nil it is
// ignored, as OpenIM's server does. Otherwise it is refused, with the reason under its dotted name
// or a general one.
type UnknownFields map[string]string

var (
	IgnoreUnknown UnknownFields
	RefuseUnknown = UnknownFields{}
)

// bindError marks a body that is no request at all. Its HTTP status differs from that of a request
// whose values are refused: on /msg 400 and 200, on /v1 400 and 422.
type bindError struct{ err *models.Error }

func (e *bindError) Error() string { return e.err.Error() }
func (e *bindError) Unwrap() error { return e.err }

func isBindError(err error) bool {
	var bind *bindError
	return errors.As(err, &bind)
}

// AsBindError marks err. A nil err stays nil.
func AsBindError(err error) error {
	if err == nil || isBindError(err) {
		return err
	}
	return &bindError{models.AsError(err)}
}

// Decode reads body, which must be one JSON object, into the struct that into points to. A null
// counts as an absent field. A null in an array is refused, but for OpenIM's routes (unknown is nil):
// OpenIM's server reads the null as "".
//
// Errors are a *models.Error of code 1001 whose finding names the place. Malformed JSON is a
// bindError too; a value of the wrong type and an unknown field are not.
func Decode(body []byte, into any, unknown UnknownFields) error {
	if finding := ScanJSON(body); finding != nil {
		return AsBindError(models.Invalid([]models.FieldError{*finding}))
	}
	options := json.RejectUnknownMembers(unknown != nil)
	if unknown != nil && bytes.Contains(body, []byte("null")) {
		options = json.JoinOptions(options, refuseNullEntries)
	}
	err := json.Unmarshal(body, into, options)
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return &models.Error{Code: models.CodeArgs, Detail: "the body cannot be read", Cause: err}
	}
	finding := models.FieldError{Field: dotted(semantic.JSONPointer)}
	switch {
	case errors.Is(semantic.Err, json.ErrUnknownName):
		finding.Reason = "is not a field of this request"
		if reason, ok := unknown[finding.Field]; ok {
			finding.Reason = reason
		}
	case errors.Is(semantic.Err, errNullEntry):
		finding.Reason = "must not be null"
	default:
		finding.Reason = mustBe(semantic)
	}
	return models.Invalid([]models.FieldError{finding})
}

// refuseNullEntries is an option. Without the option a null in an array is read as 0 or "", which
// may be a value of its own: the errCode 0.
var (
	refuseNullEntries = json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ any) error {
		if kind, _ := d.StackIndex(d.StackDepth()); kind == '[' && d.PeekKind() == 'n' {
			return errNullEntry
		}
		return errors.ErrUnsupported // read the value as ever
	}))
	errNullEntry = errors.New("null in an array")
)

// mustBe says in the caller's words which type was expected.
func mustBe(e *json.SemanticError) string {
	t := e.GoType
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "has a value that cannot be read"
	}
	switch t.Kind() { //nolint:exhaustive // the default is for the other kinds
	case reflect.String:
		return "must be a string"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Slice, reflect.Array:
		return "must be an array"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	case reflect.Int, reflect.Int32, reflect.Int64:
		if errors.Is(e.Err, strconv.ErrRange) {
			return fmt.Sprintf("must be an integer of at most %d bits", t.Bits())
		}
		return "must be an integer"
	}
	return "has a value of the wrong type"
}

// ScanJSON finds the first place where body is not one strict JSON object:
//
//   - valid UTF-8, no NUL, no lone surrogates;
//   - no key twice;
//   - at most maxDepth levels;
//   - nothing behind it.
//
// It runs before anything is decoded. So text that is only passed on (content, unknown fields) is
// checked as strictly as what is read.
func ScanJSON(body []byte) *models.FieldError {
	if len(bytes.TrimSpace(body)) == 0 {
		return &models.FieldError{Field: "body", Reason: "must not be empty"}
	}
	escapedNUL := bytes.Contains(body, []byte(`\u0000`)) // perhaps: the backslash may itself be escaped
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	for first := true; first || d.StackDepth() > 0; first = false {
		token, err := d.ReadToken()
		kind, n := d.StackIndex(d.StackDepth())
		most := int64(maxEntries)
		if kind == '{' {
			n, most = n/2, maxFields
		}
		tooMany := kind != 0 && n > most
		switch {
		case err != nil:
			return syntaxFinding(body, err)
		case first && token.Kind() != '{':
			return &models.FieldError{Field: "body", Reason: "must be a JSON object"}
		case d.StackDepth() > maxDepth:
			top, _, _ := strings.Cut(strings.TrimPrefix(string(d.StackPointer()), "/"), "/")
			return &models.FieldError{Field: dotted(jsontext.Pointer("/" + top)), Reason: fmt.Sprintf("must not be nested deeper than %d levels", maxDepth)}
		case tooMany:
			return &models.FieldError{Field: dotted(d.StackPointer().Parent()), Reason: fmt.Sprintf("must have at most %d entries", most)}
		case escapedNUL && token.Kind() == '"' && strings.IndexByte(token.String(), 0) >= 0:
			return &models.FieldError{Field: dotted(d.StackPointer()), Reason: "must not hold a NUL character"}
		}
	}
	if len(bytes.Trim(body[d.InputOffset():], " \t\r\n")) > 0 {
		return &models.FieldError{Field: "body", Reason: "must end after its JSON object"}
	}
	return nil
}

// syntaxFinding words the parser's error, whose own text shows the caller's bytes.
func syntaxFinding(body []byte, err error) *models.FieldError {
	var syntax *jsontext.SyntacticError
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || !errors.As(err, &syntax) {
		return &models.FieldError{Field: "body", Reason: "ends in the middle of its JSON"}
	}
	finding := &models.FieldError{Field: dotted(syntax.JSONPointer)}
	at := body[min(int(syntax.ByteOffset), len(body)):]
	r, size := utf8.DecodeRune(at)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		finding.Reason = "must not be given twice"
	case len(at) > 0 && at[0] == 0:
		finding.Reason = "must not hold a NUL character"
	case r == utf8.RuneError && size == 1:
		finding.Reason = "must be valid UTF-8"
	case bytes.HasPrefix(at, []byte(`\u`)):
		finding.Reason = `must not hold an \u escape that is no character`
	default:
		finding.Reason = fmt.Sprintf("is not valid JSON at byte %d", syntax.ByteOffset)
	}
	return finding
}

// dotted turns a JSON pointer into the form of findings: "recvIDs.3", and "body" for the root.
// Names may be the caller's own, so they are cut and cleared of control characters.
func dotted(p jsontext.Pointer) string {
	if p == "" {
		return "body"
	}
	var path strings.Builder
	for name := range p.Tokens() {
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		if name == "" {
			name = `""`
		}
		path.WriteString(cutText(name, maxNameBytes))
		if path.Len() > maxPathBytes {
			break
		}
	}
	return cutText(path.String(), maxPathBytes)
}

// cutText keeps at most limit bytes of s, without control characters. It never cuts a character.
func cutText(s string, limit int) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, models.Shorten(s, limit))
}
