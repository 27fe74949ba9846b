package console

import (
	"carillon/channels"
	"carillon/handlers"
	"carillon/handlers/web"
)

type settingsPage struct {
	handlers.Process
	Default  string // time zone
	Channels []channelCard
	Health   []health // of the stores
}

// channelCard is a channel, and what its check has found.
type channelCard struct {
	handlers.ChannelHealth
	Default bool
	Checked bool
	Found   []channels.Finding
}

// settings shows how this process is set up.
func (c *Console) settings(in *web.In) error { return c.showSettings(in, "", nil) }

// checkChannel asks a channel's provider, and shows the page with the answer.
func (c *Console) checkChannel(in *web.In) error {
	name, err := in.ID("name")
	if err != nil {
		return err
	}
	found, err := c.api.CheckChannel(in.Context(), in.Call, name)
	if err != nil {
		return err
	}
	return c.showSettings(in, name, found)
}

// resumeChannel lets a channel go on that rests.
func (c *Console) resumeChannel(in *web.In) error {
	name, err := in.ID("name")
	if err != nil {
		return err
	}
	if _, err := c.api.ResumeChannel(in.Context(), in.Call, name); err != nil {
		return err
	}
	return c.next(in, c.pages.path("/settings"), "channelResumed")
}

func (c *Console) showSettings(in *web.In, checked string, found []channels.Finding) error {
	process, err := c.api.ThisProcess(in.Context(), in.Call, struct{}{})
	if err != nil {
		return err
	}
	list, err := c.api.ChannelsHealth(in.Context(), in.Call, struct{}{})
	if err != nil {
		return err
	}
	data := settingsPage{Process: process, Default: c.api.Zone}
	for i, ch := range list {
		card := channelCard{ChannelHealth: ch, Default: i == 0, Checked: ch.Name == checked}
		if card.Checked {
			card.Found = found
		}
		data.Channels = append(data.Channels, card)
	}
	return c.show(in, "settings.html", page{Title: "Settings", Here: "settings", Data: data})
}

// findingState is a finding's state as a badge.
func findingState(s channels.State) string {
	switch s {
	case channels.OK:
		return "ok"
	case channels.Warn:
		return "warn"
	default:
		return "bad"
	}
}
