package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/internal/eventhook"
	"carillon/internal/stdwebhook"
	"carillon/internal/zones"
	"carillon/models"
)

const (
	makeSecret = `head -c 32 /dev/urandom | base64` //nolint:gosec // a command that makes one

	minSecret    = 16 // bytes
	minDifferent = 8  // different characters: "aaaaaaaaaaaaaaaa" is no secret
	minMemory    = 128
	maxMemory    = 1 << 20 // MiB

	maxRate     = 1_000_000
	minPool     = 8 // with fewer, the slots of a worker wait for each other's connections
	maxPool     = 10_000
	maxAttempts = 100

	minBatchWait = 100 * time.Millisecond
	maxBatchWait = time.Minute // as of Prefer: wait
)

// basePath is what may stand before each path of the server, in links and in a cookie.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9_-]+)+$`)

// mistakes collects what is wrong, one line per mistake: the variable and the fix.
type mistakes struct{ list []error }

func (m *mistakes) add(format string, args ...any) {
	m.list = append(m.list, fmt.Errorf(format, args...))
}

func (m *mistakes) err() error { return errors.Join(m.list...) }

// Use is what a command needs of the settings. Mistakes in other settings do not stop the command.
type Use int

// The uses there are.
const (
	ForServing  Use = iota // all of them
	ForDemo                // all of them; but a weak secret is only a warning
	ForDatabase            // the database only
	ForToken               // the settings that tokens are made with
	ForHealth              // where the API listens
	ForCalling             // which API is called, and with which token
)

// Validate checks the settings for a use. Its error has one line per mistake, which names the
// variable and the fix, and quotes no secret.
func (c *Config) Validate(use Use) error {
	var m mistakes
	switch use {
	case ForDatabase:
		c.checkDatabase(&m)
	case ForToken:
		c.checkSecret(&m)
		c.checkAdmins(&m)
	case ForHealth:
		c.checkListen(&m)
	case ForCalling:
		if c.Server == "" {
			c.checkListen(&m)
		}
		if c.Token == "" {
			c.checkAdmins(&m)
		}
	default:
		c.checkListen(&m)
		c.checkStores(&m)
		c.checkSecret(&m)
		if why := weakSecret("CARILLON_SECRET", c.Secret); why != "" && use != ForDemo {
			m.add("%s", why)
		}
		c.checkPrevious(&m)
		c.checkAdmins(&m)
		c.checkProxies(&m)
		if c.LogFormat != "" && c.LogFormat != "text" && !c.LogsJSON() {
			m.add("CARILLON_LOG_FORMAT must be text or json")
		}
		c.checkChannels(&m)
		c.checkRange(&m, &c.DatabasePool, minPool, maxPool, "connections")
		c.checkRange(&m, &c.MaxAttempts, 1, maxAttempts, "attempts per recipient")
		c.checkRange(&m, &c.Memory, minMemory, maxMemory, "MiB")
		if _, err := zones.Load(c.DefaultTimezone); err != nil {
			m.add("CARILLON_DEFAULT_TIMEZONE must be an IANA time zone such as Europe/Berlin")
		}
		if c.BasePath != "" && !basePath.MatchString(c.BasePath) {
			m.add("CARILLON_BASE_PATH must begin with / and end without it, and hold letters, digits, - and _: for example /carillon")
		}
		c.checkOpenIMTokens(&m)
		if c.BatchWait != 0 && (c.BatchWait < minBatchWait || c.BatchWait > maxBatchWait) {
			m.add("CARILLON_BATCH_WAIT must be 0, which answers with the campaign's ID at once, or %s to 60s, with its unit: for example 10s", minBatchWait)
		}
		if c.IdempotencyTTL < time.Minute {
			m.add("CARILLON_IDEMPOTENCY_TTL must be at least 1m, with its unit: for example 168h")
		}
		c.checkEvents(&m)
		c.checkTraces(&m)
		if c.EventsRetention != 0 && c.EventsRetention < time.Hour {
			m.add("CARILLON_EVENTS_RETENTION must be 0, which keeps events for ever, or at least 1h, with its unit: for example 2160h")
		}
		if c.Retention != 0 && c.Retention < time.Hour {
			m.add("CARILLON_RETENTION must be 0, which keeps recipients for ever, or at least 1h, with its unit: for example 2160h")
		}
	}
	return m.err()
}

