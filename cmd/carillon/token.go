package main

import (
	"fmt"
	"slices"

	"carillon/handlers"
	"carillon/internal/config"
	"carillon/internal/embedded"
	"carillon/models"
)

type tokenCmd struct {
	Admin string `placeholder:"ID" help:"The admin whose token it is to be; by default the first of CARILLON_ADMINS." xor:"who"`
	User  string `placeholder:"ID" help:"A user instead: the token opens that user's inbox and nothing else." xor:"who"`
}

// Help is shown by carillon token --help.
func (tokenCmd) Help() string {
	return `The token is signed with the secret of the process that serves: the one in the data directory, or CARILLON_SECRET. It is valid for 90 days.

    curl -sS http://127.0.0.1:8080/v1/campaigns -H "token: $(carillon token)"
    CARILLON_DATA_DIR=/var/lib/carillon carillon token --user alice
    docker compose exec api carillon token`
}

// Run prints a token.
func (c *tokenCmd) Run(a *app) error {
	if err := a.settings(config.ForToken); err != nil {
		return err
	}
	id, platform, err := c.whose(a.cfg.Admins)
	if err != nil {
		return err
	}
	secret := a.cfg.Secret
	if secret == "" {
		dir, err := embedded.Find(a.cfg.DataDir)
		if err != nil {
			return err
		}
		if secret, err = dir.Secret(); err != nil {
			return err
		}
	}
	token, err := handlers.NewToken(secret, id, platform)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, token)
	return err
}

// whose is the ID and the platform that the token names. An admin's token is not given out as a user's.
func (c *tokenCmd) whose(admins []string) (id string, platform int, err error) {
	switch {
	case c.User != "" && slices.Contains(admins, c.User):
		return "", 0, fmt.Errorf("--user: %q is one of CARILLON_ADMINS, so its token would open everything: say --admin if that is meant", c.User)
	case c.User != "":
		if why := models.CheckID(c.User); why != "" {
			return "", 0, fmt.Errorf("--user %s", why)
		}
		return c.User, 0, nil
	case c.Admin == "":
		return admins[0], adminPlatform, nil
	case !slices.Contains(admins, c.Admin):
		return "", 0, fmt.Errorf("--admin: %q is not one of CARILLON_ADMINS: add it there, for this process and for those that serve", c.Admin)
	}
	return c.Admin, adminPlatform, nil
}
