package services

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// RunEnv names the test run; containers carry it as a label, so that the run can remove what a killed test
// process left behind.
const RunEnv = "CARILLON_TEST_RUN"

// Where the programs are not installed, the servers are these.
const (
	mariadbImage = "mariadb:lts"
	redisImage   = "redis:7"
)

const label = "carillon-test-run"

// command is a server's command line, to be run here or in a container that sees the same directory.
type command struct {
	cmd    *exec.Cmd
	signal func(syscall.Signal) error
}

// command prefers the installed program and falls back to a container.
func (p *process) command(args ...string) (command, error) {
	path, err := find(p.name)
	if err == nil {
		cmd := exec.Command(path, args...)
		cmd.Args[0] = p.name // Redis goes by the name it is called with
		return command{cmd, func(sig syscall.Signal) error { return cmd.Process.Signal(sig) }}, nil
	}
	if dockerErr := DockerAnswers(); dockerErr != nil {
		return command{}, errors.Join(err, dockerErr)
	}
	name := fmt.Sprintf("carillon-%s-%d-%d", p.name, p.port, time.Now().UnixNano())
	run := []string{"run", "--rm", "--name", name, "--label", label + "=" + os.Getenv(RunEnv),
		// Same user, same path: what the server writes here can be read and removed by the test.
		"--user", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), "--volume", p.dir + ":" + p.dir, "--workdir", p.dir}
	if p.port != 0 {
		run = append(run, "--publish", fmt.Sprintf("127.0.0.1:%d:%d", p.port, p.port))
	}
	run = append(run, "--entrypoint", p.name, p.image)
	return command{
		exec.Command("docker", append(run, args...)...),
		func(sig syscall.Signal) error { return docker("kill", "--signal", fmt.Sprint(int(sig)), name) },
	}, nil
}

// bindAddress is where a server listens: loopback only, or all of its container, of which loopback is published.
func (p *process) bindAddress() string {
	if _, err := find(p.name); err == nil {
		return "127.0.0.1"
	}
	return "0.0.0.0"
}

// Available is nil when private servers can be started here, in whichever way.
func Available() error {
	err := Installed()
	if err == nil {
		return nil
	}
	if dockerErr := DockerAnswers(); dockerErr != nil {
		return errors.Join(err, dockerErr)
	}
	return nil
}

// Installed is nil when all the servers' programs are on this machine.
func Installed() error {
	var errs []error
	for _, program := range []string{"mariadbd", "mariadb-install-db", "my_print_defaults", "redis-server"} {
		_, err := find(program)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// DockerAnswers is nil when there is a docker engine to use.
func DockerAnswers() error { return docker("version", "--format", "{{.Server.Version}}") }

// PullImages fetches the servers' images beforehand: it may take minutes, and a server's start has one.
func PullImages(ctx context.Context, progress io.Writer) error {
	for _, image := range []string{mariadbImage, redisImage} {
		cmd := exec.CommandContext(ctx, "docker", "pull", image)
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("docker pull %s: %w", image, err)
		}
	}
	return nil
}

// RemoveContainers removes what is left of the test run with that name.
func RemoveContainers(run string) error {
	out, err := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "label="+label+"="+run).Output()
	if ids := strings.Fields(string(out)); err == nil && len(ids) > 0 {
		err = docker(append([]string{"rm", "--force"}, ids...)...)
	}
	return err
}

func docker(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
