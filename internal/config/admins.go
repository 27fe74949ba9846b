package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"carillon/models"
)

const (
	maxAdmins     = 1000
	maxAdminsFile = 128 << 10 // bytes; more than the longest accepted list needs
)

// readAdmins replaces the list of admins by the IDs in the admins' file.
func (c *Config) readAdmins(m *mistakes) {
	if c.AdminsFile == "" {
		return
	}
	admins, err := ReadAdmins(c.AdminsFile)
	switch {
	case err != nil:
		m.add("%s", err)
	case !slices.Equal(c.Admins, defaultAdmins()) && !slices.Equal(c.Admins, admins):
		m.add("CARILLON_ADMINS and CARILLON_ADMINS_FILE are both set: keep one of them")
	default:
		c.Admins = admins
	}
}

func defaultAdmins() []string {
	field, _ := reflect.TypeFor[Config]().FieldByName("Admins")
	return strings.Split(field.Tag.Get("default"), ",")
}

// ReadAdmins reads a file with one admin's user ID a line. Empty lines and lines that begin with #
// are skipped. Repeats count once. The error names the setting and the line, and quotes nothing.
func ReadAdmins(path string) ([]string, error) {
	raw, err := readAdminsFile(path)
	if err != nil {
		return nil, fmt.Errorf("CARILLON_ADMINS_FILE names a file that %w", err)
	}
	var admins []string
	for i, line := range bytes.Split(raw, []byte("\n")) {
		id := strings.TrimSuffix(string(line), "\r")
		if id == "" || id[0] == '#' {
			continue
		}
		if why := models.CheckID(id); why != "" {
			return nil, fmt.Errorf("CARILLON_ADMINS_FILE: the ID in line %d of %s %s", i+1, path, why)
		}
		if !slices.Contains(admins, id) {
			admins = append(admins, id)
		}
		if len(admins) > maxAdmins {
			return nil, fmt.Errorf("CARILLON_ADMINS_FILE must name at most %d user IDs: %s", maxAdmins, path)
		}
	}
	if len(admins) == 0 {
		return nil, fmt.Errorf("CARILLON_ADMINS_FILE must name at least one user ID, one a line: %s", path)
	}
	return admins, nil
}

// readAdminsFile reads a file that not everybody may change: whoever can change it, can make
// admins. Its error completes a sentence.
func readAdminsFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, errors.New("cannot be read: " + reason(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errors.New("cannot be read: " + reason(err))
	case !info.Mode().IsRegular():
		return nil, errors.New("is no regular file: " + path)
	case info.Mode().Perm()&0o002 != 0:
		return nil, errors.New("every user of this machine can change: " + path + ": chmod o-w it")
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxAdminsFile+1))
	switch {
	case err != nil:
		return nil, errors.New("cannot be read: " + reason(err))
	case len(raw) > maxAdminsFile:
		return nil, errors.New("is too large for a list of admins: " + path)
	}
	return raw, nil
}
