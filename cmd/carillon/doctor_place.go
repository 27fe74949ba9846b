package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"carillon/channels"
)

// The doctor warns when the data directory has less free space than this. A campaign to 1,000,000
// users takes some 100 MiB.
const (
	littleSpace = 1 << 30
	noSpace     = 64 << 20
)

// dataDirectory examines the directory of the embedded database, or the place where it will be
// made. It reports whether the directory can be used.
func (x *examination) dataDirectory() bool {
	path, err := filepath.Abs(x.a.cfg.DataDir)
	place, what := "", ""
	if err == nil {
		place, err = nearestDirectory(path)
	}
	if place != path {
		what = " is not there yet; carillon serve makes it"
	}
	if err == nil {
		err = tryDirectory(place)
	}
	if err != nil {
		x.add("data directory", stateFail, "%s cannot be written: %v: set CARILLON_DATA_DIR to a directory that you may write to, or change its owner", path, err)
		return false
	}
	var at syscall.Statfs_t
	if err := syscall.Statfs(place, &at); err != nil {
		x.add("data directory", stateOK, "%s%s", path, what)
		return true
	}
	free := at.Bavail * uint64(at.Bsize)
	status, hint := space(free)
	x.add("data directory", status, "%s%s; %s free%s", path, what, size(free), hint)
	return status != stateFail
}

// space judges the free bytes of a disk.
func space(free uint64) (status, hint string) {
	switch {
	case free < noSpace:
		return stateFail, ", and a full disk stops everything: make room, or set CARILLON_DATA_DIR to another disk"
	case free < littleSpace:
		return stateWarn, ", which a few large campaigns fill: make room"
	}
	return stateOK, ""
}

func size(bytes uint64) string {
	if bytes >= 10<<30 {
		return fmt.Sprintf("%d GiB", bytes>>30)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// nearestDirectory is path if it exists, else the nearest directory above it.
func nearestDirectory(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is no directory", path)
		case err == nil, !errors.Is(err, fs.ErrNotExist), path == filepath.Dir(path):
			return path, err
		}
		path = filepath.Dir(path)
	}
}

// tryDirectory makes a file in a directory and removes it.
func tryDirectory(path string) error {
	f, err := os.CreateTemp(path, ".carillon-doctor-*")
	if err != nil {
		return errors.Unwrap(err) // the caller names the path
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// clock is the difference between another clock and this machine's, and how exactly it is known.
type clock struct {
	name         string
	ahead, vague time.Duration
}

// readClock asks a clock. The answer belongs to some instant between question and answer.
func readClock(name string, ask func() (time.Time, error)) (clock, error) {
	before := time.Now()
	theirs, err := ask()
	vague := time.Since(before) / 2
	return clock{name, theirs.Sub(before.Add(vague)), vague}, err
}

// compareClocks names the clocks that are apart.
func (x *examination) compareClocks() {
	if len(x.clocks) == 0 {
		return // the embedded stores use this machine's clock
	}
	if found := clocksApart(append([]clock{{name: "this machine"}}, x.clocks...)); len(found) > 0 {
		for _, text := range found {
			x.add("clocks", stateWarn, "%s: let NTP set both", text)
		}
		return
	}
	x.add("clocks", stateOK, "within %s of each other", channels.MaxClockApart)
}

// clocksApart returns a line for each two clocks that are certainly too far apart.
func clocksApart(clocks []clock) (found []string) {
	for i, a := range clocks {
		for _, b := range clocks[i+1:] {
			apart := (b.ahead - a.ahead).Abs()
			if apart-a.vague-b.vague <= channels.MaxClockApart {
				continue
			}
			ahead, behind := b.name, a.name
			if b.ahead < a.ahead {
				ahead, behind = a.name, b.name
			}
			found = append(found, fmt.Sprintf("the clock of %s is %s ahead of that of %s", ahead, apart.Round(100*time.Millisecond), behind))
		}
	}
	return found
}
