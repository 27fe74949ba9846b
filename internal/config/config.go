// Package config holds the settings. Each setting is a flag, an environment variable and a key of a
// YAML file, under one name. Settings are checked once and shown with their secrets masked.
package config

import (
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/channels/openim"
	"carillon/channels/webhook"
	"carillon/internal/eventhook"
	"carillon/internal/outbound"
	"carillon/internal/secretfile"
)

// Config is the settings as they were given. A setting is named by its flag: "webhook-url" is also
// CARILLON_WEBHOOK_URL in the environment, and `webhook-url` (or `url` under `webhook`) in the YAML
// file. A flag beats the environment, which beats the file. An empty value counts as not given.
type Config struct {
	Config string `group:"settings" name:"config" placeholder:"FILE" help:"A YAML file with any of these settings."`

	Listen         string   `group:"settings" name:"listen" default:"127.0.0.1:8080" help:"Where to serve HTTP. :8080 listens on all addresses."`
	Server         string   `group:"settings" name:"server" placeholder:"URL" help:"The API that the commands call. Without it: the one that serves here, at http://127.0.0.1:8080 unless it listens elsewhere."`
	Token          string   `group:"settings" name:"token" shown:"no" placeholder:"TEXT" help:"The admin's token with which the commands call. Without it: one signed with the secret that is found here."`
	TokenFile      string   `group:"settings" name:"token-file" placeholder:"FILE" help:"A file that holds the token."`
	TrustedProxies []string `group:"settings" name:"trusted-proxies" placeholder:"ADDRESS" help:"Addresses or networks (10.0.0.0/8) of the proxies before the API: their X-Forwarded-For is believed."`
	Memory         int      `group:"settings" name:"memory" default:"256" help:"MiB that this process stays under, at least 128: what bodies, answers and connections may take follows from the number."`

	DataDir string `group:"settings" name:"data-dir" default:"./data" help:"Where the embedded stores keep their files, all readable by their owner only."`

	DatabaseURL     string `group:"settings" name:"database-url" placeholder:"URL" help:"mysql://user:password@host:3306/database. Without it: SQLite in the data directory."`
	DatabaseURLFile string `group:"settings" name:"database-url-file" placeholder:"FILE" help:"A file that holds the database's URL."`
	DatabasePool    int    `group:"settings" name:"database-pool" default:"64" help:"Connections to the database's server that one process has at most. SQLite has its own."`
	RedisURL        string `group:"settings" name:"redis-url" placeholder:"URL" help:"redis://, rediss:// (TLS) or redis-sentinel://host,host?master=name. Without it: a Redis inside this process."`
	RedisURLFile    string `group:"settings" name:"redis-url-file" placeholder:"FILE" help:"A file that holds Redis' URL."`

	Secret             string   `group:"settings" name:"secret" shown:"no" placeholder:"TEXT" help:"Signs tokens. With embedded stores one is made in the data directory."`
	SecretFile         string   `group:"settings" name:"secret-file" placeholder:"FILE" help:"A file that holds the secret."`
	SecretPrevious     string   `group:"settings" name:"secret-previous" shown:"no" placeholder:"TEXT" help:"The secret before: tokens that it has signed stay good. It signs none, and gives none out."`
	SecretPreviousFile string   `group:"settings" name:"secret-previous-file" placeholder:"FILE" help:"A file that holds the secret before."`
	Admins             []string `group:"settings" name:"admins" default:"openIMAdmin,imAdmin" help:"User IDs of the admins: their tokens may do everything."`
	AdminsFile         string   `group:"settings" name:"admins-file" placeholder:"FILE" help:"A file with one of these IDs a line instead; serve reads it again on SIGHUP."`

	Channel string `group:"settings" name:"channel" default:"inbox" help:"How messages leave unless a campaign says otherwise: inbox, webhook or openim."`

	// The channels, each with the settings of its own.
	Inbox   inbox.Config   `embed:""`
	Webhook webhook.Config `embed:""`
	OpenIM  openim.Config  `embed:""`

	BatchWait time.Duration `group:"settings" name:"batch-wait" default:"0s" help:"How long a POST /msg/batch_send_msg for a list of up to 1000 recipients may take to be answered as OpenIM answers, at most 60s, such as 10s. 0 = with the campaign's ID, at once."`

	DefaultTimezone string `group:"settings" name:"default-timezone" default:"UTC" help:"Time zone of users and schedules that name none, such as Europe/Berlin."`

	BasePath string `group:"settings" name:"base-path" placeholder:"PATH" help:"The path below which a proxy shows this server to browsers, such as /carillon. Without it: the root."`

	MetricsPublic bool `group:"settings" name:"metrics-public" default:"false" help:"true: anybody may read /metrics. Otherwise an admin's token is needed."`

	// LogLevel has no group: each command's help shows it. Kong checks the word.
	LogLevel  string `name:"log-level" enum:"debug,info,warn,error" default:"info" help:"Log from this level on: debug, info, warn or error."`
	LogFormat string `group:"settings" name:"log-format" default:"text" help:"How the log is written to stderr: text or json, one object a line."`

	Traces string `group:"settings" name:"otel-exporter-otlp-endpoint" shown:"host" placeholder:"URL" help:"The OpenTelemetry collector that takes traces over HTTP, such as http://localhost:4318. Without it there are none."`

	MaxAttempts    int           `group:"settings" name:"max-attempts" default:"5" help:"Attempts per recipient."`
	IdempotencyTTL time.Duration `group:"settings" name:"idempotency-ttl" default:"168h" help:"How long an Idempotency-Key is remembered."`
	Retention      time.Duration `group:"settings" name:"retention" default:"0s" help:"How long the recipients of a finished campaign are kept, at least 1h, such as 2160h; then its counts alone remain. 0 = for ever."`

	EventsURL        string `group:"settings" name:"events-url" shown:"host" placeholder:"URL" help:"Where each event of the event log is posted to."`
	EventsSecret     string `group:"settings" name:"events-secret" shown:"no" placeholder:"whsec_…" help:"Signs those posts, as in Standard Webhooks."`
	EventsSecretFile string `group:"settings" name:"events-secret-file" placeholder:"FILE" help:"A file that holds that secret."`
	EventsNetworks   string `group:"settings" name:"events-networks" default:"any" help:"Which addresses events may be posted to: any, or public, which refuses private ones. Link-local addresses and cloud metadata services are always refused."`

	EventsRetention time.Duration `group:"settings" name:"events-retention" default:"2160h" help:"How long the event log is kept, at least 1h. 0 = for ever."`
}

