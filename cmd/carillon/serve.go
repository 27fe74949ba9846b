package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"carillon/internal/config"
)

type serveCmd struct {
	Roles []string `default:"api,worker,scheduler" help:"What this process does, of api, worker and scheduler. Only one process can serve embedded stores."`
}

// Help is shown by carillon serve --help.
func (serveCmd) Help() string {
	return `With nothing installed it keeps everything in ./data and serves http://127.0.0.1:8080.

    carillon serve
    carillon serve --listen :9000 --data-dir /var/lib/carillon

With MariaDB or MySQL and Redis, any number of processes, each with all roles or some:

    export CARILLON_DATABASE_URL=mysql://carillon:password@db:3306/carillon
    export CARILLON_REDIS_URL=redis://:password@cache:6379/0
    export CARILLON_SECRET=$(head -c 32 /dev/urandom | base64)
    carillon migrate
    carillon serve --roles api
    carillon serve --roles worker,scheduler

Messages leave through your own provider:

    export CARILLON_CHANNEL=webhook CARILLON_WEBHOOK_URL=https://push.example.com/send
    export CARILLON_WEBHOOK_SECRET="whsec_$(head -c 32 /dev/urandom | base64)"

SIGTERM and Ctrl-C stop it within 10 s: what is being sent is finished and written first.`
}

// Run serves until the context ends. If the log is JSON, all of stderr is JSON, also the reason why
// it stopped.
func (c *serveCmd) Run(a *app) error {
	err := c.serve(a)
	if err == nil || !a.cfg.LogsJSON() {
		return err
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		a.logger(a.level).Error(line)
	}
	return exit(exitFailed)
}

func (c *serveCmd) serve(a *app) error {
	if err := a.settings(config.ForServing); err != nil {
		return err
	}
	r, err := parseRoles(c.Roles, a.cfg)
	if err != nil {
		return err
	}
	// Near this limit the garbage collector works harder. The budget for bodies and answers is part
	// of the memory. An eighth is left for what the limit does not count.
	debug.SetMemoryLimit(int64(a.cfg.Memory) << 20 / 8 * 7)
	sys, err := open(a, a.cfg, config.Origins(a.cfg.Masked(), a.parsed, os.LookupEnv), r, listen)
	if err != nil {
		return err
	}
	defer sys.rereadAdmins(a.cfg.AdminsFile)()
	sys.begun = func() { announce(a, sys) }
	return sys.serve(a.ctx)
}

// open opens first the stores, then the port. If both fail, the user hears of the data directory
// that is taken. shown is how the console shows the settings of cfg.
func open(a *app, cfg *config.Config, shown []config.Setting, r roles, listen func(context.Context, string) (net.Listener, error)) (*system, error) {
	s, err := openStores(a.ctx, cfg)
	if err != nil {
		return nil, err
	}
	listener, err := listen(a.ctx, cfg.Listen)
	if err != nil {
		s.close()
		return nil, err
	}
	sys, err := newSystem(cfg, shown, r, s, listener, a.logger(a.level))
	if err != nil {
		_ = listener.Close()
		s.close()
		return nil, err
	}
	return sys, nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("CARILLON_LISTEN: %s is in use by another program: stop that one, or set CARILLON_LISTEN to another port", addr)
	case err != nil:
		return nil, fmt.Errorf("CARILLON_LISTEN: %w", err)
	}
	return l, nil
}
