package console

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"carillon/models"
)

// contentForm is the form of one content type. Its controls are shown while the type is chosen.
type contentForm struct {
	Kind   string // the value of the control kind: a content type, or rawKind
	Label  string
	Hint   string
	Fields []contentField
}

// rawKind is the form in which a message's content is written as JSON.
const rawKind = "raw"

// contentField is one control, and where its value goes.
type contentField struct {
	Name    string
	Label   string
	Hint    string
	Input   string   // the kind of control
	Paths   []string // in the content, each of which gets the value
	Default string   // the control whose value counts where this one is empty
}

var contentForms = []contentForm{
	{"101", "Text", "", []contentField{{Name: "text", Label: "Text", Input: "area", Paths: []string{"content"}}}},
	{"118", "Markdown", "Needs an app that draws Markdown.", []contentField{{Name: "markdown", Label: "Markdown", Input: "area", Paths: []string{"content"}}}},
	{"102", "Picture", "", []contentField{
		{Name: "picture.url", Label: "Address of the picture", Input: "url", Paths: []string{"sourcePicture.url", "bigPicture.url"}},
		{Name: "picture.type", Label: "Format", Hint: "Such as png or jpeg.", Input: "text", Paths: []string{"sourcePicture.type", "bigPicture.type", "snapshotPicture.type"}},
		{Name: "picture.width", Label: "Width in pixels", Input: "number", Paths: []string{"sourcePicture.width", "bigPicture.width"}},
		{Name: "picture.height", Label: "Height in pixels", Input: "number", Paths: []string{"sourcePicture.height", "bigPicture.height"}},
		{Name: "thumbnail.url", Label: "Smaller picture", Hint: "Its address. Empty: the picture itself.", Input: "url", Paths: []string{"snapshotPicture.url"}, Default: "picture.url"},
		{Name: "thumbnail.width", Label: "Its width", Input: "number", Paths: []string{"snapshotPicture.width"}, Default: "picture.width"},
		{Name: "thumbnail.height", Label: "Its height", Input: "number", Paths: []string{"snapshotPicture.height"}, Default: "picture.height"},
	}},
	{"103", "Voice", "", []contentField{
		{Name: "voice.url", Label: "Address of the recording", Input: "url", Paths: []string{"sourceUrl"}},
		{Name: "voice.duration", Label: "Length in seconds", Input: "number", Paths: []string{"duration"}},
	}},
	{"104", "Video", "", []contentField{
		{Name: "video.url", Label: "Address of the video", Input: "url", Paths: []string{"videoUrl"}},
		{Name: "video.type", Label: "Format", Hint: "Such as mp4.", Input: "text", Paths: []string{"videoType"}},
		{Name: "video.size", Label: "Size in bytes", Input: "number", Paths: []string{"videoSize"}},
		{Name: "video.duration", Label: "Length in seconds", Input: "number", Paths: []string{"duration"}},
		{Name: "video.picture", Label: "Address of a picture of it", Input: "url", Paths: []string{"snapshotUrl"}},
		{Name: "video.width", Label: "Width of that picture", Input: "number", Paths: []string{"snapshotWidth"}},
		{Name: "video.height", Label: "Height of that picture", Input: "number", Paths: []string{"snapshotHeight"}},
	}},
	{"105", "File", "", []contentField{
		{Name: "file.url", Label: "Address of the file", Input: "url", Paths: []string{"sourceUrl"}},
		{Name: "file.name", Label: "Name of the file", Input: "text", Paths: []string{"fileName"}},
		{Name: "file.size", Label: "Size in bytes", Input: "number", Paths: []string{"fileSize"}},
	}},
	{"106", "Text that names users", "", []contentField{
		{Name: "at.text", Label: "Text", Input: "area", Paths: []string{"text"}},
		{Name: "at.users", Label: "Users that it names", Hint: "Their IDs, one a line.", Input: "lines", Paths: []string{"atUserList"}},
	}},
	{"114", "Quote", "", []contentField{
		{Name: "quote.text", Label: "Text", Input: "area", Paths: []string{"text"}},
		{Name: "quote.message", Label: "The quoted message", Hint: `An object of JSON, such as {"content":"hello"}.`, Input: "json", Paths: []string{"quoteMessage"}},
	}},
	{"1400", "Notification", "It comes in a conversation of its own, which nobody can answer.", []contentField{
		{Name: "notification.name", Label: "Heading", Input: "text", Paths: []string{"notificationName"}},
		{Name: "notification.text", Label: "Text", Input: "area", Paths: []string{"text"}},
		{Name: "notification.type", Label: "Type", Hint: "A number that your app knows, but not 0.", Input: "number", Paths: []string{"notificationType"}},
		{Name: "notification.url", Label: "Address that it leads to", Input: "url", Paths: []string{"url"}},
		{Name: "notification.face", Label: "Address of its picture", Input: "url", Paths: []string{"notificationFaceURL"}},
	}},
	{"110", "Custom", "Your app decides how it looks.", []contentField{
		{Name: "custom.data", Label: "Data", Hint: "Any text that your app understands, often JSON.", Input: "area", Paths: []string{"data"}},
		{Name: "custom.description", Label: "Description", Input: "text", Paths: []string{"description"}},
		{Name: "custom.extension", Label: "Extension", Input: "text", Paths: []string{"extension"}},
	}},
	{rawKind, "As JSON", "For what the other forms do not have.", []contentField{
		{Name: "raw.type", Label: "contentType", Hint: "A number, such as 101 for text.", Input: "number"},
		{Name: "raw.content", Label: "content", Hint: `An object of JSON, such as {"content":"hello"}.`, Input: "json"},
	}},
}

