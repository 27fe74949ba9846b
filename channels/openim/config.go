package openim

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"carillon/channels"
)

const (
	defaultAdmin   = "imAdmin"
	defaultTimeout = 5 * time.Second
)

var errURL = errors.New("OpenIM URL: must be an absolute http or https URL, such as http://openim:10002")

// Config says which OpenIM server the channel speaks to, and as whom.
type Config struct {
	Rate int `group:"settings" name:"openim-rate" default:"0" help:"The same for the openim channel."`

	// URL is that of OpenIM's API. A path is kept in front of the routes.
	URL string `group:"settings" name:"openim-url" placeholder:"URL" help:"OpenIM's API, such as http://openim:10002: the openim channel sends through it."`
	// Secret is that of OpenIM's deployment, for which it gives out admin tokens.
	Secret     string `group:"settings" name:"openim-secret" shown:"no" placeholder:"TEXT" help:"The secret of OpenIM's deployment (share.yml), for which it gives out admin tokens."`
	SecretFile string `group:"settings" name:"openim-secret-file" placeholder:"FILE" help:"A file that holds that secret."`
	// Admin is the user ID of an OpenIM admin; "" = imAdmin.
	Admin string `group:"settings" name:"openim-admin" default:"imAdmin" help:"User ID of an OpenIM admin."`
	// Timeout of one request, from waiting for a connection to the answer's last byte; 0 = 5 s, at most 8 s.
	Timeout time.Duration `group:"settings" name:"openim-timeout" default:"5s" help:"For one request to OpenIM as a whole, at most 8s."`

	// Sync is the period of the directory's sync; 0 = only when somebody asks.
	Sync time.Duration `group:"settings" name:"openim-sync" default:"1h" help:"How old the directory may become before OpenIM's users are synced into it, at least 1m. 0 = only when somebody asks for it."`
	// OldAfter is how old the directory may be when a campaign to all users starts; 0 = twice Sync.
	OldAfter time.Duration `group:"settings" name:"openim-max-age" default:"0s" help:"A campaign to all users through OpenIM waits for a sync when the last one is longer ago, at least 1m. 0 = twice the time of openim-sync."`
	// Tokens says who judges the tokens of OpenIM's admins: "secret" or "parse".
	Tokens string `group:"settings" name:"openim-tokens" default:"secret" help:"How tokens of OpenIM's admins are checked: secret (signed with CARILLON_SECRET), or parse (OpenIM is asked)."`
}

func (c Config) withDefaults() Config {
	if c.Admin == "" {
		c.Admin = defaultAdmin
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return c
}

// check returns the base URL, without a slash at its end. Its errors name the setting and quote neither URL nor secret.
func (c Config) check() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return nil, errURL
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("OpenIM URL: must hold no user, password, query and fragment; the secret has its own setting")
	case c.Secret == "":
		return nil, errors.New("OpenIM secret: is missing")
	case c.Timeout < 0, c.Timeout > channels.MaxTimeout:
		return nil, fmt.Errorf("OpenIM timeout: must be more than 0 and at most %s", channels.MaxTimeout)
	}
	base := *u
	base.Path, base.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return &base, nil
}
