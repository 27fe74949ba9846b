package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/internal/config"
)

func TestAdminsComeFromAFile(t *testing.T) {
	t.Parallel()
	path := file(t, "admins", "# who may\r\n\nroot\r\nimAdmin\nroot\nböb , the #1\n")
	c := mustParse(t, env{"CARILLON_ADMINS_FILE": path})
	if err := c.ReadFiles(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Admins, []string{"root", "imAdmin", "böb , the #1"}) {
		t.Errorf("%q", c.Admins)
	}
	if err := c.Validate(config.ForServing); err != nil {
		t.Error(err)
	}
	both := mustParse(t, env{"CARILLON_ADMINS_FILE": path, "CARILLON_ADMINS": "root"})
	if err := both.ReadFiles(); err == nil || err.Error() != "CARILLON_ADMINS and CARILLON_ADMINS_FILE are both set: keep one of them" {
		t.Error(err)
	}
}

// A mistake names the setting and the line, and quotes nothing of the file.
func TestABadFileOfAdmins(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, "admin-%d\n", i)
	}
	open := file(t, "admins", "root\n")
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/nowhere":                            "CARILLON_ADMINS_FILE names a file that cannot be read: /nowhere: no such file or directory",
		filepath.Dir(open):                    "CARILLON_ADMINS_FILE names a file that is no regular file: " + filepath.Dir(open),
		open:                                  "CARILLON_ADMINS_FILE names a file that every user of this machine can change: " + open + ": chmod o-w it",
		file(t, "a", "# x\n"):                 "CARILLON_ADMINS_FILE must name at least one user ID, one a line: ",
		file(t, "a", "root\ntop\x00secret\n"): "CARILLON_ADMINS_FILE: the ID in line 2 of ",
		file(t, "a", "root\n\xff\n"):          "CARILLON_ADMINS_FILE: the ID in line 2 of ",
		file(t, "a", strings.Repeat("topsecret", 8)+"\n"): "CARILLON_ADMINS_FILE: the ID in line 1 of ",
		file(t, "a", many.String()):                       "CARILLON_ADMINS_FILE must name at most 1000 user IDs: ",
		file(t, "a", strings.Repeat("root\n", 30_000)):    "CARILLON_ADMINS_FILE names a file that is too large for a list of admins: ",
	} {
		_, err := config.ReadAdmins(path)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), "top\x00") {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestThePreviousSecretIsOneThatNobodyGuesses(t *testing.T) {
	t.Parallel()
	const secret, before = "Zt8qLm2k3vX9wRpB1sYd7uNcJ4hGe0aF", "k3vX9wRpB1sYd7uNcJ4hGe0aFZt8qLm2"
	for previous, want := range map[string]string{
		before:      "",
		secret:      "CARILLON_SECRET_PREVIOUS must be the secret before, not CARILLON_SECRET: leave it out when no secret is being changed",
		"openIM123": "CARILLON_SECRET_PREVIOUS is a well-known one: anybody could make an admin's token. Make your own with: head -c 32 /dev/urandom | base64",
	} {
		c := mustParse(t, env{"CARILLON_SECRET": secret, "CARILLON_SECRET_PREVIOUS_FILE": file(t, "s", previous+"\n")})
		if err := c.ReadFiles(); err != nil {
			t.Fatal(err)
		}
		err := c.Validate(config.ForServing)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		for _, s := range c.Masked() {
			if strings.Contains(s.Value, previous) {
				t.Errorf("%+v", s)
			}
		}
	}
}
