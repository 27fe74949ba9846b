// Package embedded holds the stores that need no installation: a data directory with SQLite in it,
// and a Redis inside the process. Both belong to one process; a lock on the directory keeps others
// out.
package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"carillon/internal/secretfile"
)

// The files of a data directory.
const (
	lockFile     = "lock"
	secretFile   = "secret"
	databaseFile = "carillon.db"
)

// Dir is a data directory. Its path is absolute.
type Dir struct {
	path string
	lock *os.File // nil when Find made the Dir
}

// Lock takes the data directory for this process until Close, and makes it if it is not there. A
// directory that another process has locked is refused.
func Lock(path string) (*Dir, error) {
	d, err := absolute(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("the data directory cannot be made: %w: set CARILLON_DATA_DIR to a directory that you may write to", err)
	}
	d.closeToOthers()
	f, err := os.OpenFile(d.file(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be used: %w: set CARILLON_DATA_DIR to a directory that you may write to", err)
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(&InUseError{d.path}, f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("the data directory %s cannot be locked: %w", d.path, err), f.Close())
	}
	d.lock = f
	// SQLite gives its other files the mode of this file.
	db, err := os.OpenFile(d.file(databaseFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the data directory cannot be used: %w", err), d.Close())
	}
	return d, db.Close()
}

// Find returns a data directory that Lock has made, whether or not a process holds it. It never
// makes a directory.
func Find(path string) (*Dir, error) {
	d, err := absolute(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.file(lockFile)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &NoDirError{d.path}
		}
		return nil, fmt.Errorf("the data directory cannot be used: %w", err)
	}
	return d, nil
}

// NoDirError says that there is no data directory at a path.
type NoDirError struct{ Path string }

func (e *NoDirError) Error() string {
	return fmt.Sprintf("there is no data directory at %s: start carillon serve, which makes it, or set CARILLON_DATA_DIR to the one it uses", e.Path)
}

// InUseError says that another process holds the data directory.
type InUseError struct{ Path string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("the data directory %s is in use by another carillon: stop that one, or set CARILLON_DATA_DIR to another directory", e.Path)
}

func absolute(path string) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	return &Dir{path: abs}, nil
}

// closeToOthers takes away other users' access to a directory that was there before, but only if
// everything in it is ours. Somebody's home, or /tmp, stays as it is. Where the change is not
// permitted, the modes of the files protect them.
func (d *Dir) closeToOthers() {
	entries, err := os.ReadDir(d.path)
	foreign := func(e os.DirEntry) bool {
		return e.Name() != lockFile && e.Name() != secretFile && !strings.HasPrefix(e.Name(), databaseFile)
	}
	if err == nil && !slices.ContainsFunc(entries, foreign) {
		_ = os.Chmod(d.path, 0o700)
	}
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// Path is the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// DatabaseURL is the URL of the SQLite file, as models.Open takes it.
func (d *Dir) DatabaseURL() string { return "sqlite:" + d.file(databaseFile) }

// Secret reads the secret that MakeSecret has written.
func (d *Dir) Secret() (string, error) {
	raw, err := secretfile.Read(d.file(secretFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the data directory %s holds no secret: set CARILLON_SECRET to the one that carillon serve was given", d.path)
	}
	if err != nil {
		return "", fmt.Errorf("the data directory's secret is in a file that %w", err)
	}
	secret := strings.TrimSpace(string(raw))
	if secret == "" {
		return "", fmt.Errorf("the secret in %s is empty: remove that file, and carillon serve makes a new one", d.file(secretFile))
	}
	return secret, nil
}

// MakeSecret reads the secret, and makes it first if there is none. Only the holder of the lock may
// call it.
func (d *Dir) MakeSecret() (string, error) {
	if _, err := os.Lstat(d.file(secretFile)); !errors.Is(err, fs.ErrNotExist) {
		return d.Secret()
	}
	// The file is renamed into place, so that `carillon token` never reads half of it.
	tmp := d.file(secretFile + ".new")
	err := os.WriteFile(tmp, []byte(rand.Text()+rand.Text()+"\n"), 0o600)
	if err == nil {
		err = os.Rename(tmp, d.file(secretFile))
	}
	if err != nil {
		return "", fmt.Errorf("the secret cannot be written: %w", err)
	}
	return d.Secret()
}

// Close gives up the directory. It may be called twice.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	err := d.lock.Close() // closing the file gives up the lock
	d.lock = nil
	return err
}
