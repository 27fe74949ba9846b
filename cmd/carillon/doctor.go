package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/internal/config"
	"carillon/models"
)

type doctorCmd struct {
	JSON bool `name:"json" help:"Print the findings and the settings as JSON."`
}

// Help is shown by carillon doctor --help.
func (doctorCmd) Help() string {
	return `Reads the settings as carillon serve would, asks the database and Redis, and says in a line each what is well and what to do about what is not. It tries to write, leaves nothing behind, and shows no secret. To the webhook's provider and to the receiver of events it connects, with TLS for https, and sends no request, so nothing can be delivered. OpenIM it asks for a token and for the number of its users. Exit code 1 when something is wrong.

    carillon doctor
    carillon doctor --json | jq '.checks[] | select(.status == "FAIL")'`
}

// The states of a finding. A warning does not make the command fail.
const (
	stateOK   = "ok"
	stateWarn = "WARN"
	stateFail = "FAIL"
)

// finding is one line of the doctor's output.
type finding struct {
	Name   string `json:"name"` // settings, environment, secret, data directory, database, migrations, events webhook, redis, clocks, webhook batch, webhook, openim, channels
	Status string `json:"status"`
	Detail string `json:"detail"` // what was found, then what to do
}

// examination collects findings.
type examination struct {
	a        *app
	findings []finding
	clocks   []clock
	rdb      redis.UniversalClient // what the processes share; nil = no other process can reach it
}

func (x *examination) add(name, status, format string, args ...any) {
	x.findings = append(x.findings, finding{name, status, fmt.Sprintf(format, args...)})
}

// Run examines everything. What others depend on is examined first.
func (c *doctorCmd) Run(a *app) error {
	x := &examination{a: a}
	if x.settings() {
		x.ledger()
		x.redis()
		x.compareClocks()
		x.channels()
		x.closeRedis()
	}
	failed := false
	for _, f := range x.findings {
		failed = failed || f.Status == stateFail
	}
	if err := c.print(x, !failed); err != nil {
		return err
	}
	if failed {
		return exit(exitFailed)
	}
	return nil
}

func (c *doctorCmd) print(x *examination, ok bool) error {
	if c.JSON {
		out := json.NewEncoder(x.a.stdout)
		out.SetIndent("", "  ")
		return out.Encode(map[string]any{"ok": ok, "checks": x.findings, "settings": x.a.cfg.Masked()})
	}
	for _, f := range x.findings {
		fmt.Fprintf(x.a.stdout, "%-4s  %-14s  %s\n", f.Status, f.Name, models.Shown(f.Detail))
	}
	fmt.Fprintln(x.a.stdout)
	for _, s := range x.a.cfg.Masked() {
		fmt.Fprintf(x.a.stdout, "%s=%s\n", s.Name, models.Shown(s.Value))
	}
	return nil
}

// settings examines the settings, and reports whether the rest can be examined.
func (x *examination) settings() bool {
	unknown, meant := config.UnknownNames(os.Environ())
	for i, name := range unknown {
		hint := "take it away"
		if meant[i] != "" {
			hint = "did you mean " + meant[i] + "?"
		}
		x.add("environment", stateWarn, "%s is no setting and does nothing: %s", name, hint)
	}
	err := x.a.cfg.ReadFiles()
	if err == nil {
		err = x.a.cfg.Validate(config.ForServing)
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			x.add("settings", stateFail, "%s", line)
		}
		return false
	}
	x.add("settings", stateOK, "valid")
	for _, w := range x.a.cfg.Warnings() {
		x.add("secret", stateWarn, "%s", w)
	}
	return true
}

// channels examines each channel that is set up.
func (x *examination) channels() {
	var places []string
	for _, one := range x.a.cfg.ChannelSettings() {
		switch place := one.Place(); {
		case !one.IsSet():
		case place != "":
			places = append(places, one.Name()+" to "+place)
		default:
			places = append(places, one.Name())
		}
	}
	for _, one := range x.a.cfg.Channels() {
		x.report(one.Warnings())
	}
	x.add("channels", stateOK, "%s; campaigns go through %s unless they say otherwise", strings.Join(places, ", "), x.a.cfg.Channel)
	for _, one := range x.a.cfg.Channels() {
		x.report(one.Check(x.a.ctx, x.rdb))
	}
}

// report adds what a channel found.
func (x *examination) report(found []channels.Finding) {
	for _, f := range found {
		x.add(f.Name, map[channels.State]string{channels.OK: stateOK, channels.Warn: stateWarn, channels.Fail: stateFail}[f.State], "%s", f.Detail)
	}
}

var errTooOld = errors.New("is too old")

// atLeast compares the first two numbers of a version. A text without two numbers passes.
func atLeast(version string, major, minor int) error {
	var a, b int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a, &b); n == 2 && (a < major || a == major && b < minor) {
		return fmt.Errorf("%s %w: %d.%d or newer is needed", version, errTooOld, major, minor)
	}
	return nil
}
