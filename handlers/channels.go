package handlers

import (
	"context"
	"slices"
	"strings"
	"time"

	"carillon/channels"
	"carillon/handlers/web"
	"carillon/models"
)

// ChannelAnswer is what a change of a channel answers.
type ChannelAnswer struct {
	Channel string `json:"channel"`
}

// channel is one that is set up here.
func (a *API) channel(name string) (t channels.Traits, ok bool) {
	i := slices.IndexFunc(a.Channels, func(t channels.Traits) bool { return t.Name == name })
	if i < 0 {
		return t, false
	}
	return a.Channels[i], true
}

func (a *API) channelNames() string {
	names := make([]string, len(a.Channels))
	for i, t := range a.Channels {
		names[i] = t.Name
	}
	return strings.Join(names, ", ")
}

// channelName reads a channel's name. What cannot be one is as unknown as any other.
func channelName(in *web.In) (string, error) {
	name, err := in.ID("name")
	if err != nil {
		name = ""
	}
	return name, nil
}

// ResumeChannel ends the rest that a channel's provider asked for, and the wait for one that does not answer.
func (a *API) ResumeChannel(ctx context.Context, _ web.Call, name string) (ChannelAnswer, error) {
	if _, ok := a.channel(name); !ok {
		return ChannelAnswer{}, models.Errorf(models.CodeRecordNotFound, "no such channel; there are %s", a.channelNames())
	}
	if err := a.EndRest(ctx, name); err != nil {
		return ChannelAnswer{}, &models.Error{Code: models.CodeUnavailable, Detail: "Redis does not answer; nothing has changed", RetryAfter: time.Second, Cause: err}
	}
	return ChannelAnswer{name}, nil
}

// ChannelView is a channel that is set up.
type ChannelView struct {
	Name string `json:"name"`
	// RatePerSecond is the most recipients a second, over all processes; 0 = no limit.
	RatePerSecond int `json:"ratePerSecond"`
}

// ChannelList is all channels, the default first.
type ChannelList struct {
	Channels []ChannelView `json:"channels"`
}

// ListChannels lists the channels that are set up.
func (a *API) ListChannels(_ context.Context, _ web.Call, _ nothing) (ChannelList, error) {
	list := ChannelList{Channels: []ChannelView{}}
	for _, t := range a.Channels {
		list.Channels = append(list.Channels, ChannelView{t.Name, a.Rates[t.Name]})
	}
	return list, nil
}
