package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// unpackedPackages are the Debian packages of programs that tests run: to install one of these packages would start a
// service.
var unpackedPackages = map[string]string{
	nginxName: "nginx",
	promtool:  "prometheus",
}

// unpackedAt is where Unpack puts the files of a package; "" without a cache.
func unpackedAt(pkg string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "carillon", pkg+"-debian")
}

// unpackedDirs are where a program of an unpacked package may be.
func unpackedDirs(name string) []string {
	pkg := unpackedPackages[name]
	if pkg == "" || unpackedAt(pkg) == "" {
		return nil
	}
	return []string{filepath.Join(unpackedAt(pkg), "usr/sbin"), filepath.Join(unpackedAt(pkg), "usr/bin")}
}

// Unpack downloads a Debian package and unpacks it into the user's cache.
func Unpack(ctx context.Context, pkg string) (err error) {
	to := unpackedAt(pkg)
	if to == "" {
		return fmt.Errorf("%s cannot be kept: this user has no cache directory", pkg)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(to), pkg+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	for _, line := range [][]string{
		{"apt-get", "-q", "-o", "Acquire::Retries=3", "download", pkg},
		{"sh", "-c", "dpkg-deb -x " + pkg + "_*.deb files"},
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