func (c *Config) checkListen(m *mistakes) {
	_, port, err := net.SplitHostPort(c.Listen)
	if n, numErr := strconv.Atoi(port); err != nil || numErr != nil || n < 0 || n > 65535 {
		m.add("CARILLON_LISTEN must be host:port: for example 127.0.0.1:8080, or :8080 for all addresses")
	}
}

func (c *Config) checkStores(m *mistakes) {
	c.checkDatabase(m)
	if c.RedisURL != "" {
		if _, err := Redis(c.RedisURL); err != nil {
			m.add("CARILLON_REDIS_URL %s", err)
		}
	}
	// A second process cannot see a Redis inside the first process, and would take the first one's
	// work for lost. With a database that several processes can reach, nothing would keep the
	// second out.
	if !c.EmbeddedDatabase() && c.EmbeddedRedis() {
		m.add("CARILLON_REDIS_URL is required with CARILLON_DATABASE_URL: name a Redis that all processes share, or leave both out for the embedded stores")
	}
}

func (c *Config) checkDatabase(m *mistakes) {
	if c.EmbeddedDatabase() {
		if c.DataDir == "" {
			m.add("CARILLON_DATA_DIR must name a directory: for example ./data")
		}
		return
	}
	if strings.HasPrefix(c.DatabaseURL, databaseFile) {
		m.add("CARILLON_DATABASE_URL must be left out for SQLite: its file is in the data directory, so set CARILLON_DATA_DIR")
		return
	}
	u, err := url.Parse(c.DatabaseURL)
	if err != nil || u.Scheme != "mysql" || u.Hostname() == "" || strings.Trim(u.Path, "/") == "" {
		m.add("CARILLON_DATABASE_URL must look like mysql://user:password@host:3306/database, special characters of the password percent-encoded; leave it out for SQLite")
	}
}

func (c *Config) checkSecret(m *mistakes) {
	if c.Secret == "" && (!c.EmbeddedDatabase() || !c.EmbeddedRedis()) {
		m.add("CARILLON_SECRET is required with CARILLON_DATABASE_URL or CARILLON_REDIS_URL, the same for all processes: make one with: %s", makeSecret)
	}
}

func (c *Config) checkAdmins(m *mistakes) {
	if len(c.Admins) == 0 {
		m.add("CARILLON_ADMINS must name at least one user ID: for example openIMAdmin,imAdmin")
	}
	for i, id := range c.Admins {
		if why := models.CheckID(id); why != "" {
			m.add("CARILLON_ADMINS: ID %d %s: separate the IDs by single commas", i+1, why)
		}
	}
}

func (c *Config) checkProxies(m *mistakes) {
	for i, text := range c.TrustedProxies {
		if _, err := parseNetwork(text); err != nil {
			m.add("CARILLON_TRUSTED_PROXIES: entry %d must be an address such as 10.0.0.7 or a network such as 10.0.0.0/8", i+1)
		}
	}
}

func (c *Config) checkChannels(m *mistakes) {
	var names []string
	known := false
	for _, one := range c.ChannelSettings() {
		names, known = append(names, one.Name()), known || one.Name() == c.Channel
	}
	if last := len(names) - 1; !known {
		m.add("CARILLON_CHANNEL must be %s or %s", strings.Join(names[:last], ", "), names[last])
	}
	for _, one := range c.ChannelSettings() {
		for _, line := range one.Mistakes(c.Channel == one.Name()) {
			m.add("%s", line)
		}
		if n := one.PerSecond(); n < 0 || n > maxRate {
			m.add("%s must be 0 to %d recipients per second; 0 is no limit, not %d", EnvName(one.Name()+"-rate"), maxRate, n)
		}
	}
}

// The values of CARILLON_EVENTS_NETWORKS.
const (
	anyNetworks    = "any"
	publicNetworks = "public"
)

