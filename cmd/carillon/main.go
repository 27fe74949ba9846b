// Command carillon sends messages to the users of a chat app: one POST becomes a campaign with a status for
// every single recipient.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones are known on machines that have none

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

func main() {
	quietDrivers()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// quietDrivers: both also log what they return as errors, in lines that no level quiets.
func quietDrivers() {
	redis.SetLogger(silence{})
	_ = mysql.SetLogger(silence{}) // fails for nil only
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
func (silence) Print(...any)                           {}
