package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"carillon/internal/config"
)

const healthTime = 3 * time.Second

type healthCmd struct{}

// Help is shown by carillon health --help.
func (healthCmd) Help() string {
	return `GETs /healthz of the configured address; exit code 0 when it answers 200. A container without curl checks itself with it:

    HEALTHCHECK CMD ["carillon", "health"]`
}

// Run asks.
func (healthCmd) Run(a *app) error {
	if err := a.cfg.Validate(config.ForHealth); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "server: http://%s\n", reachable(a.cfg.Listen))
	ctx, cancel := context.WithTimeout(a.ctx, healthTime)
	defer cancel()
	url := "http://" + reachable(a.cfg.Listen) + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: the process is our own
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("nothing answers: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	_, err = fmt.Fprintln(a.stdout, "ok")
	return err
}