func (c *Config) checkEvents(m *mistakes) {
	if c.EventsNetworks != "" && c.EventsNetworks != anyNetworks && c.EventsNetworks != publicNetworks {
		m.add("CARILLON_EVENTS_NETWORKS must be any, or public, which refuses private addresses")
	}
	switch _, err := c.EventsReceiver(); {
	case c.EventsURL == "" && c.EventsSecret != "":
		m.add("CARILLON_EVENTS_SECRET does nothing without CARILLON_EVENTS_URL: set the URL that events are to be posted to, or leave the secret out")
	case c.EventsURL != "" && c.EventsSecret == "":
		m.add("CARILLON_EVENTS_SECRET is required with CARILLON_EVENTS_URL: make one with: %s", stdwebhook.MakeSecret)
	case errors.Is(err, eventhook.ErrURL):
		m.add("CARILLON_EVENTS_URL %s", err)
	case err != nil:
		m.add("CARILLON_EVENTS_SECRET must be whsec_ and the base64 of at least 24 bytes: make one with: %s", stdwebhook.MakeSecret)
	}
}

// checkTraces refuses a user and a password in the URL too: the exporter would leave them out.
func (c *Config) checkTraces(m *mistakes) {
	if c.Traces == "" {
		return
	}
	u, err := url.Parse(c.Traces)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		m.add("%s must be an http or https URL without a password or a query, such as http://localhost:4318: what lets you in belongs in OTEL_EXPORTER_OTLP_HEADERS", c.envOf(&c.Traces))
	}
}

func (c *Config) checkRange(m *mistakes, field *int, low, high int, what string) {
	if *field < low || *field > high {
		m.add("%s must be %d to %d %s, not %d", c.envOf(field), low, high, what, *field)
	}
}

// wellKnown are secrets that stand in public documents, examples and lists.
var wellKnown = []string{
	"openim123", "changeme", "change-me", "change_me", "secret", "password", "carillon", "admin", "admin123", "test", "example",
	"mysecret", "my-secret", "supersecret", "your-secret", "your_secret", "yoursecret", "your-256-bit-secret", "qwerty", "123456", "12345678",
	"1234567890123456", "0123456789abcdef", "changemechangeme", "secretsecretsecret",
}

// checkOpenIMTokens refuses a secret that OpenIM signs with too where OpenIM is to be asked: a token that OpenIM has ended would
// be taken for one of ours.
func (c *Config) checkOpenIMTokens(m *mistakes) {
	if theirs := c.OpenIM.Secret; c.OpenIM.AsksTokens() && theirs != "" && (c.Secret == theirs || c.SecretPrevious == theirs) {
		m.add("CARILLON_SECRET and CARILLON_SECRET_PREVIOUS must not be CARILLON_OPENIM_SECRET with CARILLON_OPENIM_TOKENS=parse: make another with: %s", makeSecret)
	}
}

// checkPrevious refuses a previous secret that is easy to find out: its tokens let people in as
// well.
func (c *Config) checkPrevious(m *mistakes) {
	if c.SecretPrevious != "" && c.SecretPrevious == c.Secret {
		m.add("CARILLON_SECRET_PREVIOUS must be the secret before, not CARILLON_SECRET: leave it out when no secret is being changed")
	}
	if why := weakSecret("CARILLON_SECRET_PREVIOUS", c.SecretPrevious); why != "" {
		m.add("%s", why)
	}
}

// weakSecret says how others could find out a secret; empty when they cannot, or when there is
// none.
func weakSecret(name, secret string) string {
	different := map[rune]bool{}
	for _, r := range secret {
		different[r] = true
	}
	const anybody = "anybody could make an admin's token. Make your own with: " + makeSecret
	switch {
	case secret == "":
		return ""
	case slices.Contains(wellKnown, strings.ToLower(strings.TrimSpace(secret))):
		return name + " is a well-known one: " + anybody
	case len(secret) < minSecret:
		return fmt.Sprintf("%s has only %d bytes and can be guessed: %s", name, len(secret), anybody)
	case len(different) < minDifferent:
		return fmt.Sprintf("%s has only %d different characters and can be guessed: %s", name, len(different), anybody)
	}
	return ""
}

// Warnings are settings that are allowed and that an operator should know of.
func (c *Config) Warnings() []string {
	if why := weakSecret("CARILLON_SECRET", c.Secret); why != "" {
		return []string{why}
	}
	return nil
}
