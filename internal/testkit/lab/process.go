package lab

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

	"carillon/client"
	"carillon/internal/testkit/services"
)

// Process is one process of the product, which can be started again and again. All its lives write one log.
type Process struct {
	Name string
	URL  string // where it serves HTTP
	Bin  string
	Args []string
	Env  []string // its settings
	Log  string   // a file; the process works in the file's directory

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended <-chan struct{} // nil before the first start
}

// Command is a command of the binary with the given settings, working in dir. Nothing of the caller's environment comes along:
// a CARILLON_ setting there would change what is tried.
func Command(ctx context.Context, bin, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOTRACEBACK=all"}, env...)
	cmd.Dir = dir
	return cmd
}

func (p *Process) command(ctx context.Context, args ...string) *exec.Cmd {
	return Command(ctx, p.Bin, filepath.Dir(p.Log), p.Env, args...)
}

// Run runs another command of the same binary with the same settings and returns what the command printed. A command
// that is a client asks this process.
func (p *Process) Run(ctx context.Context, args ...string) (string, error) {
	cmd := p.command(ctx, args...)
	if p.URL != "" {
		cmd.Env = append(cmd.Env, "CARILLON_SERVER="+p.URL)
	}
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("carillon %s: %w: %s", args[0], err, exit.Stderr)
	}
	return string(out), err
}

// Start starts the process if it is not running.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	p.cmd = p.command(context.Background(), p.Args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.ended, err = services.Child(p.cmd)
	return err
}

// AwaitReady waits until the process can do its work. It has failed after the limit, and when it has ended.
func (p *Process) AwaitReady(ctx context.Context, token string, limit time.Duration) error {
	api, err := NewClient(p.URL, token, limit)
	if err != nil {
		return err
	}
	defer api.Close()
	deadline := time.Now().Add(limit)
	for {
		_, err := client.Data[client.Ready](api.Ready(ctx))
		switch {
		case err == nil:
			return nil
		case !p.Alive():
			return fmt.Errorf("%s ended before it was ready: see %s", p.Name, p.Log)
		case time.Now().After(deadline):
			return fmt.Errorf("%s is not ready after %s: %w: see %s", p.Name, limit, err, p.Log)
		case !Sleep(ctx, 50*time.Millisecond):
			return ctx.Err()
		}
	}
}

func (p *Process) running() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Alive says whether it runs.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// PID is the process' number in its last life; 0 before the first.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Signal sends a signal; to a process that is gone it does nothing.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = p.cmd.Process.Signal(sig)
	}
}

// Kill is kill -9. It returns when the process is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// Term is SIGTERM: how long the process took to end, and with which exit code. One that takes longer than the limit is
// killed, and its code is -1.
func (p *Process) Term(limit time.Duration) (took time.Duration, code int) {
	begun := time.Now()
	p.Signal(syscall.SIGTERM)
	p.mu.Lock()
	ended, cmd := p.ended, p.cmd
	p.mu.Unlock()
	if ended == nil {
		return 0, 0
	}
	select {
	case <-ended:
	case <-time.After(limit):
		p.Signal(syscall.SIGQUIT) // its goroutines stand in the log then
		select {
		case <-ended:
		case <-time.After(time.Second):
			p.Kill()
		}
		return time.Since(begun), -1
	}
	return time.Since(begun), cmd.ProcessState.ExitCode()
}
