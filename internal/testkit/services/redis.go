package services

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Redis is a private Redis server.
type Redis struct {
	process
	password string
}

// StartRedis starts a server with its files in dir, which is made if absent and whose data, if any, is used
// again. settings are lines of a redis.conf ("appendfsync always") and win over ours.
func StartRedis(dir string, settings ...string) (*Redis, error) {
	dir, err := ownDir(dir)
	if err != nil {
		return nil, err
	}
	r := &Redis{password: rand.Text()}
	conf := filepath.Join(dir, "redis.conf")
	r.process = process{
		name: "redis-server", image: redisImage, dir: dir, ping: r.ping,
		// A file keeps the password out of the process list; the port is drawn after it is written.
		args: func() []string { return []string{conf, "--port", strconv.Itoa(r.port)} },
	}
	lines := append([]string{
		"bind " + r.bindAddress(),
		"dir " + strconv.Quote(dir),
		"requirepass " + r.password,
		"appendonly yes",
		`save ""`,
		"maxmemory-policy noeviction",
		"databases 1024",
	}, settings...)
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	return r, r.startOnFreePort()
}

// URL is redis://:password@127.0.0.1:port/0.
func (r *Redis) URL() string {
	return fmt.Sprintf("redis://:%s@%s/0", r.password, addr(r.port))
}

func (r *Redis) ping() error {
	_, err := RedisDo(r.URL(), "PING")
	return err
}

// RedisDo runs one command whose answer is one line (PING, INCR, FLUSHDB) on the database of a redis:// URL.
// Some twenty lines of the protocol keep a whole client out of the test runner.
func RedisDo(rawURL string, args ...string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "redis" {
		return "", fmt.Errorf("not a redis:// URL: %q", rawURL)
	}
	conn, err := net.DialTimeout("tcp", u.Host, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if password, ok := u.User.Password(); ok {
		auth := []string{"AUTH", password}
		if user := u.User.Username(); user != "" {
			auth = []string{"AUTH", user, password}
		}
		if _, err := roundTrip(conn, in, auth); err != nil {
			return "", err
		}
	}
	if db := strings.TrimPrefix(u.Path, "/"); db != "" && db != "0" {
		if _, err := roundTrip(conn, in, []string{"SELECT", db}); err != nil {
			return "", err
		}
	}
	return roundTrip(conn, in, args)
}

// roundTrip writes one command and reads a simple string, an integer or an error.
func roundTrip(conn net.Conn, in *bufio.Reader, args []string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if len(line) == 0 || (line[0] != '+' && line[0] != ':') {
		return "", fmt.Errorf("redis answers %s with %q", args[0], line)
	}
	return line[1:], nil
}
