package webhook

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/internal/stdwebhook"
)

// Config says where the channel sends and how.
type Config struct {
	Rate int `group:"settings" name:"webhook-rate" default:"0" help:"The same for the webhook channel."`

	// URL is http or https, without user and password.
	URL string `group:"settings" name:"webhook-url" shown:"host" placeholder:"URL" help:"Where the webhook channel posts messages to."`
	// Secret is "whsec_" + base64 of >= 24 bytes; signs every request.
	Secret     string `group:"settings" name:"webhook-secret" shown:"no" placeholder:"whsec_…" help:"Signs those posts, as in Standard Webhooks."`
	SecretFile string `group:"settings" name:"webhook-secret-file" placeholder:"FILE" help:"A file that holds that secret."`
	// Batch is recipients a request, 1 to 1000; 0 = 1.
	Batch int `group:"settings" name:"webhook-batch" default:"1" help:"Recipients in one post, 1 to 1000."`
	// Timeout of one request, from waiting for a connection to the answer's last byte; 0 = 5 s, at most 8 s.
	Timeout time.Duration `group:"settings" name:"webhook-timeout" default:"5s" help:"For one post as a whole, at most 8s."`
}

var _ channels.Settings = Config{}

func (c Config) withDefaults() Config {
	if c.Batch == 0 {
		c.Batch = 1
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return c
}

const makeSecret = stdwebhook.MakeSecret

// Name is the channel's.
func (Config) Name() string { return Name }

// IsSet: without a URL there is no such channel.
func (c Config) IsSet() bool { return c.URL != "" }

// PerSecond is the limit.
func (c Config) PerSecond() int { return c.Rate }

// Place is the URL's host. Its path and query may hold a token.
func (c Config) Place() string {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Open is New.
func (c Config) Open(redis.UniversalClient) (channels.Channel, error) { return New(c) }

// Mistakes says what is wrong with the settings.
func (c Config) Mistakes(chosen bool) (list []string) {
	if c.Batch < 1 || c.Batch > maxBatch {
		list = append(list, fmt.Sprintf("CARILLON_WEBHOOK_BATCH must be 1 to %d recipients in one post, not %d", maxBatch, c.Batch))
	}
	list = append(list, channels.CheckTimeout("CARILLON_WEBHOOK_TIMEOUT", c.Timeout)...)
	switch {
	case c.URL == "" && chosen:
		list = append(list, "CARILLON_WEBHOOK_URL is required with CARILLON_CHANNEL=webhook: set it to where messages are to be posted")
	case c.URL == "":
	case c.Secret == "":
		list = append(list, "CARILLON_WEBHOOK_SECRET is required with CARILLON_WEBHOOK_URL: make one with: "+makeSecret)
	default:
		list = append(list, c.refused()...)
	}
	return list
}

// refused is what New says of URL and secret.
func (c Config) refused() []string {
	_, err := New(Config{URL: c.URL, Secret: c.Secret})
	if err == nil {
		return nil
	}
	what, why, _ := strings.Cut(err.Error(), ": ")
	if what == "webhook URL" {
		return []string{"CARILLON_WEBHOOK_URL " + why}
	}
	return []string{"CARILLON_WEBHOOK_SECRET must be whsec_ and the base64 of at least 24 bytes: make one with: " + makeSecret}
}
