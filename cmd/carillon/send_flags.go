package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"carillon/client"
)

// audienceFlags say to whom. Exactly one of them is given.
type audienceFlags struct {
	All    bool     `help:"To every user of the directory."`
	To     []string `placeholder:"ID" help:"To these users, separated by commas."`
	ToFile string   `placeholder:"FILE" help:"To the users in a file, one a line; - is the standard input."`
	Group  string   `placeholder:"ID" complete:"groups" help:"To a group: the message stands once, and the members read it."`
}

// messageFlags say what, and how it goes.
type messageFlags struct {
	Text        string `placeholder:"TEXT" help:"The message, as text."`
	ContentFile string `placeholder:"FILE" help:"A file with the content as JSON instead, as --type has it; - is the standard input."`
	Type        int    `default:"101" help:"The content's type: 101 text, 102 picture, 103 voice, 104 video, 105 file, 106 at, 110 custom, 114 quote, 118 markdown, 1400 notification."`
	From        string `placeholder:"ID" help:"The sender, a user or an admin; by default the first of CARILLON_ADMINS."`
	Name        string `placeholder:"TEXT" help:"What you call it."`
	Rate        int    `help:"Recipients a second at most; 0 = as many as the channel takes."`
	Quiet       string `placeholder:"FROM-TO" help:"Send nothing at these hours of a user's own clock: 22:00-08:00."`
}

const contentNotification = 1400

// audience reads the flags. given is false when none of them was.
func (f *audienceFlags) audience() (a client.AudienceRequest, given bool, err error) {
	ids, err := idsOf(f.To, f.ToFile)
	if err != nil {
		return a, false, err
	}
	kinds := 0
	for _, is := range []bool{f.All, len(f.To) > 0, f.ToFile != "", f.Group != ""} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return a, false, nil
	case kinds > 1:
		return a, true, errors.New("say one of --all, --to, --to-file and --group")
	case f.All:
		all := true
		a.All = &all
	case f.Group != "":
		a.GroupID = &f.Group
	default:
		if len(ids) == 0 {
			return a, true, errors.New("--to-file names a file without a user")
		}
		a.UserIDs = &ids
	}
	return a, true, nil
}

// idsOf are IDs from the command line, or from a file with one a line.
func idsOf(ids []string, path string) ([]string, error) {
	if path == "" {
		return append([]string{}, ids...), nil
	}
	if len(ids) > 0 {
		return nil, errors.New("say the IDs or the file with them, not both")
	}
	file, err := openOrStdin(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	found := []string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if line := strings.TrimSuffix(lines.Text(), "\r"); line != "" {
			found = append(found, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s is no file with one ID a line: %w", path, err)
	}
	return found, nil
}

func openOrStdin(path string) (*os.File, error) {
	if path == "-" {
		return os.Stdin, nil
	}
	return os.Open(path) //nolint:gosec // the user says which file
}

// content reads the flags. given is false when none of them was.
func (f *messageFlags) content() (c client.Content, given bool, err error) {
	switch {
	case f.Text != "" && f.ContentFile != "":
		return nil, true, errors.New("say --text or --content-file, not both")
	case f.Text != "" && f.Type != 101:
		return nil, true, fmt.Errorf("--text is of type 101: give content of type %d as JSON in --content-file", f.Type)
	case f.Text != "":
		return client.Content{"content": f.Text}, true, nil
	case f.ContentFile == "":
		return nil, false, nil
	}
	file, err := openOrStdin(f.ContentFile)
	if err != nil {
		return nil, true, err
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, true, err
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber() // a number stays as it is written
	if err := d.Decode(&c); err != nil {
		return nil, true, fmt.Errorf("--content-file must hold one JSON object: %w", err)
	}
	return c, true, nil
}

// quiet reads --quiet; nil = not given.
func (f *messageFlags) quiet() (*client.QuietHours, error) {
	if f.Quiet == "" {
		return nil, nil
	}
	from, to, ok := strings.Cut(f.Quiet, "-")
	if !ok {
		return nil, errors.New("--quiet must be like 22:00-08:00")
	}
	return &client.QuietHours{From: from, To: to}, nil
}

// channel is --channel where it stands on the command line. In the environment and in a file it is
// the setting of the process that serves.
func (a *app) channel() *string {
	if !a.onLine("channel") {
		return nil
	}
	return &a.cfg.Channel
}

// message makes the message. An unset sender is the first admin.
func (f *messageFlags) message(a *app, content client.Content) client.MessageRequest {
	from := f.From
	if from == "" && len(a.cfg.Admins) > 0 {
		from = a.cfg.Admins[0]
	}
	m := client.MessageRequest{SendID: from, ContentType: client.ContentType(f.Type), Content: content}
	if f.Type == contentNotification {
		session := 4 // the only one that goes with it
		m.SessionType = &session
	}
	return m
}

// campaign is the template that the flags of a new campaign or schedule make. to = nil: it has no
// audience.
func (f *messageFlags) campaign(a *app, to *audienceFlags) (c client.CampaignTemplateRequest, err error) {
	var audience client.AudienceRequest
	some := to == nil
	if !some {
		audience, some, err = to.audience()
	}
	if err != nil {
		return c, err
	}
	if !some {
		return c, errors.New("say to whom: --all, --to, --to-file or --group")
	}
	content, some, err := f.content()
	if err != nil {
		return c, err
	}
	if !some {
		return c, errors.New("say what: --text or --content-file")
	}
	quiet, err := f.quiet()
	if err != nil {
		return c, err
	}
	c = client.CampaignTemplateRequest{Audience: audience, Message: f.message(a, content), Name: given(f.Name), Channel: a.channel(), QuietHours: quiet}
	if f.Rate != 0 {
		c.RatePerSecond = &f.Rate
	}
	return c, nil
}

// instant reads a time: RFC 3339, a date and clock of this machine's time zone, or how long from
// from. With wall, a date and clock stays as it is.
func instant(flag, text string, from time.Time, wall bool) (string, error) {
	if text == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "+")); err == nil && d > 0 && !wall {
		return from.Add(d).Format(time.RFC3339), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			if wall {
				return t.Format("2006-01-02T15:04:05"), nil
			}
			return t.Format(time.RFC3339), nil
		}
	}
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return text, nil
	}
	if wall {
		return "", fmt.Errorf("%s must be a date and clock like 2026-12-04T09:00", flag)
	}
	return "", fmt.Errorf("%s must be like 2026-12-04T09:00, 2026-12-04T09:00:00+01:00 or 2h", flag)
}
