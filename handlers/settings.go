package handlers

import (
	"context"
	"time"

	"carillon/channels"
	"carillon/handlers/web"
	"carillon/models"
)

// checkTime is how long the check of a channel may take.
const checkTime = 10 * time.Second

// Setting is one setting as an operator may see it: no secret.
type Setting struct {
	Name  string // as in the environment
	Value string // empty = not set
	Help  string
	From  string // where the value comes from, in words; empty = not known
}

// Process is how this process was started.
type Process struct {
	Version  string
	Roles    string
	Settings []Setting
}

// ThisProcess shows how this process was started.
func (a *API) ThisProcess(context.Context, web.Call, nothing) (Process, error) { return a.Process, nil }

// CheckChannel asks a channel's provider whether it can be used. Nothing is delivered by that. Errors: 1004 for a channel that
// is not set up here.
func (a *API) CheckChannel(ctx context.Context, _ web.Call, name string) ([]channels.Finding, error) {
	if _, ok := a.channel(name); !ok || a.Check == nil {
		return nil, models.Errorf(models.CodeRecordNotFound, "no such channel; there are %s", a.channelNames())
	}
	checking, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	found, err := within(checking, checkTime, func() ([]channels.Finding, error) { return a.Check(checking, name), nil })
	if err != nil && ctx.Err() == nil {
		return []channels.Finding{{Name: name, State: channels.Warn, Detail: "gave no answer within " + checkTime.String()}}, nil
	}
	return found, err
}
