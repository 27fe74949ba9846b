package zones

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Berlin", "UTC", "Etc/GMT+5", "US/Pacific", "Europe/Kiev", "GMT", "America/Argentina/Ushuaia", "Europe/Berlin"} {
		if loc, err := Load(name); err != nil || loc.String() != name {
			t.Errorf("%s: %v, %v", name, loc, err)
		}
	}
	for _, name := range []string{
		"", "Local", "localtime", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe", "Europe/",
		"Europe/Berlin\x00", "Europe//Berlin", "./UTC", "./Europe/Paris", "Europe/./Berlin", "Europe/Berlin/", "Europe/../UTC", `Europe\Berlin`, " UTC", "UTC ",
		"europe/paris", "EUROPE/PARIS", "utc", "Utc", "zone.tab", "tzdata.zi", "leapseconds", "leap-seconds.list", "SystemV/EST5", "US/Pacific-New", "+02:00", "EST5EDT4",
	} {
		if loc, err := Load(name); !errors.Is(err, ErrUnknown) || loc != nil {
			t.Errorf("%q: %v, %v", name, loc, err)
		}
	}
}

// TestAllZones: each name of the list can be read.
func TestAllZones(t *testing.T) {
	t.Parallel()
	if n := len(index()); n < 590 {
		t.Errorf("%d names", n)
	}
	for name := range index() {
		if _, err := Load(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoZoneIsTheHosts: a host that holds zones of its own, and others by the same names, changes nothing. Two processes are
// compared, since the standard library reads $ZONEINFO once.
func TestNoZoneIsTheHosts(t *testing.T) {
	if os.Getenv("CARILLON_TEST_ZONES") == "" {
		t.Parallel()
		dir := t.TempDir()
		in, err := index()["Asia/Tokyo"].Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Europe/Berlin", "Host/Own"} {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestNoZoneIsTheHosts$", "-test.v")
		cmd.Env = append(os.Environ(), "CARILLON_TEST_ZONES=1", "ZONEINFO="+dir)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if host, err := time.LoadLocation("Europe/Berlin"); err != nil || offset(host) != 9 {
		t.Fatalf("the host's zone is not in use: %v, %v", host, err)
	}
	if loc, err := Load("Europe/Berlin"); err != nil || offset(loc) != 1 {
		t.Errorf("Europe/Berlin is the host's: %v, %v", loc, err)
	}
	if loc, err := Load("Host/Own"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Host/Own: %v, %v", loc, err)
	}
}

func offset(loc *time.Location) int {
	_, seconds := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).In(loc).Zone()
	return seconds / 3600
}
