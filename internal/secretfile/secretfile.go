// Package secretfile reads files that hold a secret, and refuses those that do not keep it.
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// maxBytes is far beyond any secret or URL.
const maxBytes = 64 << 10

// Read gives the content of a file that holds a secret. It refuses a symbolic link, because whoever may change
// the link chooses the secret. It refuses a file that every user of the machine may read or change. The error
// completes the sentence "the file …" and holds nothing of the content.
func Read(path string) ([]byte, error) {
	// O_NONBLOCK: opening a named pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the file
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("is a symbolic link: %s: put the file itself there", path)
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("is no regular file: %s", path)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("every user of this machine can open: %s: chmod 600 it", path)
	case info.Mode().Perm()&0o020 != 0:
		return nil, fmt.Errorf("its group can change: %s: chmod 640 or 600 it", path)
	case info.Size() > maxBytes:
		return nil, fmt.Errorf("is too large for a secret: %s", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxBytes))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	return raw, nil
}

// readError keeps the cause for errors.Is and leaves the operation out of the text.
type readError struct{ err error }

func (e readError) Error() string { return strings.TrimPrefix(e.err.Error(), "open ") }
func (e readError) Unwrap() error { return e.err }

func cause(err error) error { return readError{err} }
