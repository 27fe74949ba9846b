package openim

import (
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
)

var _ channels.Settings = Config{}

// Name is the channel's.
func (Config) Name() string { return Name }

// IsSet: without a URL there is no such channel.
func (c Config) IsSet() bool { return c.URL != "" }

// PerSecond is the limit.
func (c Config) PerSecond() int { return c.Rate }

// Place is the URL without user and query, which it may not have.
func (c Config) Place() string {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// Open makes a Client and its Channel.
func (c Config) Open(rdb redis.UniversalClient) (channels.Channel, error) {
	client, err := NewClient(c, rdb)
	if err != nil {
		return nil, err
	}
	return New(client)
}

// AsksTokens reports whether OpenIM is asked about tokens that no secret of Carillon has signed.
func (c Config) AsksTokens() bool { return c.Tokens == "parse" }

// MaxAge is how long ago the last sync of the directory may be when a campaign to all users
// starts. 0 = campaigns wait for no sync.
func (c Config) MaxAge() time.Duration {
	switch {
	case c.URL == "" || c.Sync == 0:
		return 0
	case c.OldAfter == 0:
		return 2 * c.Sync
	}
	return c.OldAfter
}

// Warnings are none.
func (Config) Warnings() []channels.Finding { return nil }

// Mistakes says what is wrong with the settings.
func (c Config) Mistakes(chosen bool) (list []string) {
	list = channels.CheckTimeout("CARILLON_OPENIM_TIMEOUT", c.Timeout)
	say := func(text string) { list = append(list, text) }
	if c.Sync != 0 && c.Sync < time.Minute {
		say("CARILLON_OPENIM_SYNC must be 0, which syncs only when somebody asks for it, or at least 1m, with its unit: for example 1h")
	}
	if c.OldAfter != 0 && c.OldAfter < time.Minute {
		say("CARILLON_OPENIM_MAX_AGE must be 0, which is twice CARILLON_OPENIM_SYNC, or at least 1m, with its unit: for example 2h")
	}
	if c.Tokens != "secret" && !c.AsksTokens() {
		say("CARILLON_OPENIM_TOKENS must be secret or parse")
	}
	switch {
	case c.URL == "" && chosen:
		say("CARILLON_OPENIM_URL is required with CARILLON_CHANNEL=openim: set it to OpenIM's API, such as http://openim:10002")
	case c.URL == "" && c.AsksTokens():
		say("CARILLON_OPENIM_URL is required with CARILLON_OPENIM_TOKENS=parse: set it to OpenIM's API, such as http://openim:10002")
	case c.URL == "":
	case c.Secret == "":
		say("CARILLON_OPENIM_SECRET is required with CARILLON_OPENIM_URL: it is the secret of OpenIM's share.yml")
	default:
		u := Config{URL: c.URL, Secret: c.Secret}
		if _, err := u.check(); err != nil {
			_, why, _ := strings.Cut(err.Error(), ": ")
			say("CARILLON_OPENIM_URL " + why)
		}
	}
	return list
}
