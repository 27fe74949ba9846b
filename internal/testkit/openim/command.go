package openim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// Run is the command: it prints the double's base URL and serves until ctx ends. It returns the exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "openim:", err)
		return 2
	}
	d, err := Start(o)
	if err != nil {
		fmt.Fprintln(stderr, "openim:", err)
		return 1
	}
	fmt.Fprintln(stdout, d.URL())
	<-ctx.Done()
	if err := d.Close(); err != nil {
		fmt.Fprintln(stderr, "openim:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (o Options, err error) {
	flags := flag.NewFlagSet("openim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.Addr, "addr", "127.0.0.1:0", "host:port; port 0 = a free one")
	flags.StringVar(&o.Log, "log", "openim.ndjson", "the log; it is appended to")
	flags.StringVar(&o.Secret, "secret", os.Getenv("OPENIM_SECRET"), "what tokens are signed with; also OPENIM_SECRET, which no process list shows")
	admins := flags.String("admins", "imAdmin", "IDs of the admins, with commas")
	flags.IntVar(&o.Users, "users", 0, "users u000001, u000002, …")
	flags.Uint64Var(&o.Seed, "seed", 1, "what faults by share are drawn from")
	flags.DurationVar(&o.TokenLife, "token-life", 0, "0 = 90 days")
	flags.DurationVar(&o.Retire, "retire", 0, "how long an admin's older tokens outlive a newer one; 0 = 5m")
	manners := flags.String("manners", "", "latency and faults: a file of JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	o.Admins = strings.Split(*admins, ",")
	if *manners == "" {
		return o, nil
	}
	raw, err := os.ReadFile(*manners)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(raw, &o.Manners); err != nil {
		return o, fmt.Errorf("%s: %w", *manners, err)
	}
	return o, nil
}
