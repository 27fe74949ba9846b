// Package zones knows the time zones. It reads them from a list of its own and never from the host, so that a name, and
// what it means, is the same on every machine.
package zones

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// database is the file that Go's own distribution carries; make zones brings in the newest.
//
//go:embed zoneinfo.zip
var database []byte

// ErrUnknown is a reason that follows a field's name.
var ErrUnknown = errors.New("must be an IANA time zone such as Europe/Berlin")

// index finds a zone's file by its name, byte for byte.
var index = sync.OnceValue(func() map[string]*zip.File {
	r, err := zip.NewReader(bytes.NewReader(database), int64(len(database)))
	if err != nil {
		panic(fmt.Sprintf("the embedded time zones: %v", err)) // a test reads them all
	}
	files := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		if !strings.HasSuffix(f.Name, "/") {
			files[f.Name] = f
		}
	}
	return files
})

// loaded remembers the zones that were asked for: delivery asks for each chunk, and an import a million times. It holds at
// most the zones of the list.
var loaded sync.Map

// Load gives a zone by its name in the list, in which aliases such as US/Pacific stand, too. Any other name is ErrUnknown.
func Load(name string) (*time.Location, error) {
	if known, ok := loaded.Load(name); ok {
		return known.(*time.Location), nil
	}
	f, ok := index()[name]
	if !ok {
		return nil, ErrUnknown
	}
	loc := time.UTC
	if name != "UTC" {
		var err error
		if loc, err = read(f); err != nil {
			return nil, fmt.Errorf("time zone %s: %w", name, err)
		}
	}
	loaded.Store(name, loc)
	return loc, nil
}

// Of is the zone of a user or a page in a campaign. Users whose zone this program cannot read, since a newer one wrote it, go
// by the campaign's, as those who have none do; known is false then. A campaign's that cannot be read either is UTC.
func Of(name, campaigns string) (loc *time.Location, known bool) {
	loc, err := Load(name)
	if err == nil {
		return loc, true
	}
	if loc, err = Load(campaigns); err != nil {
		loc = time.UTC
	}
	return loc, false
}

func read(f *zip.File) (*time.Location, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	return time.LoadLocationFromTZData(f.Name, data)
}
