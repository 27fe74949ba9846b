package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"carillon/internal/testkit/services"
)

// finished is a command that has come to its end.
type finished struct {
	out     []byte
	peakRSS int64
}

// program is a command of the product. Nothing of the caller's environment comes along: a CARILLON_ setting
// there would change what is measured.
func (b *Bench) program(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(b.bin, args...)
	cmd.Dir = b.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "CARILLON_SECRET=" + b.secret}, env...)
	return cmd
}

// command runs a command to its end.
func (b *Bench) command(ctx context.Context, env []string, args ...string) (finished, error) {
	return b.feed(ctx, nil, env, args...)
}

// feed is command with a standard input; nil is an empty one.
func (b *Bench) feed(ctx context.Context, in io.Reader, env []string, args ...string) (finished, error) {
	var out, errs bytes.Buffer
	cmd := b.program(env, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	ended, err := services.Child(cmd)
	if err != nil {
		return finished{}, err
	}
	f := finished{}
	for done := false; !done; {
		f.peakRSS = max(f.peakRSS, peakRSS(cmd.Process.Pid)) // its last look is the peak: nothing tells after the end
		select {
		case <-ended:
			done = true
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			<-ended
			return f, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	f.out = out.Bytes()
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return f, fmt.Errorf("carillon %s: exit code %d: %s", args[0], code, errs.Bytes())
	}
	return f, nil
}

// peakRSS is the most memory a running process held, in bytes; 0 where the system does not tell.
func peakRSS(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return parsePeak(string(raw))
}

func parsePeak(status string) int64 {
	for line := range strings.Lines(status) {
		var kB int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kB); err == nil {
			return kB << 10
		}
	}
	return 0
}

// Service is a carillon that serves, over a Redis that is its own, so that the peaks of both are one
// measurement's.
type Service struct {
	*Client
	bench *Bench
	name  string
	redis *services.Redis
	cmd   *exec.Cmd
	ended <-chan struct{}
	log   string
}

// Serve starts a service over d and returns when it is ready. Stop it even after an error.
func (b *Bench) Serve(ctx context.Context, name string, d *Directory, roles string, settings ...string) (*Service, error) {
	b.runs++
	s := &Service{bench: b, name: fmt.Sprintf("%02d-%s-%d", b.runs, name, d.Users)}
	s.log = filepath.Join(b.dir, s.name+".log")
	var err error
	env := d.env()
	if d.Dir == "" {
		if s.redis, err = services.StartRedis(filepath.Join(b.dir, "redis-"+s.name)); err != nil {
			return s, err
		}
		env = append(env, "CARILLON_REDIS_URL="+s.redis.URL())
	}
	port, err := services.FreePort()
	if err != nil {
		return s, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	env = append(env, "CARILLON_LISTEN="+listen,
		"CARILLON_WEBHOOK_URL="+b.provider.URL(), "CARILLON_WEBHOOK_SECRET="+b.webhookKey)
	env = append(env, settings...)
	token, err := b.command(ctx, env, "token")
	if err != nil {
		return s, err
	}
	s.Client = &Client{base: "http://" + listen, token: strings.TrimSpace(string(token.out)), http: http.Client{Timeout: 30 * time.Second}}
	if b.options.Profile != "" {
		env = append(env, "BENCH_PROFILE="+s.profile())
	}
	log, err := os.Create(s.log)
	if err != nil {
		return s, err
	}
	defer log.Close() // the child has its own copy
	s.cmd = b.program(env, "serve", "--roles", roles)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if s.ended, err = services.Child(s.cmd); err != nil {
		return s, err
	}
	return s, s.awaitReady(ctx)
}

func (s *Service) profile() string { return filepath.Join(s.bench.options.Profile, s.name) }

func (s *Service) awaitReady(ctx context.Context) error {
	for range 600 {
		if err := s.do(ctx, http.MethodGet, "/readyz", nil, nil); err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("carillon ended before it was ready: see %s", s.log)
		default:
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("carillon is not ready after 30 s: see %s", s.log)
}

// peaks fills in the memory that the service and its Redis needed at most.
func (s *Service) peaks(row *Row) (err error) {
	row.PeakRSS = peakRSS(s.cmd.Process.Pid)
	row.RedisPeak, err = redisPeak(s.redis)
	return err
}

// Stop ends the service, after its profile is written if it has one.
func (s *Service) Stop() error {
	var err error
	if s.ended != nil {
		if s.bench.options.Profile != "" {
			err = s.writeProfile()
		}
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(15 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.ended
			err = errors.Join(err, fmt.Errorf("carillon did not end within 15 s of SIGTERM: see %s", s.log))
		}
		s.http.CloseIdleConnections()
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Kill())
	}
	return err
}

func (s *Service) writeProfile() error {
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	for range 100 {
		if _, err := os.Stat(s.profile() + ".cpu.pprof"); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("no profile after 10 s: %s", s.profile())
}
