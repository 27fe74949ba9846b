package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"carillon/channels/inbox"
	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

const (
	// inboxTime is how far back an inbox is shown.
	inboxTime = 24 * time.Hour
	// inboxShown is how many messages are shown.
	inboxShown = 50
	// formLimit is for a form of a few lines, in bytes.
	formLimit = 256 << 10
)

type tryPage struct {
	UserID  string
	Inbox   *inboxShownOf // nil = nobody is chosen, or the user is not known
	Channel string        // stores in the inbox; empty = none here does
	Text    string
	Key     string
	Errors  map[string]string
}

// inboxShownOf are the last messages of an inbox, the oldest first.
type inboxShownOf struct {
	Messages []bubble
	ids      map[string]bool
	after    models.InboxCursor
}

// bubble is a message as a page shows it.
type bubble struct {
	inbox.Message
	Text string // what the user reads; of other content than text, a word for it
	JSON string // the content, where it is more than a text
}

// try shows a user's inbox, in which messages arrive while it is open.
func (c *Console) try(in *web.In) error {
	data, err := c.tryData(in, in.Query("user"))
	if err != nil {
		return err
	}
	return c.showTry(in, http.StatusOK, data)
}

func (c *Console) showTry(in *web.In, status int, data tryPage) error {
	if len(data.Errors) > 0 && status == http.StatusOK {
		status = http.StatusUnprocessableEntity
	}
	return c.showWith(in, status, "try.html", page{Title: "Try it", Here: "try", Data: data})
}

// tryData reads the inbox of a user. "" = nobody is chosen.
func (c *Console) tryData(in *web.In, userID string) (data tryPage, err error) {
	data = tryPage{UserID: userID, Channel: c.inboxChannel(), Key: newKey(), Errors: map[string]string{}}
	if userID == "" {
		return data, nil
	}
	if why := models.CheckID(userID); why != "" {
		data.Errors["user"] = why
		return data, nil
	}
	data.Inbox, err = c.readInbox(in, userID)
	if models.AsError(err).Code == models.CodeRecordNotFound && err != nil {
		data.Inbox, data.Errors["user"] = nil, "there is no such user; import users first, or mind upper and lower case"
		return data, nil
	}
	return data, err
}

// inboxChannel is a channel that stores in the inbox, the default before others; "" = none.
func (c *Console) inboxChannel() string {
	for _, t := range c.api.Channels {
		if t.StoresInInbox {
			return t.Name
		}
	}
	return ""
}

// readInbox reads the last messages of a user's inbox.
func (c *Console) readInbox(in *web.In, userID string) (*inboxShownOf, error) {
	box := &inboxShownOf{ids: map[string]bool{}, after: handlers.InboxSince(time.Now().Add(-inboxTime))}
	list, err := c.api.ListMessages(in.Context(), in.Call, handlers.InboxPage{UserID: userID, After: box.after, Limit: inboxShown})
	for _, m := range list.Messages {
		box.add(m)
	}
	return box, err
}

// add adds a message; false = it was there.
func (b *inboxShownOf) add(m inbox.Message) bool {
	if b.ids[m.ClientMsgID] {
		return false
	}
	b.ids[m.ClientMsgID] = true
	b.Messages = append(b.Messages, bubbleOf(m))
	if n := len(b.Messages); n > inboxShown {
		delete(b.ids, b.Messages[0].ClientMsgID)
		b.Messages = slices.Delete(b.Messages, 0, n-inboxShown)
	}
	return true
}

// tryLive streams the messages of an inbox. The user is online while the stream is open.
func (c *Console) tryLive(in *web.In) error {
	userID, err := in.ID("userID")
	if err != nil {
		return err
	}
	box, err := c.readInbox(in, userID)
	if err != nil {
		return err
	}
	return c.api.FollowInbox(in, userID, box.after, func(m inbox.Message) (string, error) {
		if !box.add(m) {
			return "", nil
		}
		body, err := c.pages.render("try-inbox", box)
		return string(body), err
	})
}

// trySend sends a text to the user, as a campaign.
func (c *Console) trySend(in *web.In) error {
	values, err := form(in, formLimit)
	if err != nil {
		return err
	}
	userID, text := values.Get("user"), values.Get("text")
	to, all := []string{userID}, in.Raw
	if _, err := c.api.GetUser(in.Context(), in.Call, userID); err != nil { // whom the campaign would only count as failed
		return c.tryRefused(in, userID, values, err)
	}
	content, err := models.JSON(map[string]string{"content": text})
	if err != nil {
		return err
	}
	if strings.TrimSpace(text) == "" {
		err = web.Refuse("text", "must not be empty")
	} else {
		_, err = c.api.CreateCampaign(in.Context(), in.WithKey(values.Get("key"), all), handlers.CampaignBody{
			Name: "Try it", Channel: c.inboxChannel(), Audience: &handlers.AudienceBody{UserIDs: &to},
			Message: &handlers.MessageBody{SendID: in.UserID, SessionType: models.SessionSingle, ContentType: models.ContentText, Content: content},
		})
	}
	if err != nil {
		return c.tryRefused(in, userID, values, err)
	}
	http.Redirect(in.W, in.R, c.pages.path("/try")+"?"+url.Values{"user": {userID}, "done": {"sent"}}.Encode(), http.StatusSeeOther)
	return nil
}

// tryRefused shows the form again, with what was typed.
func (c *Console) tryRefused(in *web.In, userID string, values url.Values, cause error) error {
	fields, ok := refused(cause)
	if !ok {
		return cause
	}
	data, err := c.tryData(in, userID)
	if err != nil {
		return errors.Join(cause, err)
	}
	data.Text, data.Key = values.Get("text"), values.Get("key")
	for name, reason := range fields {
		switch {
		case name == "" && data.Errors["user"] != "": // which says the same
			continue
		case strings.HasPrefix(name, "message.content"):
			name = "text"
		case strings.HasPrefix(name, "audience"):
			name = "user"
		}
		data.Errors[name] = reason
	}
	return c.showTry(in, http.StatusUnprocessableEntity, data)
}

// bubbleOf reads what a user sees of a message.
func bubbleOf(m inbox.Message) bubble {
	b := bubble{Message: m}
	var content struct {
		Content string `json:"content"`
		Text    string `json:"text"`
		Data    string `json:"data"`
	}
	_ = json.Unmarshal(m.Content, &content) // another content has none of these
	for _, text := range []string{content.Content, content.Text, content.Data} {
		if b.Text == "" {
			b.Text = text
		}
	}
	if m.ContentType != models.ContentText {
		var pretty bytes.Buffer
		if json.Indent(&pretty, m.Content, "", "  ") == nil {
			b.JSON = pretty.String()
		}
	}
	if b.Text == "" {
		b.Text = models.DefaultPushTitle(m.ContentType)
	}
	return b
}
