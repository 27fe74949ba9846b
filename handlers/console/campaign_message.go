package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"carillon/models"
)

// preview is a message as its reader sees it, as far as that can be shown without loading anything from outside.
type preview struct {
	From  string
	Kind  string // of message, in words
	Title string // of a notification
	Quote string // what a message answers
	Text  string
	Files []previewFile
	Link  string // an address of http or https; else empty
	Facts []previewFact
	Push  string // what the phone of a user who is not online shows; empty = nothing
	Notes []string
}

// previewFile stands for a picture, a sound, a video or a file.
type previewFile struct {
	Kind string
	Name string
	Size string // in words
	Link string // as preview.Link
	URL  string
}

// previewFact is a name with its value.
type previewFact struct{ Name, Value string }

// contentNames are the content types in words.
var contentNames = map[int]string{
	101: "Text", 102: "Picture", 103: "Voice", 104: "Video", 105: "File", 106: "Text that names users", 110: "Custom", 114: "Quote", 118: "Markdown", 1400: "Notification",
}

// previewOf makes the preview of a message.
func previewOf(m *models.Message) preview {
	if m == nil {
		return preview{}
	}
	p := preview{From: m.SenderNickname, Kind: contentNames[m.ContentType], Push: models.DefaultPushTitle(m.ContentType)}
	if p.From == "" {
		p.From = m.SendID
	}
	var content jsonObject
	d := json.NewDecoder(bytes.NewReader(m.Content))
	d.UseNumber()
	_ = d.Decode(&content) // it was checked when the message was stored
	p.content(m.ContentType, content)
	if o := m.OfflinePushInfo; o != nil {
		p.Push = strings.TrimSpace(o.Title + "\n" + o.Desc)
	}
	if m.NotOfflinePush {
		p.Push = ""
		p.Notes = append(p.Notes, "Phones of users who are not online show nothing.")
	}
	if m.IsOnlineOnly {
		p.Notes = append(p.Notes, "Only users who are online then get it.")
	}
	return p
}

func (p *preview) content(contentType int, c jsonObject) {
	switch contentType {
	case 101:
		p.Text = c.text("content")
	case 118:
		p.Text = c.text("content")
		p.Notes = append(p.Notes, "The reader’s app draws the Markdown. Here it stands as it was written.")
	case 102:
		p.picture(c)
	case 103:
		p.sound(c)
	case 104:
		p.video(c)
	case 105:
		p.file(c)
	case 106:
		p.Text = c.text("text")
		if names := c.texts("atUserList"); len(names) > 0 {
			p.Facts = append(p.Facts, previewFact{"Names", strings.Join(names, ", ")})
		}
	case 114:
		p.Text, p.Quote = c.text("text"), quoted(c["quoteMessage"])
	case models.ContentOANotification:
		p.Title, p.Text, p.Link = c.text("notificationName"), c.text("text"), webAddress(c.text("url"))
		for name, show := range map[string]func(jsonObject){"pictureElem": p.picture, "soundElem": p.sound, "videoElem": p.video, "fileElem": p.file} {
			if elem := c.object(name); len(elem) > 0 {
				show(elem)
			}
		}
	default:
		for _, name := range []string{"description", "data", "extension"} {
			if text := c.text(name); text != "" {
				p.Facts = append(p.Facts, previewFact{name, text})
			}
		}
		p.Notes = append(p.Notes, "The reader’s app decides how this looks.")
	}
}

func (p *preview) picture(c jsonObject) {
	source := c.object("sourcePicture")
	size := fmt.Sprintf("%s × %s", source.text("width"), source.text("height"))
	p.add("Picture", source.text("url"), "", size, fileSize(source.text("size")))
}

func (p *preview) sound(c jsonObject) {
	p.add("Voice", c.text("sourceUrl"), "", contentSeconds(c.text("duration")), fileSize(c.text("dataSize")))
}

func (p *preview) video(c jsonObject) {
	p.add("Video", c.text("videoUrl"), "", contentSeconds(c.text("duration")), fileSize(c.text("videoSize")))
}

func (p *preview) file(c jsonObject) {
	p.add("File", c.text("sourceUrl"), c.text("fileName"), fileSize(c.text("fileSize")))
}

// add adds a file. Without a name it is called as the end of its address.
func (p *preview) add(kind, address, name string, sizes ...string) {
	if u, err := url.Parse(address); err == nil && name == "" {
		if name = path.Base(u.Path); name == "." || name == "/" {
			name = u.Host
		}
	}
	var known []string
	for _, size := range sizes {
		if size != "" {
			known = append(known, size)
		}
	}
	p.Files = append(p.Files, previewFile{kind, name, strings.Join(known, ", "), webAddress(address), address})
}

// webAddress is an address that may become a link; "" = it is of another kind than http and https.
func webAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.String()
}

// quoted is the text of a quoted message, or the whole of it where its text is not found.
func quoted(v any) string {
	q, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	for _, name := range []string{"content", "text"} {
		if text := jsonObject(q).text(name); text != "" {
			return text
		}
	}
	all, err := models.JSON(q)
	if err != nil {
		return ""
	}
	return string(all)
}

// jsonObject is an object of a message's content.
type jsonObject map[string]any

// text is a text or a number; "" = there is none.
func (o jsonObject) text(name string) string {
	switch v := o[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func (o jsonObject) texts(name string) (list []string) {
	items, _ := o[name].([]any)
	for _, item := range items {
		if text, ok := item.(string); ok {
			list = append(list, text)
		}
	}
	return list
}

func (o jsonObject) object(name string) jsonObject {
	v, _ := o[name].(map[string]any)
	return v
}

// fileSize is a number of bytes in words; "" = none.
func fileSize(bytes string) string {
	n, err := strconv.ParseFloat(bytes, 64)
	if err != nil || n <= 0 {
		return ""
	}
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return strconv.FormatFloat(n, 'f', min(i, 1), 64) + " " + units[i]
}

// maxSeconds is the longest duration of a sound or video that is shown as one: a year.
const maxSeconds = 366 * 24 * 60 * 60

func contentSeconds(text string) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > maxSeconds {
		return ""
	}
	return duration(time.Duration(n) * time.Second)
}
