package services

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const nginxName = "nginx"

// Nginx is a private nginx: one process, which needs no root. There is no container for it: it must reach the test's own
// servers on the loopback.
type Nginx struct{ process }

// nginxFrame holds what is the test's own. Paths are relative to the server's directory.
const nginxFrame = `daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
%s
}
`

// StartNginx starts a server with its files in dir. site is what stands in its http block; it listens on 127.0.0.1:port.
func StartNginx(dir string, site func(port int) string) (*Nginx, error) {
	if err := NginxRuns(); err != nil {
		return nil, err
	}
	dir, err := ownDir(dir)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	n := &Nginx{}
	n.process = process{
		name: nginxName, dir: dir, ping: n.ping,
		args: func() []string {
			// A file that cannot be written is the server's to report.
			_ = os.WriteFile(conf, fmt.Appendf(nil, nginxFrame, site(n.port)), 0o600)
			return []string{"-e", "stderr", "-p", dir, "-c", conf}
		},
	}
	return n, n.startOnFreePort()
}

// URL is http://127.0.0.1:port.
func (n *Nginx) URL() string { return "http://" + addr(n.port) }

func (n *Nginx) ping() error {
	conn, err := net.DialTimeout("tcp", addr(n.port), 2*time.Second)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// NginxRuns is nil when there is an nginx that runs here.
func NginxRuns() error {
	path, err := find(nginxName)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, "-e", "stderr", "-v").CombinedOutput(); err != nil {
		return fmt.Errorf("%s -v: %w: %s", path, err, out)
	}
	return nil
}
