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
		user User
		want string
	}{
		{"all fields", User{UserID: "bob ", Nickname: "Bób 🙂", FaceURL: "https://faces/1", Timezone: "America/Argentina/Buenos_Aires", Ex: "{\n}"}, ""},
		{"only the ID", User{UserID: strings.Repeat("b", 64)}, ""},
		{"at the limits", User{UserID: "b", Nickname: strings.Repeat("ó", 255), FaceURL: strings.Repeat("f", 1024), Timezone: "UTC", Ex: strings.Repeat("e", 8192)}, ""},
		{"no ID", User{}, "userID must not be empty"},
		{"long ID", User{UserID: strings.Repeat("b", 65)}, "userID " + id},
		{"over the limits", User{UserID: "b", Nickname: strings.Repeat("ó", 256), FaceURL: strings.Repeat("f", 1025), Ex: strings.Repeat("e", 8193)},
			"nickname must be at most 255 characters, has 256; faceURL must be at most 1024 bytes, has 1025; ex must be at most 8192 bytes, has 8193"},
		{"control characters", User{UserID: "b\n", Nickname: "\x00", FaceURL: "a\tb", Ex: "\x00"},
			"userID " + line + "; nickname " + line + "; faceURL " + line + "; ex must not hold a NUL character"},
		{"not UTF-8", User{UserID: "\xff", Nickname: "M\xfcller", FaceURL: "\xff", Timezone: "\xff", Ex: "\xff"},
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
			if found := (User{UserID: "b", Timezone: zone}).Check(); len(found) != 1 || found[0].Field != "timezone" {
				t.Errorf("zone %q: %v", zone, found)
			}
		}
	}
}
