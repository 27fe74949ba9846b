package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"carillon/internal/testkit/services"
)

// stopLimit is what R5 grants a process after SIGTERM.
const stopLimit = 10 * time.Second

// buildBinary builds the product as it is shipped, or with the race detector; flags are go build's own.
func buildBinary(ctx context.Context, dir string, race bool, flags ...string) (string, error) {
	bin := filepath.Join(dir, "carillon")
	args, cgo := []string{"build", "-o", bin}, "CGO_ENABLED=0"
	if race {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	args = append(append(args, flags...), "carillon/cmd/carillon")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// Child is one process of the product, which can be started again and again. All its lives write one log.
type Child struct {
	Name string
	URL  string // where it serves HTTP
	bin  string
	args []string
	env  []string
	log  string

	probe string // the file of its readings; "" = it writes none

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended <-chan struct{} // nil before the first start
}

func (c *Child) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin, args...)
	// Nothing of the caller's environment: a CARILLON_ setting there would change what is tried.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(c.log), "GOTRACEBACK=all"}, c.env...)
	cmd.Dir = filepath.Dir(c.log)
	return cmd
}

// Run runs another command of the same binary with the same settings and returns what it printed.
func (c *Child) Run(ctx context.Context, args ...string) (string, error) {
	out, err := c.command(ctx, args...).Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("carillon %s: %w: %s", args[0], err, exit.Stderr)
	}
	return string(out), err
}

// Start starts the process if it is not running.
func (c *Child) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running() {
		return nil
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	c.cmd = c.command(context.Background(), c.args...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.ended, err = services.Child(c.cmd)
	return err
}

func (c *Child) running() bool {
	if c.ended == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Alive says whether it runs.
func (c *Child) Alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running()
}

// Signal sends a signal; to a process that is gone it does nothing.
func (c *Child) Signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running() {
		_ = c.cmd.Process.Signal(sig)
	}
}

// Kill is kill -9. It returns when the process is gone.
func (c *Child) Kill() {
	c.Signal(syscall.SIGKILL)
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// Term is SIGTERM: how long the process took to end, and with which exit code. One that takes longer than
// twice the limit is killed, and its code is -1.
func (c *Child) Term() (took time.Duration, code int) {
	begun := time.Now()
	c.Signal(syscall.SIGTERM)
	c.mu.Lock()
	ended, cmd := c.ended, c.cmd
	c.mu.Unlock()
	if ended == nil {
		return 0, 0
	}
	select {
	case <-ended:
	case <-time.After(2 * stopLimit):
		c.Signal(syscall.SIGQUIT) // its goroutines stand in the log then
		select {
		case <-ended:
		case <-time.After(time.Second):
			c.Kill()
		}
		return time.Since(begun), -1
	}
	return time.Since(begun), cmd.ProcessState.ExitCode()
}
