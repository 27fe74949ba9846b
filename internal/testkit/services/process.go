package services

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second // two busy cores under -race; a start takes well under a second otherwise
	stopTimeout  = 30 * time.Second
	tailBytes    = 4 << 10
	portTries    = 5
)

// process is one server that can be started again and again with the same command.
type process struct {
	name  string // of the program
	image string // the container image to take where the program is not installed
	dir   string // all its files
	port  int
	args  func() []string // asked at every start
	ping  func() error    // nil once the server answers

	mu  sync.Mutex
	run *running // the latest start; nil before the first one
}

// running is one life of a process.
type running struct {
	cmd    *exec.Cmd
	signal func(syscall.Signal) error
	ended  <-chan struct{}
}

// Log is the path of the server's log, all lives in one file.
func (p *process) Log() string { return filepath.Join(p.dir, "log") }

// Port is the server's port on 127.0.0.1; it stays the same over restarts.
func (p *process) Port() int { return p.port }

// Start starts the server, again after Stop or Kill, and returns when it answers.
func (p *process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && !p.run.over() {
		return fmt.Errorf("%s is running already", p.name)
	}
	log, err := os.OpenFile(p.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	c, err := p.command(p.args()...)
	if err != nil {
		return err
	}
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = p.dir, log, log
	if p.run, err = launch(c); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return p.ready()
}

// startOnFreePort is the first start: the port is drawn here, and drawn again when somebody else took it
// between the look and the server's bind.
func (p *process) startOnFreePort() error {
	var err error
	for range portTries {
		if p.port, err = FreePort(); err != nil {
			return err
		}
		err = p.Start()
		if err == nil || !errors.Is(err, errEnded) || portFree(p.port) {
			return err
		}
	}
	return err
}

var errEnded = errors.New("ended before it answered")

// ready waits until the server answers, and no longer than it lives.
func (p *process) ready() error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := p.ping()
		if err == nil && !p.run.over() {
			return nil
		}
		select {
		case <-p.run.ended:
			return fmt.Errorf("%s %w (%s); end of %s:\n%s", p.name, errEnded, p.run.cmd.ProcessState, p.Log(), p.LogTail())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(
				fmt.Errorf("%s does not answer after %s: %w; end of %s:\n%s", p.name, startTimeout, err, p.Log(), p.LogTail()),
				p.end(syscall.SIGKILL))
		}
	}
}

// Stop ends the server as an operator would (SIGTERM) and waits. It may be called twice.
func (p *process) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || p.run.over() {
		return nil
	}
	// A frozen process would not read its SIGTERM.
	return errors.Join(p.run.signal(syscall.SIGCONT), p.end(syscall.SIGTERM))
}

// Kill ends the server at once (SIGKILL), frozen or not, and waits until it is gone.
func (p *process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || p.run.over() {
		return nil
	}
	return p.end(syscall.SIGKILL)
}

// Pause freezes the server (SIGSTOP): connections stay open and nobody answers.
func (p *process) Pause() error { return p.tell(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *process) Resume() error { return p.tell(syscall.SIGCONT) }

func (p *process) tell(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || p.run.over() {
		return fmt.Errorf("%s is not running", p.name)
	}
	return p.run.signal(sig)
}

// end signals the running server and waits for its end; one that does not obey is killed, which is an error.
func (p *process) end(sig syscall.Signal) error {
	if err := p.run.signal(sig); err != nil && !p.run.over() {
		return fmt.Errorf("%s to %s: %w", sig, p.name, err)
	}
	select {
	case <-p.run.ended:
		return nil
	case <-time.After(stopTimeout):
	}
	err := fmt.Errorf("%s did not end within %s of %s; end of %s:\n%s", p.name, stopTimeout, sig, p.Log(), p.LogTail())
	if sig != syscall.SIGKILL {
		err = errors.Join(err, p.run.signal(syscall.SIGKILL))
	}
	return err
}

func (r *running) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func launch(c command) (*running, error) {
	ended, err := Child(c.cmd)
	return &running{cmd: c.cmd, signal: c.signal, ended: ended}, err
}

// Child starts a command so that it dies with this process, even when that is killed. ended is closed when it is
// gone; its ProcessState says how. It has a process group of its own.
//
// Pdeathsig is sent when the parent *thread* ends, and Go ends threads as it likes. So one goroutine, locked
// to its thread, starts the child and stays with it until it is gone.
func Child(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	cmd.SysProcAttr = childAttr()
	started, over := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // its ProcessState says the same
		close(over)
	}()
	return over, <-started
}

// LogTail is the end of the server's log, for error messages.
func (p *process) LogTail() string {
	f, err := os.Open(p.Log())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// FreePort draws a port below the range from which systems take the local ends of outgoing connections
// (Linux: 32768 up): a port from within it may be taken while its server is down, and a client that keeps
// dialling a closed port of that range even connects to itself once in a while.
func FreePort() (int, error) {
	const low, high = 15000, 32000
	for range 1000 {
		if port := low + rand.IntN(high-low); portFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 15000 and 32000 on 127.0.0.1")
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", addr(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// find looks a program up; servers live in sbin folders, which are not in the PATH of a normal Debian user.
func find(name string) (string, error) {
	names := []string{name}
	if name == "redis-server" {
		// One program under two names, of which Debian ships this one without a system service (redis-tools).
		names = append(names, "redis-check-rdb")
	}
	dirs := []string{"", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"}
	dirs = append(dirs, unpackedDirs(name)...)
	for _, n := range names {
		for _, dir := range dirs {
			if path, err := exec.LookPath(filepath.Join(dir, n)); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}
