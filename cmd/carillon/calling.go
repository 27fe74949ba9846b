package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"carillon/client"
	"carillon/handlers/web"
	"carillon/internal/config"
	"carillon/internal/embedded"
)

// agent begins the User-Agent of all commands. The event log tells what they do as done via cli.
const agent = web.CommandLineAgent

// callLife is how long a token is valid that a command signs for itself.
const callLife = 10 * time.Minute

// withAPI runs a command on the API, which it names on stderr. instead says what else the operator
// can do when nobody serves; it may be empty.
func withAPI(a *app, instead string, f func(*client.Client) error) error {
	api, err := a.api()
	if err != nil {
		return err
	}
	defer api.Close()
	fmt.Fprintf(a.stderr, "server: %s\n", api.Address())
	return explain(f(api), instead)
}

// api makes the client with which a command calls the API.
func (a *app) api() (*client.Client, error) {
	if err := a.settings(config.ForCalling); err != nil {
		return nil, err
	}
	server := cmp.Or(a.cfg.Server, "http://"+reachable(a.cfg.Listen))
	api, err := client.New(client.Options{Server: server, Token: a.cfg.Token, MakeToken: a.signToken, UserAgent: agent + strings.TrimPrefix(version(), "carillon ")})
	if err != nil {
		return nil, fmt.Errorf("CARILLON_SERVER: %w", err)
	}
	return api, nil
}

// signToken makes a token for the first admin, with the secret that is found here.
func (a *app) signToken(context.Context) (string, error) {
	secret, err := a.secret()
	if err != nil {
		return "", err
	}
	return web.AdminTokenFor(secret, a.cfg.Admins[0], callLife)
}

// secret is localSecret for a command that calls the API. Its errors say how to give a token.
func (a *app) secret() (string, error) {
	if a.cfg.Secret == "" && (!a.cfg.EmbeddedDatabase() || !a.cfg.EmbeddedRedis()) {
		return "", errors.New("there is no token: set CARILLON_TOKEN to one that carillon token prints, or CARILLON_SECRET to the server's")
	}
	secret, err := a.localSecret()
	if err != nil {
		return "", fmt.Errorf("there is no token: set CARILLON_TOKEN to one that carillon token prints at the server; or, on the server's machine: %w", err)
	}
	return secret, nil
}

// localSecret is CARILLON_SECRET, or the one in the data directory. It makes no data directory.
func (a *app) localSecret() (string, error) {
	if a.cfg.Secret != "" {
		return a.cfg.Secret, nil
	}
	dir, err := embedded.Find(a.cfg.DataDir)
	if err != nil {
		return "", err
	}
	return dir.Secret()
}

// explain adds to an error of the API what only the command line can advise.
func explain(err error, instead string) error {
	var e *client.Error
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case !errors.As(err, &e):
		return err
	case e.Unreachable && e.Fix == "":
		e.Fix = "start carillon serve there, or name the right server with --server" + instead
	case e.Code >= client.CodeTokenExpired && e.Code <= client.CodeTokenMissing:
		e.Fix += ", in CARILLON_TOKEN (carillon token prints one)"
	}
	return err
}

// orLocal is what the operator can do with a command that has --local.
const orLocal = "; --local works on the ledger, without a server"