// databaseFile is the URL of SQLite in the data directory, as a user may also write it.
const databaseFile = "sqlite:"

// EmbeddedDatabase reports whether the database is SQLite in the data directory.
func (c *Config) EmbeddedDatabase() bool { return c.DatabaseURL == "" || c.DatabaseURL == databaseFile }

// EmbeddedRedis reports whether Redis runs inside the process.
func (c *Config) EmbeddedRedis() bool { return c.RedisURL == "" }

// EventsReceiver is where events are posted to, nil = nowhere. Validate has refused what makes an error here.
func (c *Config) EventsReceiver() (*eventhook.Receiver, error) {
	if c.EventsURL == "" {
		return nil, nil
	}
	reach := outbound.AnyNetwork
	if c.EventsNetworks == publicNetworks {
		reach = outbound.PublicNetwork
	}
	return eventhook.New(c.EventsURL, c.EventsSecret, reach)
}

// Level is from which level on the log is written.
func (c *Config) Level() (level slog.Level) {
	_ = level.UnmarshalText([]byte(c.LogLevel)) // the parser has checked the word
	return level
}

// LogsJSON reports whether the log is JSON.
func (c *Config) LogsJSON() bool { return c.LogFormat == "json" }

// ChannelSettings returns the settings of each channel that the program has, set up or not.
func (c *Config) ChannelSettings() (list []channels.Settings) {
	for _, field := range reflect.ValueOf(c).Elem().Fields() {
		if one, ok := field.Interface().(channels.Settings); ok {
			list = append(list, one)
		}
	}
	return list
}

// Channels are those that are set up; the first is the default.
func (c *Config) Channels() (list []channels.Settings) {
	for _, one := range c.ChannelSettings() {
		switch {
		case !one.IsSet():
		case one.Name() == c.Channel:
			list = slices.Insert(list, 0, one)
		default:
			list = append(list, one)
		}
	}
	return list
}

// ReadFiles reads the files that settings name, and puts their contents into the settings they
// stand for. Its error has one line per mistake.
func (c *Config) ReadFiles() error {
	var m mistakes
	files := map[string]*string{}
	for field, v := range settings(c) {
		if name, ok := strings.CutSuffix(field.Tag.Get("name"), "-file"); ok {
			files[name] = v.Addr().Interface().(*string)
		}
	}
	for field, v := range settings(c) {
		value, plain := v.Addr().Interface().(*string) // a list in a file is read by itself
		if file := files[field.Tag.Get("name")]; plain && file != nil {
			readFile(&m, EnvName(field.Tag.Get("name")), value, file)
		}
	}
	c.readAdmins(&m)
	return m.err()
}

// readFile puts the contents of a file in the place of the setting of the given name.
func readFile(m *mistakes, name string, value, file *string) {
	if *file == "" {
		return
	}
	switch raw, err := secretfile.Read(*file); {
	case *value != "":
		m.add("%s and %s_FILE are both set: keep one of them", name, name)
	case err != nil:
		m.add("%s_FILE names a file that %s", name, err)
	case strings.TrimRight(string(raw), "\r\n") == "":
		m.add("%s_FILE names a file that is empty: %s", name, *file)
	default:
		*value, *file = strings.TrimRight(string(raw), "\r\n"), ""
	}
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
