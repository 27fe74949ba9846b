package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"carillon/internal/testkit/services"
)

// need is something the tests cannot do without, and the Debian packages that bring it. None of these
// packages contains a system service: mariadb-server and redis-server would start one. nginx and prometheus do, so they
// are unpacked and not installed.
type need struct {
	packages []string
	why      string
	missing  func(context.Context) error
	servers  bool                        // containers can stand in
	unpack   func(context.Context) error // instead of installing the packages
}

func needs() []need {
	return []need{
		{
			packages: []string{"gcc", "libc6-dev"},
			why:      "a C compiler: the race detector is written in C",
			missing:  noCompiler,
		},
		{
			packages: []string{"mariadb-server-core", "mariadb-client-core", "redis-tools"},
			why:      "the programs of MariaDB and Redis: the tests start servers of their own and no system service",
			missing:  func(context.Context) error { return services.Installed() },
			servers:  true,
		},
		{
			packages: []string{"zsh", "fish"},
			why:      "zsh and fish: the tests source the completion scripts in each shell",
			missing:  noShells,
		},
		{
			packages: []string{"nginx"},
			why:      "nginx: the tests send requests through deploy/nginx.conf, and start no system service",
			missing:  func(context.Context) error { return services.NginxRuns() },
			unpack:   func(ctx context.Context) error { return services.Unpack(ctx, "nginx") },
		},
		{
			packages: []string{"prometheus"},
			why:      "promtool: the tests run the alerts' own tests with it, and start no system service",
			missing:  func(context.Context) error { _, err := services.Promtool(); return err },
			unpack:   func(ctx context.Context) error { return services.Unpack(ctx, "prometheus") },
		},
		{
			packages: []string{"chromium-headless-shell"},
			why:      "Chromium without a screen: the tests open the page at /docs in it",
			missing:  func(context.Context) error { _, err := services.Chromium(); return err },
		},
	}
}

// noShells looks for the shells. bash is on every Debian.
func noShells(context.Context) error {
	for _, name := range []string{"bash", "zsh", "fish"} {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	return nil
}

// noCompiler compiles a program, because a gcc without the C library's headers is no use.
func noCompiler(ctx context.Context) error {
	cc := "gcc"
	if v := strings.Fields(os.Getenv("CC")); len(v) > 0 {
		cc = v[0]
	}
	cmd := exec.CommandContext(ctx, cc, "-x", "c", "-fsyntax-only", "-")
	cmd.Stdin = strings.NewReader("#include <stdlib.h>\nint main(void) { return 0; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w %s", cc, err, out)
	}
	return nil
}

// provide installs what is missing, saying what and why, or finds a way without.
func provide(ctx context.Context, stdout, stderr io.Writer) error {
	missing := stillMissing(ctx)
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintln(stdout, "The tests need what is not on this machine yet:")
	for _, n := range missing {
		fmt.Fprintf(stdout, "  %s (%s)\n", n.why, strings.Join(n.packages, ", "))
	}
	err := aptProvide(ctx, missing, stdout, stderr)
	if missing = stillMissing(ctx); len(missing) == 0 {
		return nil
	}
	if err == nil {
		err = errors.New("apt-get brought the packages, but")
	}
	for _, n := range missing {
		reason := n.missing(ctx)
		if n.servers && services.DockerAnswers() == nil {
			fmt.Fprintln(stdout, "Using the docker engine here instead.")
			if err := services.PullImages(ctx, stderr); err != nil {
				return err
			}
			continue
		}
		return fmt.Errorf("%w: missing %s: %w; please install %s", err, n.why, reason, strings.Join(n.packages, ", "))
	}
	return nil
}

func stillMissing(ctx context.Context) (missing []need) {
	for _, n := range needs() {
		if n.missing(ctx) != nil {
			missing = append(missing, n)
		}
	}
	return missing
}

// aptProvide installs Debian packages, as root or through sudo, or unpacks them.
func aptProvide(ctx context.Context, missing []need, stdout, stderr io.Writer) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("this system has no apt-get")
	}
	prefix := []string{"env"}
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return errors.New("apt-get needs root or sudo")
		}
		prefix = []string{"sudo", "env"} // sudo clears the environment
	}
	prefix = append(prefix, "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q",
		// Another apt-get may be at work, and mirrors do fail now and then.
		"-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
	apt := func(args ...string) error {
		line := append(append([]string{}, prefix...), args...)
		fmt.Fprintln(stdout, "+", strings.Join(line, " "))
		cmd := exec.CommandContext(ctx, line[0], line[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stderr, stderr
		return cmd.Run()
	}
	if err := apt("update"); err != nil {
		// One broken source of a third party must not stop us: install says whether it matters.
		fmt.Fprintln(stdout, "apt-get update:", err)
	}
	var packages []string
	var errs []error
	for _, n := range missing {
		if n.unpack == nil {
			packages = append(packages, n.packages...)
		} else {
			errs = append(errs, n.unpack(ctx))
		}
	}
	if len(packages) > 0 {
		if err := apt(append([]string{"install", "--yes", "--no-install-recommends"}, packages...)...); err != nil {
			errs = append(errs, fmt.Errorf("apt-get install: %w", err))
		}
	}
	return errors.Join(errs...)
}
