package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/services"
)

// finished is a command that has come to its end.
type finished struct {
	out     []byte
	peakRSS int64
}

// command runs a command to its end.
func (b *Bench) command(ctx context.Context, env []string, args ...string) (finished, error) {
	return b.feed(ctx, nil, env, args...)
}

// feed is command with a standard input; nil is an empty one.
func (b *Bench) feed(ctx context.Context, in io.Reader, env []string, args ...string) (finished, error) {
	var out, errs bytes.Buffer
	cmd := lab.Command(context.Background(), b.bin, b.dir, append(b.secrets(), env...), args...)
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

// secrets are the settings that all processes of a run have.
func (b *Bench) secrets() []string { return []string{"CARILLON_SECRET=" + b.secret} }

// Service is a carillon that serves, over a Redis that is its own, so that the peaks of both are one
// measurement's.
type Service struct {
	*Client
	*lab.Process
	bench *Bench
	redis *services.Redis
}

// Serve starts a service over d and returns when it is ready. Stop it even after an error.
func (b *Bench) Serve(ctx context.Context, name string, d *Directory, roles string, settings ...string) (*Service, error) {
	b.runs++
	name = fmt.Sprintf("%02d-%s-%d", b.runs, name, d.Users)
	s := &Service{bench: b, Process: &lab.Process{Name: name, Bin: b.bin, Args: []string{"serve", "--roles", roles}, Log: filepath.Join(b.dir, name+".log")}}
	var err error
	env := append(b.secrets(), d.env()...)
	if d.Dir == "" {
		if s.redis, err = services.StartRedis(filepath.Join(b.dir, "redis-"+name)); err != nil {
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
	s.URL, s.Env = "http://"+listen, append(env, settings...)
	token, err := s.Run(ctx, "token")
	if err != nil {
		return s, err
	}
	token = strings.TrimSpace(token)
	if s.Client, err = newClient(s.URL, token); err != nil {
		return s, err
	}
	if b.options.Profile != "" {
		s.Env = append(s.Env, "BENCH_PROFILE="+s.profile())
	}
	if err := s.Start(); err != nil {
		return s, err
	}
	return s, s.AwaitReady(ctx, token, 30*time.Second)
}

func (s *Service) profile() string { return filepath.Join(s.bench.options.Profile, s.Name) }

// peaks fills in the memory that the service and its Redis needed at most.
func (s *Service) peaks(row *Row) (err error) {
	row.PeakRSS = peakRSS(s.PID())
	row.RedisPeak, err = redisPeak(s.redis)
	return err
}

// Stop ends the service, after its profile is written if it has one.
func (s *Service) Stop() error {
	var err error
	if s.Alive() {
		if s.bench.options.Profile != "" {
			err = s.writeProfile()
		}
		if _, code := s.Term(stopWithin); code < 0 {
			err = errors.Join(err, fmt.Errorf("carillon did not end within %s of SIGTERM: see %s", stopWithin, s.Log))
		}
	}
	if s.Client != nil {
		s.Close()
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Kill())
	}
	return err
}

// stopWithin is how long a service may take to end.
const stopWithin = 15 * time.Second

func (s *Service) writeProfile() error {
	s.Signal(syscall.SIGUSR1)
	for range 100 {
		if _, err := os.Stat(s.profile() + ".cpu.pprof"); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("no profile after 10 s: %s", s.profile())
}