// contentFormOf is the form of a kind; nil = there is none.
func contentFormOf(kind string) *contentForm {
	i := slices.IndexFunc(contentForms, func(f contentForm) bool { return f.Kind == kind })
	if i < 0 {
		return nil
	}
	return &contentForms[i]
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// value is what a text becomes in JSON. A text that is no number, or no JSON, stays a text, which the API then refuses by its
// own rules.
func (f contentField) value(text string) any {
	switch f.Input {
	case "number":
		if number := strings.TrimSpace(text); wholeNumber.MatchString(number) {
			return json.RawMessage(number)
		}
	case "json":
		if json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
	case "lines":
		return splitIDs(text)
	}
	return text
}

// typed are the content type and the content that a form makes.
func (f contentForm) typed(sent url.Values) (contentType, content any) {
	if f.Kind == rawKind {
		return f.Fields[0].value(sent.Get("raw.type")), f.Fields[1].value(sent.Get("raw.content"))
	}
	object := map[string]any{}
	for _, field := range f.Fields {
		text := sent.Get(field.Name)
		if text == "" && field.Default != "" {
			text = sent.Get(field.Default)
		}
		if text == "" && field.Input != "lines" {
			continue // what must not be missing is for the API to say
		}
		for _, path := range field.Paths {
			putAt(object, path, field.value(text))
		}
	}
	return json.RawMessage(f.Kind), object
}

// putAt sets a value at a dotted path.
func putAt(object map[string]any, path string, value any) {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		if !deeper {
			object[name] = value
			return
		}
		inner, ok := object[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[name] = inner
		}
		object, path = inner, rest
	}
}

// valueAt finds a value by its dotted path; nil = none.
func valueAt(object map[string]any, path string) any {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		if !deeper {
			return object[name]
		}
		object, _ = object[name].(map[string]any)
		path = rest
	}
}

// fillContent writes a message's content into the form of its type. Content that this form would not make again is shown as JSON.
func fillContent(sent url.Values, m models.Message) {
	kind := strconv.Itoa(m.ContentType)
	object := map[string]any{}
	d := json.NewDecoder(strings.NewReader(string(m.Content)))
	d.UseNumber()
	if f := contentFormOf(kind); f != nil && d.Decode(&object) == nil {
		tried := url.Values{}
		for _, field := range f.Fields {
			switch v := valueAt(object, field.Paths[0]).(type) {
			case string:
				tried.Set(field.Name, v)
			case json.Number:
				tried.Set(field.Name, v.String())
			case []any:
				tried.Set(field.Name, strings.Join(jsonObject(object).texts(field.Paths[0]), "\n"))
			case map[string]any:
				text, _ := models.JSON(v) // it was JSON before
				tried.Set(field.Name, string(text))
			}
		}
		if _, again := f.typed(tried); sameJSON(again, object) {
			for name := range tried {
				sent.Set(name, tried.Get(name))
			}
			sent.Set("kind", kind)
			return
		}
	}
	sent.Set("kind", rawKind)
	sent.Set("raw.type", kind)
	sent.Set("raw.content", string(m.Content))
}

func sameJSON(a, b any) bool {
	x, errX := models.JSON(a)
	y, errY := models.JSON(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// splitIDs are the entries of a list that was typed or pasted: one a line, or with commas between them.
func splitIDs(text string) []string {
	list := []string{}
	for entry := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' }) {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}
