// Package config holds the settings. Each setting is a flag, an environment variable and a key of a
// YAML file, under one name. Settings are checked once and shown with their secrets masked.
package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"carillon/channels/inbox"
	"carillon/channels/openim"
	"carillon/channels/webhook"
	"carillon/internal/secretfile"
)

// Config is the settings as they were given. A setting is named by its flag: "webhook-url" is also
// CARILLON_WEBHOOK_URL in the environment, and `webhook-url` (or `url` under `webhook`) in the YAML
// file. A flag beats the environment, which beats the file. An empty value counts as not given.
type Config struct {
	Config string `group:"settings" name:"config" placeholder:"FILE" help:"A YAML file with any of these settings."`

	Listen         string   `group:"settings" name:"listen" default:"127.0.0.1:8080" help:"Where to serve HTTP. :8080 listens on all addresses."`
	TrustedProxies []string `group:"settings" name:"trusted-proxies" placeholder:"ADDRESS" help:"Addresses or networks (10.0.0.0/8) of the proxies before the API: their X-Forwarded-For is believed."`
	Memory         int      `group:"settings" name:"memory" default:"256" help:"MiB that this process stays under, at least 128: what bodies, answers and connections may take follows from the number."`

	DataDir string `group:"settings" name:"data-dir" default:"./data" help:"Where the embedded stores keep their files, all readable by their owner only."`

	DatabaseURL     string `group:"settings" name:"database-url" placeholder:"URL" help:"mysql://user:password@host:3306/database. Without it: SQLite in the data directory."`
	DatabaseURLFile string `group:"settings" name:"database-url-file" placeholder:"FILE" help:"A file that holds the database's URL."`
	DatabasePool    int    `group:"settings" name:"database-pool" default:"64" help:"Connections to the database's server that one process has at most. SQLite has its own."`
	RedisURL        string `group:"settings" name:"redis-url" placeholder:"URL" help:"redis://, rediss:// (TLS) or redis-sentinel://host,host?master=name. Without it: a Redis inside this process."`
	RedisURLFile    string `group:"settings" name:"redis-url-file" placeholder:"FILE" help:"A file that holds Redis' URL."`

	Secret             string   `group:"settings" name:"secret" placeholder:"TEXT" help:"Signs tokens. With embedded stores one is made in the data directory."`
	SecretFile         string   `group:"settings" name:"secret-file" placeholder:"FILE" help:"A file that holds the secret."`
	SecretPrevious     string   `group:"settings" name:"secret-previous" placeholder:"TEXT" help:"The secret before: tokens that it has signed stay good. It signs none, and gives none out."`
	SecretPreviousFile string   `group:"settings" name:"secret-previous-file" placeholder:"FILE" help:"A file that holds the secret before."`
	Admins             []string `group:"settings" name:"admins" default:"openIMAdmin,imAdmin" help:"User IDs of the admins: their tokens may do everything."`
	AdminsFile         string   `group:"settings" name:"admins-file" placeholder:"FILE" help:"A file with one of these IDs a line instead; serve reads it again on SIGHUP."`

	Channel     string `group:"settings" name:"channel" default:"inbox" help:"How messages leave unless a campaign says otherwise: inbox, webhook or openim."`
	InboxRate   int    `group:"settings" name:"inbox-rate" default:"0" help:"Recipients per second of the inbox channel, over all processes; 0 = no limit."`
	WebhookRate int    `group:"settings" name:"webhook-rate" default:"0" help:"The same for the webhook channel."`

	WebhookURL        string        `group:"settings" name:"webhook-url" placeholder:"URL" help:"Where the webhook channel posts messages to."`
	WebhookSecret     string        `group:"settings" name:"webhook-secret" placeholder:"whsec_…" help:"Signs those posts, as in Standard Webhooks."`
	WebhookSecretFile string        `group:"settings" name:"webhook-secret-file" placeholder:"FILE" help:"A file that holds that secret."`
	WebhookBatch      int           `group:"settings" name:"webhook-batch" default:"1" help:"Recipients in one post, 1 to 1000."`
	WebhookTimeout    time.Duration `group:"settings" name:"webhook-timeout" default:"5s" help:"For one post as a whole, at most 8s."`

	OpenIMURL        string        `group:"settings" name:"openim-url" placeholder:"URL" help:"OpenIM's API, such as http://openim:10002: the openim channel sends through it."`
	OpenIMSecret     string        `group:"settings" name:"openim-secret" placeholder:"TEXT" help:"The secret of OpenIM's deployment (share.yml), for which it gives out admin tokens."`
	OpenIMSecretFile string        `group:"settings" name:"openim-secret-file" placeholder:"FILE" help:"A file that holds that secret."`
	OpenIMAdmin      string        `group:"settings" name:"openim-admin" default:"imAdmin" help:"User ID of an OpenIM admin."`
	OpenIMTimeout    time.Duration `group:"settings" name:"openim-timeout" default:"5s" help:"For one request to OpenIM as a whole, at most 8s."`
	OpenIMRate       int           `group:"settings" name:"openim-rate" default:"0" help:"Recipients per second of the openim channel, over all processes; 0 = no limit."`
	OpenIMSync       time.Duration `group:"settings" name:"openim-sync" default:"1h" help:"How old the directory may become before OpenIM's users are synced into it, at least 1m. 0 = only when somebody asks for it."`
	OpenIMMaxAge     time.Duration `group:"settings" name:"openim-max-age" default:"0s" help:"A campaign to all users through OpenIM waits for a sync when the last one is longer ago, at least 1m. 0 = twice the time of openim-sync."`
	OpenIMTokens     string        `group:"settings" name:"openim-tokens" default:"secret" help:"How tokens of OpenIM's admins are checked: secret (signed with CARILLON_SECRET), or parse (OpenIM is asked)."`

	BatchWait time.Duration `group:"settings" name:"batch-wait" default:"0s" help:"How long a POST /msg/batch_send_msg for a list of up to 1000 recipients may take to be answered as OpenIM answers, at most 60s, such as 10s. 0 = with the campaign's ID, at once."`

	DefaultTimezone string `group:"settings" name:"default-timezone" default:"UTC" help:"Time zone of users and schedules that name none, such as Europe/Berlin."`

	LogFormat string `group:"settings" name:"log-format" default:"text" help:"How the log is written to stderr: text or json, one object a line."`

	MaxAttempts    int           `group:"settings" name:"max-attempts" default:"5" help:"Attempts per recipient."`
	IdempotencyTTL time.Duration `group:"settings" name:"idempotency-ttl" default:"168h" help:"How long an Idempotency-Key is remembered."`
	Retention      time.Duration `group:"settings" name:"retention" default:"0s" help:"How long the recipients of a finished campaign are kept, at least 1h, such as 2160h; then its counts alone remain. 0 = for ever."`

	EventsRetention time.Duration `group:"settings" name:"events-retention" default:"2160h" help:"How long the event log is kept, at least 1h. 0 = for ever."`
}

