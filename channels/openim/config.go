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
	URL     string        // of OpenIM's API, e.g. http://openim:10002; a path is kept in front of the routes
	Secret  string        // the secret of OpenIM's deployment, with which it gives out admin tokens
	Admin   string        // user ID of an OpenIM admin; "" = imAdmin
	Timeout time.Duration // of one request, from waiting for a connection to the answer's last byte; 0 = 5 s, at most 8 s
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
