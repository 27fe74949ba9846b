package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"carillon/handlers/web"
	"carillon/internal/config"
	"carillon/models"
)

type tokenCmd struct {
	Admin string        `placeholder:"ID" help:"The admin whose token it is to be; by default the first of CARILLON_ADMINS." xor:"who"`
	TTL   time.Duration `name:"ttl" default:"2160h" help:"How long it is valid, 1m to 2160h (90 days)."`
	User  string        `placeholder:"ID" help:"A user instead: the token opens that user's inbox and nothing else." xor:"who"`
}

// Help is shown by carillon token --help.
func (tokenCmd) Help() string {
	return `The token is signed with the secret of the process that serves: the one in the data directory, or CARILLON_SECRET. It is valid for 90 days or the given --ttl, a user's only as long as this entry of theirs stands in the directory.

    curl -sS http://127.0.0.1:8080/v1/campaigns -H "token: $(carillon token)"
    CARILLON_DATA_DIR=/var/lib/carillon carillon token --user alice
    carillon token --admin imAdmin --ttl 24h
    docker compose exec api carillon token`
}

// minTTL is long enough for a program to begin with the token.
const minTTL = time.Minute

// Run prints a token.
func (c *tokenCmd) Run(a *app) error {
	if c.TTL < minTTL || c.TTL > web.TokenLife {
		return fmt.Errorf("--ttl must be 1m to 2160h, not %s", c.TTL)
	}
	if err := a.settings(config.ForToken); err != nil {
		return err
	}
	if err := c.check(a.cfg.Admins); err != nil {
		return err
	}
	secret, err := a.localSecret()
	if err != nil {
		return err
	}
	token, err := c.sign(a, secret)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, token)
	return err
}

// sign makes the token. A user's token names the directory entry that it is for, read from the
// directory.
func (c *tokenCmd) sign(a *app, secret string) (string, error) {
	if c.User == "" {
		return web.AdminTokenFor(secret, cmp.Or(c.Admin, a.cfg.Admins[0]), c.TTL)
	}
	if err := a.cfg.Validate(config.ForDatabase); err != nil {
		return "", err
	}
	ledger, err := a.toldLedger()
	if err != nil {
		return "", err
	}
	defer func() { _ = ledger.Close() }()
	user, err := ledger.User(a.ctx, c.User)
	if err != nil {
		if models.AsError(err).Code == models.CodeRecordNotFound {
			return "", fmt.Errorf("--user: %q is not in the directory: add them first", c.User)
		}
		return "", err
	}
	return web.UserTokenFor(secret, user, 0, c.TTL)
}

// check refuses IDs for which no token can be made.
func (c *tokenCmd) check(admins []string) error {
	switch {
	case c.User != "" && slices.Contains(admins, c.User):
		return fmt.Errorf("--user: %q is one of CARILLON_ADMINS: say --admin if that is meant", c.User)
	case c.User != "":
		if why := models.CheckID(c.User); why != "" {
			return fmt.Errorf("--user %s", why)
		}
	case c.Admin != "" && !slices.Contains(admins, c.Admin):
		return fmt.Errorf("--admin: %q is not one of CARILLON_ADMINS: add it there, for this process and for those that serve", c.Admin)
	}
	return nil
}
