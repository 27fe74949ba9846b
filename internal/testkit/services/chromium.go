package services

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// Chromium is the path of a browser for tests: a Chromium that needs no screen, and runs here.
func Chromium() (path string, err error) {
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if path, err = find(name); err == nil {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("chromium is not installed: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s --version: %w: %s", path, err, out)
	}
	return path, nil
}
