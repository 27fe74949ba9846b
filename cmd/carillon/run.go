package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"carillon/internal/config"
	"carillon/models"
)

// exitFailed is the exit code of whatever was refused or did not work, of a wrong command line too.
// Commands with more codes name them in their help.
const exitFailed = 1

// cli is the whole command line.
type cli struct {
	config.Config
	HelpSettings settingsHelp     `help:"Show this help with the settings: each is also a variable of the environment."`
	Version      kong.VersionFlag `help:"Show the version and go."`

	Serve      serveCmd      `cmd:"" help:"Serve the API, workers and scheduler."`
	Demo       demoCmd       `cmd:"" help:"Run a whole campaign in a temporary folder and show what became of it."`
	Send       sendCmd       `cmd:"" help:"Send a message to users, a group or all."`
	Estimate   estimateCmd   `cmd:"" help:"Show whom a message would reach and how long it would take, and send nothing."`
	Test       testCmd       `cmd:"" help:"Send a message to a few users, to see it arrive."`
	Campaigns  campaignsCmd  `cmd:"" help:"Show, watch, pause, resume, cancel and retry campaigns."`
	Schedules  schedulesCmd  `cmd:"" help:"Make, show, change, pause, resume, run and delete schedules."`
	Users      usersCmd      `cmd:"" help:"Show, import and delete users of the directory."`
	Groups     groupsCmd     `cmd:"" help:"Show and change groups."`
	Events     eventsCmd     `cmd:"" help:"List who changed what, when and why, newest first."`
	Verify     verifyCmd     `cmd:"" help:"Prove from the ledger that a campaign reached everybody, once."`
	Token      tokenCmd      `cmd:"" help:"Print a token for the API."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the database's tables up to date."`
	Restored   restoredCmd   `cmd:"" help:"Hold all campaigns after the database was restored from a backup."`
	Doctor     doctorCmd     `cmd:"" help:"Check the settings and what they lead to."`
	Completion completionCmd `cmd:"" help:"Print what makes a shell complete these commands."`
	Health     healthCmd     `cmd:"" help:"Ask the process that serves here whether it is alive."`
}

// app is what every command gets.
type app struct {
	ctx            context.Context //nolint:containedctx // kong hands commands one value, which lives as long as they do
	cfg            *config.Config
	level          slog.Level
	onLine         func(flag string) bool // it stands on the command line
	parsed         *kong.Context
	stdout, stderr io.Writer
}

// exit is an error that only sets the exit code: the command has printed everything.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// settingsHelp is the flag that shows the help with the settings.
type settingsHelp bool

// BeforeReset is called when the flag stands on the command line.
func (settingsHelp) BeforeReset(ctx *kong.Context) error {
	config.ShowSettings(ctx.Model, true)
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	ctx.Exit(0)
	return nil
}

// ownFirst lets a command's help begin with the command's own flags. Kong shows first the flags
// that are in no group.
func ownFirst(app *kong.Application) {
	every := &kong.Group{Key: "every", Title: "Flags of every command:"}
	for _, flag := range app.Flags {
		if flag.Group == nil {
			flag.Group = every
		}
	}
	config.ShowSettings(app, false)
}

// run runs one command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if args[0] == completeCommand {
		complete(ctx, args[1:], stdout)
		return 0
	}
	var c cli
	ended := -1 // by --help or --version
	options := append(config.Options(os.LookupEnv),
		kong.Name("carillon"), kong.Description("Sends messages to the users of a chat app, with a status for every single recipient."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { ended = code }), kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 120}))
	parser, err := kong.New(&c, options...)
	if err != nil {
		return report(stderr, err, exitFailed)
	}
	ownFirst(parser.Model)
	cmd, err := parser.Parse(args)
	var file *config.FileError
	switch {
	case ended >= 0:
		return ended
	case errors.As(err, &file):
		return report(stderr, file, exitFailed)
	case err != nil:
		fmt.Fprintf(stderr, "carillon: %s\n", models.Shown(err.Error()))
		fmt.Fprintln(stderr, "carillon: see carillon --help")
		return exitFailed
	}
	a := &app{ctx: ctx, cfg: &c.Config, level: c.Level(), onLine: onLine(cmd), parsed: cmd, stdout: plainWriter{stdout}, stderr: stderr}
	return report(stderr, cmd.Run(a), exitFailed)
}

// onLine reports which flags stand on the command line, and not in the environment or a file alone.
func onLine(cmd *kong.Context) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(cmd.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == name && !p.Resolved })
	}
}

// report prints each line of an error in our format, and returns the exit code.
func report(stderr io.Writer, err error, code int) int {
	var own exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &own):
		return int(own)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "carillon: %s\n", models.Shown(line))
	}
	return code
}

// plainWriter is what commands print on. It removes everything that moves a terminal's cursor,
// except tabs and line ends. JSON stays the same JSON.
type plainWriter struct{ w io.Writer }

func (p plainWriter) Write(text []byte) (int, error) {
	var out strings.Builder
	rest := string(text)
	for i := strings.IndexAny(rest, "\n\t"); i >= 0; i = strings.IndexAny(rest, "\n\t") {
		out.WriteString(models.Shown(rest[:i]))
		out.WriteByte(rest[i])
		rest = rest[i+1:]
	}
	out.WriteString(models.Shown(rest))
	if _, err := io.WriteString(p.w, out.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// version is the module's version, which Go takes from git where the program was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return "carillon " + info.Main.Version
	}
	return "carillon (unknown version)"
}

// settings checks the settings for a use, and prints warnings for the operator.
func (a *app) settings(use config.Use) error {
	if err := a.cfg.ReadFiles(); err != nil {
		return err
	}
	if err := a.cfg.Validate(use); err != nil {
		return err
	}
	if use != config.ForDatabase {
		for _, w := range a.cfg.Warnings() {
			a.warn(w)
		}
		for _, one := range a.cfg.Channels() {
			for _, w := range one.Warnings() {
				a.warn(w.Detail)
			}
		}
	}
	return nil
}

// warn prints a warning for the operator on stderr: as a line of the log if the log is JSON.
func (a *app) warn(text string) {
	if a.cfg.LogsJSON() {
		a.logger(a.level).Warn(text)
		return
	}
	fmt.Fprintf(a.stderr, "carillon: WARNING: %s\n", text)
}

// warnOf prints the warnings of an answer of the API; nil = the answer has none.
func (a *app) warnOf(warnings *[]string) {
	if warnings == nil {
		return
	}
	for _, w := range *warnings {
		a.warn(models.Shown(w))
	}
}

func (a *app) logger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if a.cfg.LogsJSON() {
		return slog.New(slog.NewJSONHandler(a.stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}
