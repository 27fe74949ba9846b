package services

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// promtool checks Prometheus' rules and runs their tests. It is a part of Debian's package prometheus.
const promtool = "promtool"

// Promtool is the path of a promtool that runs here.
func Promtool() (path string, err error) {
	if path, err = find(promtool); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s --version: %w: %s", path, err, out)
	}
	return path, nil
}
