package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// unpackedNginx is where UnpackNginx puts Debian's files; "" without a cache.
func unpackedNginx() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "carillon", "nginx-debian")
}

// UnpackNginx downloads Debian's package and unpacks it into the user's cache. To install the package would start a
// service.
func UnpackNginx(ctx context.Context) (err error) {
	to := unpackedNginx()
	if to == "" {
		return errors.New("nginx cannot be kept: this user has no cache directory")
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(to), "nginx-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	for _, line := range [][]string{
		{"apt-get", "-q", "-o", "Acquire::Retries=3", "download", nginxName},
		{"sh", "-c", "dpkg-deb -x nginx_*.deb files"},
	} {
		cmd := exec.CommandContext(ctx, line[0], line[1:]...)
		cmd.Dir = tmp
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strconv.Quote(line[0]), err, out)
		}
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(filepath.Join(tmp, "files"), to)
}
