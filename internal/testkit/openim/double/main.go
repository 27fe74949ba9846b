// Command double is a double of OpenIM's REST API: see the package above.
//
//	OPENIM_SECRET=openIM123 go run ./internal/testkit/openim/double --users 1000 --log /tmp/openim.ndjson
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"carillon/internal/testkit/openim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := openim.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
