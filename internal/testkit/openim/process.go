package openim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"carillon/internal/testkit/services"
)

// Process is a double in a process of its own. It can be killed and started again at the same address.
type Process struct {
	Client
	opts Options

	command []string // that calls Run with the arguments behind it

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended <-chan struct{}
}

// StartProcess starts a double by a command that calls Run with the arguments which are added to it. A program that
// is to be its own double calls Run when its first argument says so, and passes its own path and that argument here.
func StartProcess(o Options, command ...string) (*Process, error) {
	if o.Addr == "" {
		port, err := services.FreePort()
		if err != nil {
			return nil, err
		}
		o.Addr = "127.0.0.1:" + strconv.Itoa(port)
	}
	p := &Process{opts: o, command: command}
	return p, p.Start()
}

// Start starts the process, again after Kill, and returns when it serves. Users and manners are again those of its
// options; what was sent and which tokens stand is known from the log.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	args, err := p.arguments()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(p.command[0], args...)
	p.cmd.Env = append(os.Environ(), "OPENIM_SECRET="+p.opts.Secret)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if p.ended, err = services.Child(p.cmd); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return errors.Join(fmt.Errorf("the double says no address: %w", err), p.kill())
	}
	p.URL = strings.TrimSpace(line)
	return nil
}

// arguments are those of Run. Manners go by a file beside the log.
func (p *Process) arguments() ([]string, error) {
	manners := p.opts.Log + ".manners"
	raw, err := json.Marshal(p.opts.Manners)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Clean(manners), raw, 0o600); err != nil {
		return nil, err
	}
	args := append(slices.Clone(p.command[1:]),
		"--addr", p.opts.Addr, "--log", p.opts.Log, "--users", strconv.Itoa(p.opts.Users), "--seed", strconv.FormatUint(p.opts.Seed, 10),
		"--token-life", p.opts.TokenLife.String(), "--retire", p.opts.Retire.String(), "--manners", manners)
	if p.opts.Admins != nil {
		args = append(args, "--admins", strings.Join(p.opts.Admins, ","))
	}
	return args, nil
}

// Kill is kill -9. It returns when the process is gone.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kill()
}

func (p *Process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
