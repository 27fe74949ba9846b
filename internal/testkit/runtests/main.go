// Command runtests is what `make test` runs: it sees to it that a C compiler (for -race), MariaDB and Redis are
// there, starts private servers, runs all the tests against them and tells what became of every test. A skipped
// test is a failure here. The last line is always "N passed, N failed, N skipped".
//
//	go run ./internal/testkit/runtests [go test flags] [packages, default ./...]
//	go run ./internal/testkit/runtests lint [golangci-lint flags]
//
// With -v it shows what the tests print that pass, such as figures.
//
// Without arguments it also lints, beside the tests. A lint that fails is one of the failed.
// Without a network the first lint is not possible: that is a failure where CI is set in the environment, and a
// message elsewhere.
//
// CARILLON_TEST_MYSQL_URL or CARILLON_TEST_REDIS_URL in the environment names a server to use instead, for
// example MySQL 8.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/services"
)

func main() { lab.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "lint" {
		return lintAlone(ctx, args[1:], stdout, stderr)
	}
	began := time.Now()
	r := newReport(stdout)
	r.all = slices.Contains(args, "-v")
	lintEnds := func(*report) {}
	if len(args) == 0 {
		lintEnds = lintBeside(ctx, stdout)
		args = []string{"-vet=off"} // lint vets
	}
	if err := test(ctx, args, r, stdout, stderr); err != nil {
		r.fault(err)
	}
	lintEnds(r)
	fmt.Fprintf(stdout, "\nfinished after %s\n", time.Since(began).Round(100*time.Millisecond))
	if r.summary() {
		return 0
	}
	return 1
}

func test(ctx context.Context, args []string, r *report, stdout, stderr io.Writer) (err error) {
	if err := provide(ctx, stdout, stderr); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(memory(), "carillon-test-")
	if err != nil {
		return err
	}
	// Everything of the tests is in here too, so that a killed one leaves nothing behind.
	defer func() { err = errors.Join(err, removeAll(dir)) }()
	tmp := filepath.Join(dir, "t")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	s, err := startServers(dir, stdout)
	defer func() { err = errors.Join(err, s.stop()) }()
	if err != nil {
		return err
	}
	return goTest(ctx, args, append(s.env(), "TMPDIR="+tmp), r, stderr)
}

// inMemory is a file system of Linux that lies in memory; roomy is the free space from which the tests use it. The
// data of the servers and of all tests take less than a third of that.
const (
	inMemory = "/dev/shm"
	roomy    = 6 << 30
)

// memory is the directory for all files of the tests: in memory, if there is room, and else "", which stands for the
// machine's temporary directory. Each commit of SQLite waits for the disk, and for every other commit there. No test
// pulls the plug of the machine, and what a killed process has written stays in either place.
func memory() string {
	var fs syscall.Statfs_t
	if syscall.Statfs(inMemory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < roomy {
		return ""
	}
	return inMemory
}

// removeAll gives what interrupted tests have started a moment to end: it may still be writing.
func removeAll(dir string) (err error) {
	for range 50 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// servers are what one run of the tests shares.
type servers struct {
	run             string
	mysql, redis    string
	stops           []func() error
	usingContainers bool
}

// startServers starts what the environment does not name. What it returns must be stopped even after an error.
func startServers(dir string, stdout io.Writer) (*servers, error) {
	began := time.Now()
	s := &servers{run: rand.Text()[:8], mysql: os.Getenv("CARILLON_TEST_MYSQL_URL"), redis: os.Getenv("CARILLON_TEST_REDIS_URL")}
	s.usingContainers = services.Installed() != nil
	if err := os.Setenv(services.RunEnv, s.run); err != nil {
		return s, err
	}
	if s.mysql == "" {
		m, err := services.StartMariaDB(filepath.Join(dir, "mariadb"), services.FastDurability()...)
		if err != nil {
			return s, err
		}
		s.mysql, s.stops = m.URL(), append(s.stops, m.Kill)
	}
	if s.redis == "" {
		r, err := services.StartRedis(filepath.Join(dir, "redis"))
		if err != nil {
			return s, err
		}
		s.redis, s.stops = r.URL(), append(s.stops, r.Kill)
	}
	versions, err := services.Versions(s.mysql, s.redis)
	if err == nil {
		fmt.Fprintf(stdout, "stores: embedded, and %s, started in %s\n", versions, time.Since(began).Round(10*time.Millisecond))
	}
	return s, err
}

func (s *servers) env() []string {
	return []string{
		"CARILLON_TEST_MYSQL_URL=" + s.mysql,
		"CARILLON_TEST_REDIS_URL=" + s.redis,
		"CARILLON_TEST_REQUIRE=1",
		services.RunEnv + "=" + s.run,
	}
}

// stop kills: the data is thrown away, so nothing is gained by an orderly end.
func (s *servers) stop() error {
	var errs []error
	for _, stop := range s.stops {
		errs = append(errs, stop())
	}
	if s.usingContainers {
		errs = append(errs, services.RemoveContainers(s.run))
	}
	return errors.Join(errs...)
}

// goTest runs `go test` and feeds its events to r. Failed tests are r's to count; an error is about the run.
func goTest(ctx context.Context, args, env []string, r *report, stderr io.Writer) error {
	// More packages and tests at a time than there are cores, because most tests wait for most of their time.
	// A package's tests may take longer than go's own ten minutes; each test has limits of its own.
	// Without the debugger's tables each of the 45 test programs links in two thirds of the time.
	args = append([]string{"test", "-race", "-json", "-ldflags=-s -w", "-p=2", "-parallel=4", "-timeout=45m"}, args...)
	if !namesPackages(args) {
		args = append(args, longestFirst...)
		args = append(args, "./...")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), append(env, "CGO_ENABLED=1", "GOFLAGS="+uninstrumented())...) // -race needs cgo, whatever the Makefile says
	cmd.Stderr = stderr
	// The tests are children of `go test`: a group of their own can be ended as a whole.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.read(out)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) && r.failed() > 0 {
		err = nil // its reasons are in the report
	}
	return errors.Join(readErr, err)
}

// uninstrumented are the GOFLAGS that leave the race detector out of packages that share no memory with ours:
//
//   - SQLite, which is C translated to Go, with a heap of its own;
//   - its driver, which copies every value to and from that heap;
//   - the interpreter of scripts in the embedded Redis, whose values never leave the goroutine of a connection.
//
// They took two thirds of the work of a test with the embedded stores. Every access of ours and every lock is still
// seen. One kind of race is not: to change a []byte while a statement of SQLite reads it. The same bodies run on
// MariaDB, whose driver is instrumented.
//
// They are GOFLAGS, so that a test that builds the program with the race detector builds these packages once.
func uninstrumented() string {
	flags := os.Getenv("GOFLAGS")
	for _, pkgs := range []string{"modernc.org/...", "github.com/glebarez/go-sqlite", "github.com/yuin/gopher-lua/..."} {
		flags += " -gcflags=" + pkgs + "=-race=false"
	}
	return strings.TrimSpace(flags)
}

// longestFirst are the packages with which a run of all begins: jobs alone takes most of the time.
var longestFirst = []string{"./jobs", "./models", "./cmd/carillon", "./handlers"}

// namesPackages tells whether the arguments choose packages themselves.
func namesPackages(args []string) bool {
	for _, a := range args {
		if strings.HasPrefix(a, "./") || a == "." || a == "carillon" || strings.HasPrefix(a, "carillon/") {
			return true
		}
	}
	return false
}
