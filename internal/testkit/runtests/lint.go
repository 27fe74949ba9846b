package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// golangci-lint as everybody has it: .golangci.yml is written for this version.
const (
	golangci        = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"
	golangciVersion = "v2.15.0"
)

// errCannotLint says that nothing was found because nobody could look, mostly for want of a network.
var errCannotLint = errors.New("not linted")

// lintAlone is `make lint`.
func lintAlone(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if err := lint(ctx, args, stdout); err != nil {
		fmt.Fprintln(stderr, "lint:", err)
		return 1
	}
	return 0
}

// lintBeside lints while the tests run. end waits for the result and gives it to the report.
//
//   - The first build of golangci-lint takes minutes of both cores. Beside the tests it costs the time in which they wait.
//   - All of it runs at the lowest priority, so that the tests keep their pace.
//   - The output is shown as a whole when lint has ended.
func lintBeside(ctx context.Context, stdout io.Writer) (end func(*report)) {
	began, done := time.Now(), make(chan error, 1)
	go func() {
		var out bytes.Buffer
		err := lint(ctx, nil, &out)
		word := "ok"
		if err != nil {
			word = "FAIL"
		}
		fmt.Fprintf(stdout, "%-5s lint  %s\n%s", word, time.Since(began).Round(10*time.Millisecond), out.Bytes())
		done <- err
	}()
	return func(r *report) { r.linted(<-done, os.Getenv("CI") != "") }
}

// linted notes how lint has ended.
func (r *report) linted(err error, ci bool) {
	switch {
	case errors.Is(err, errCannotLint) && !ci:
		fmt.Fprintf(r.out, "\nNOT LINTED, which would be a failure with CI=true: %v\n", err)
	case err != nil:
		r.fault(fmt.Errorf("lint: %w", err))
	}
}

// lint holds go.mod against the code, and the code against .golangci.yml.
func lint(ctx context.Context, args []string, out io.Writer) error {
	tidy, err := tidyDiff(ctx)
	if err != nil {
		return err
	}
	if len(tidy) > 0 {
		fmt.Fprintf(out, "%s", tidy)
		return errors.New("go.mod or go.sum is not tidy: go mod tidy")
	}
	program, err := golangciLint(ctx, out)
	if err != nil {
		return err
	}
	// Two of them at once wait for each other instead of failing.
	cmd := lowly(ctx, program, append([]string{"run", "--allow-serial-runners"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("golangci-lint: %w", err)
	}
	return nil
}

// tidyDiff is what `go mod tidy` would change.
func tidyDiff(ctx context.Context) ([]byte, error) {
	cmd := lowly(ctx, "go", "mod", "tidy", "-diff")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	diff, err := cmd.Output()
	if err != nil && len(diff) == 0 {
		return nil, fmt.Errorf("%w: go mod tidy -diff: %s", errCannotLint, lastLine(stderr.String(), err))
	}
	return diff, nil
}

// golangciLint is the program's file. It is built once for each version of itself and of Go, and kept in the user's cache.
func golangciLint(ctx context.Context, out io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "carillon", "golangci-lint-"+golangciVersion+"-"+runtime.Version())
	program := filepath.Join(dir, "golangci-lint")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	began := time.Now()
	cmd := lowly(ctx, "go", "install", golangci+"@"+golangciVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: golangci-lint %s could not be fetched and built, which needs a network: %s", errCannotLint, golangciVersion, lastLine(stderr.String(), err))
	}
	fmt.Fprintf(out, "built golangci-lint %s, once, in %s\n", golangciVersion, time.Since(began).Round(time.Second))
	return program, nil
}

// lowly is a command that leaves the processors to others, in a group of its own that ends with ctx.
func lowly(ctx context.Context, name string, args ...string) *exec.Cmd {
	if nice, err := exec.LookPath("nice"); err == nil {
		name, args = nice, append([]string{"-n", "19", name}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// lastLine is a program's last word, or the error without one.
func lastLine(text string, err error) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}
