// Package lab is what chaos and bench both need to try the real binary from outside: a build of it, its processes, a client of its
// API, and the main function of a command that runs until it is interrupted.
//
// Their providers are not here. The one of chaos writes down every recipient and misbehaves; the one of bench costs as little
// as a server can.
package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Main is the main function of a command: run gets a context that ends with SIGINT or SIGTERM, and returns the exit code.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// WebhookSecret is a new secret for CARILLON_WEBHOOK_SECRET.
func WebhookSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// Sleep waits, and is false when ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