// databaseFile is the URL of SQLite in the data directory, as a user may also write it.
const databaseFile = "sqlite:"

// EmbeddedDatabase reports whether the database is SQLite in the data directory.
func (c *Config) EmbeddedDatabase() bool { return c.DatabaseURL == "" || c.DatabaseURL == databaseFile }

// EmbeddedRedis reports whether Redis runs inside the process.
func (c *Config) EmbeddedRedis() bool { return c.RedisURL == "" }

// Webhook returns the webhook channel's settings. Without a URL there is no such channel.
func (c *Config) Webhook() webhook.Config {
	return webhook.Config{URL: c.WebhookURL, Secret: c.WebhookSecret, Batch: c.WebhookBatch, Timeout: c.WebhookTimeout}
}

// OpenIM is the openim channel's settings; without a URL there is no such channel.
func (c *Config) OpenIM() openim.Config {
	return openim.Config{URL: c.OpenIMURL, Secret: c.OpenIMSecret, Admin: c.OpenIMAdmin, Timeout: c.OpenIMTimeout}
}

// MaxAge is how long ago the last sync of the directory may be when a campaign to all users starts; 0 = campaigns wait for no
// sync.
func (c *Config) MaxAge() time.Duration {
	switch {
	case c.OpenIMURL == "" || c.OpenIMSync == 0:
		return 0
	case c.OpenIMMaxAge == 0:
		return 2 * c.OpenIMSync
	}
	return c.OpenIMMaxAge
}

// LogsJSON reports whether the log is JSON.
func (c *Config) LogsJSON() bool { return c.LogFormat == "json" }

// Channels returns the names of the configured channels. The first is the default.
func (c *Config) Channels() []string {
	names := []string{inbox.Name}
	if c.WebhookURL != "" {
		names = append(names, webhook.Name)
	}
	if c.OpenIMURL != "" {
		names = append(names, openim.Name)
	}
	if at := slices.Index(names, c.Channel); at > 0 {
		names = slices.Insert(slices.Delete(names, at, at+1), 0, c.Channel)
	}
	return names
}

// ReadFiles reads the files that settings name, and puts their contents into the settings they
// stand for. Its error has one line per mistake.
func (c *Config) ReadFiles() error {
	var m mistakes
	for _, s := range []struct{ value, file *string }{
		{&c.DatabaseURL, &c.DatabaseURLFile}, {&c.RedisURL, &c.RedisURLFile}, {&c.Secret, &c.SecretFile}, {&c.SecretPrevious, &c.SecretPreviousFile}, {&c.WebhookSecret, &c.WebhookSecretFile},
		{&c.OpenIMSecret, &c.OpenIMSecretFile},
	} {
		if *s.file == "" {
			continue
		}
		name := c.envOf(s.value)
		switch raw, err := secretfile.Read(*s.file); {
		case *s.value != "":
			m.add("%s and %s_FILE are both set: keep one of them", name, name)
		case err != nil:
			m.add("%s_FILE names a file that %s", name, err)
		case strings.TrimRight(string(raw), "\r\n") == "":
			m.add("%s_FILE names a file that is empty: %s", name, *s.file)
		default:
			*s.value, *s.file = strings.TrimRight(string(raw), "\r\n"), ""
		}
	}
	c.readAdmins(&m)
	return m.err()
}

// Proxies returns the networks whose X-Forwarded-For is believed. Validate has refused malformed
// values.
func (c *Config) Proxies() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range c.TrustedProxies {
		if p, err := parseNetwork(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// parseNetwork reads 10.0.0.0/8, or one address as the network of that address alone.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// reason is the text of a file error without "open ": "/path: permission denied".
func reason(err error) string { return strings.TrimPrefix(err.Error(), "open ") }
