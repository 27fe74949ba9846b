package models

import (
	"strings"
	"testing"
)

func TestUserCheckNamesEachField(t *testing.T) {
	t.Parallel()
	const id, line = "must be at most 64 bytes, has 65", "must not hold control characters"
	for _, tt := range []struct {
		name string
		user UserChange
		want string
	}{
		{"all fields", UserChange{UserID: "bob b", Nickname: new("Bób 🙂"), FaceURL: new("https://faces/1"), Timezone: new("America/Argentina/Buenos_Aires"), Ex: new("{\n}")}, ""},
		{"only the ID", UserChange{UserID: strings.Repeat("b", 64)}, ""},
		{"at the limits", UserChange{UserID: "b", Nickname: new(strings.Repeat("ó", 255)), FaceURL: new(strings.Repeat("f", 1024)), Timezone: new("UTC"), Ex: new(strings.Repeat("e", 8192))}, ""},
		{"no ID", UserChange{}, "userID must not be empty"},
		{"long ID", UserChange{UserID: strings.Repeat("b", 65)}, "userID " + id},
		{"over the limits", UserChange{UserID: "b", Nickname: new(strings.Repeat("ó", 256)), FaceURL: new(strings.Repeat("f", 1025)), Ex: new(strings.Repeat("e", 8193))},
			"nickname must be at most 255 characters, has 256; faceURL must be at most 1024 bytes, has 1025; ex must be at most 8192 bytes, has 8193"},
		{"control characters", UserChange{UserID: "b\n", Nickname: new("\x00"), FaceURL: new("a\tb"), Ex: new("\x00")},
			"userID " + line + " (U+000A); nickname " + line + " (U+0000); faceURL " + line + " (U+0009); ex must not hold a NUL character"},
		{"not UTF-8", UserChange{UserID: "\xff", Nickname: new("M\xfcller"), FaceURL: new("\xff"), Timezone: new("\xff"), Ex: new("\xff")},
			"userID must be valid UTF-8; nickname must be valid UTF-8; faceURL must be valid UTF-8; " +
				"timezone must be an IANA time zone such as Europe/Berlin; ex must be valid UTF-8"},
	} {
		text := ""
		for _, f := range tt.user.Check() {
			text += "; " + f.Field + " " + f.Reason
		}
		if got := strings.TrimPrefix(text, "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, zone := range []string{"Local", "localtime", "posixrules", "posix/UTC", "right/UTC", "Mars/Olympus", "Europe", "../UTC", "/etc/localtime", "Europe/Berlin ", "+02:00",
		"Europe//Berlin", "./UTC", "Europe/./Berlin", "Europe/Berlin/", "Europe/../UTC"} {
		for range 2 { // the second time from memory
			if found := (UserChange{UserID: "b", Timezone: new(zone)}).Check(); len(found) != 1 || found[0].Field != "timezone" {
				t.Errorf("zone %q: %v", zone, found)
			}
		}
	}
}

func TestChangesOfOneUser(t *testing.T) {
	t.Parallel()
	stands := User{UserID: "b", AddedRev: 7, Nickname: "Bob", FaceURL: "f", Timezone: "Europe/Berlin", Ex: "e"}
	if got := (UserChange{UserID: "b"}).on(stands); got != stands {
		t.Errorf("absent: %+v", got)
	}
	cleared := UserChange{UserID: "b", Timezone: new(""), Ex: new("x")}.then(UserChange{UserID: "b", Ex: new(""), Nickname: new("B")})
	if got, want := cleared.on(stands), (User{UserID: "b", AddedRev: 7, Nickname: "B", FaceURL: "f"}); got != want {
		t.Errorf("empty: %+v", got)
	}
}
