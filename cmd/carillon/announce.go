package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"carillon/internal/config"
	"carillon/models"
)

// announce tells the person who started a process where it listens and what to do next.
func announce(a *app, s *system) {
	out, url := a.stdout, s.url()
	fmt.Fprintf(out, "Carillon serves %s at %s\n\n", s.roles, url)
	if s.dir != nil {
		fmt.Fprintf(out, "  data directory   %s\n", models.Shown(s.dir.Path()))
	} else {
		name, _ := ledgerName(a.ctx, a.cfg, s.ledger) // the ledger has just answered
		fmt.Fprintf(out, "  ledger           %s\n", name)
	}
	if s.inside == nil {
		fmt.Fprintf(out, "  redis            %s\n", config.Place(a.cfg.RedisURL))
	}
	if s.roles.api {
		fmt.Fprintf(out, "  console          %s   (log in with the output of: %s)\n", s.console(), s.tokenCommand(a))
	}
	fmt.Fprintf(out, "  health           %s/readyz\n", url)
	if !s.roles.api {
		return
	}
	fmt.Fprintf(out, `
Add a user, then send to all users:

%s \
  -d '{"users":[{"userID":"alice","nickname":"Alice"}]}'
%s \
  -d '{"sendID":"%s","content":{"content":"hello world!"},"contentType":101,"sessionType":1,"isSendAll":true}'

`, s.curl(a, "/v1/users"), s.curl(a, "/msg/batch_send_msg"), s.api.Admins[0])
}

// curl is the beginning of a command that posts JSON to a route, ready to paste into a shell.
func (s *system) curl(a *app, path string) string {
	return fmt.Sprintf(`curl -sS -X POST %s%s -H "token: $(%s)" -H 'operationID: try-it' -H 'Content-Type: application/json'`, s.url(), path, s.tokenCommand(a))
}

// tokenCommand is a shell command for this machine that prints an admin's token.
func (s *system) tokenCommand(a *app) string {
	cmd := program() + " token"
	if a.cfg.Config != "" {
		if path, err := filepath.Abs(a.cfg.Config); err == nil {
			cmd = program() + " --config " + quote(path) + " token"
		}
	}
	if s.dir != nil {
		cmd = "CARILLON_DATA_DIR=" + quote(s.dir.Path()) + " " + cmd
	}
	return cmd
}

// program is the command that calls this program again.
func program() string {
	self, err := os.Executable()
	if err != nil {
		return "carillon"
	}
	if found, err := exec.LookPath("carillon"); err == nil && sameFile(found, self) {
		return "carillon"
	}
	if strings.Contains(self, string(filepath.Separator)+"go-build") { // `go run` removes the file when it ends
		return "go run ./cmd/carillon"
	}
	return quote(self)
}

func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// quote quotes a path as one word of a shell.
func quote(path string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if !slices.ContainsFunc([]rune(path), func(r rune) bool { return !plain(r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// url is the address of this process for a caller on this machine.
func (s *system) url() string { return "http://" + reachable(s.listener.Addr().String()) }

// console is the address of the console for a browser on this machine.
func (s *system) console() string { return s.url() + s.api.Path("/") }

// reachable turns an address to listen on into an address to connect to. An address that means all
// interfaces becomes loopback.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func (r roles) String() string {
	var names []string
	for _, role := range []struct {
		on   bool
		name string
	}{{r.api, "api"}, {r.worker, "worker"}, {r.scheduler, "scheduler"}} {
		if role.on {
			names = append(names, role.name)
		}
	}
	return strings.Join(names, ", ")
}
