package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"

	"carillon/channels/inbox"
	"carillon/handlers/web"
	"carillon/internal/config"
)

type demoCmd struct {
	Users  int  `default:"1000" help:"How many users to make up."`
	OpenIM bool `name:"openim" help:"Send through a stand-in for OpenIM, whose users are synced first."`
	Exit   bool `help:"End when the campaign is done, with exit code 0 if all users got the message."`
}

// Help is shown by carillon demo --help.
func (demoCmd) Help() string {
	return `Starts everything in one process on a temporary folder, imports users, posts the example of the contract for /msg/batch_send_msg to all of them, shows the status of every recipient, and keeps serving for a look around until Ctrl-C. Nothing is left behind.

    carillon demo
    carillon demo --users 100000 --exit
    carillon demo --openim

With --openim a stand-in for an OpenIM server runs beside it: the demo syncs its users into the directory, sends through its REST API, and asks it what arrived.

It takes a free port when the configured one is busy.`
}

// Run runs the demo.
func (c *demoCmd) Run(a *app) (err error) {
	if c.Users < 1 {
		return errors.New("--users must be at least 1")
	}
	dir, err := os.MkdirTemp("", "carillon-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := demoSettings(a, dir)
	if err != nil {
		return err
	}
	if c.OpenIM {
		d, err := c.openIM(cfg, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Close()) }()
	}
	a.level = max(a.level, slog.LevelWarn) // the demo's own lines are the only output
	sys, err := open(a, cfg, cfg.Masked(), roles{true, true, true}, listenSomewhere)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- sys.serve(ctx) }()

	show, shown := newShow(a, sys, c.Users, cfg.OpenIM.URL)
	if shown == nil {
		shown = c.present(ctx, a, sys, show)
	}
	cancel()
	return errors.Join(shown, <-served)
}

// present shows the campaign, and without --exit serves until Ctrl-C.
func (c *demoCmd) present(ctx context.Context, a *app, sys *system, show *show) error {
	defer show.api.Close()
	if err := show.run(ctx); err != nil || c.Exit {
		return err
	}
	if !c.OpenIM {
		if err := show.furnish(ctx); err != nil {
			return err
		}
	}
	if err := c.invite(a, sys); err != nil {
		return err
	}
	<-a.ctx.Done()
	return nil
}

// demoSettings are the configured settings, but with embedded stores in dir and the inbox as the
// only channel. See openIM for the other one.
func demoSettings(a *app, dir string) (*config.Config, error) {
	if err := a.cfg.ReadFiles(); err != nil {
		return nil, err
	}
	cfg := *a.cfg
	cfg.DataDir, cfg.DatabaseURL, cfg.RedisURL, cfg.Webhook.URL, cfg.OpenIM.URL, cfg.Channel = dir, "", "", "", "", inbox.Name
	if !slices.Contains(cfg.Admins, exampleSender) {
		cfg.Admins = append(slices.Clone(cfg.Admins), exampleSender)
	}
	for _, w := range cfg.Warnings() {
		a.warn(w)
	}
	return &cfg, cfg.Validate(config.ForDemo)
}

// listenSomewhere listens on addr, or on any free port if that port is taken.
func listenSomewhere(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(addr)
		return listen(ctx, net.JoinHostPort(host, "0"))
	}
	return l, err
}

// invite tells the user what to look at while the demo goes on serving.
func (c *demoCmd) invite(a *app, sys *system) error {
	command, url := sys.tokenCommand(a), sys.url()
	token, err := web.AdminToken(sys.secret, exampleSender) // of a demo, which ends with its data
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, `
It goes on serving until Ctrl-C; the data is in %s until then.

  console          %s
  log in with      %s

  campaigns        curl -sS %s/v1/campaigns -H "token: $(%s)"
  send it again    %s -d @cmd/carillon/example.json

`, sys.dir.Path(), sys.console(), token, url, command, sys.curl(a, "/msg/batch_send_msg"))
	return nil
}
