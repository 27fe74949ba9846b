package models_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/models"
)

func TestInstants(t *testing.T) {
	t.Parallel()
	const notTime, beyond = "must be a time like 2026-01-31T09:00:00Z", "must be from 1970-01-02T00:00:00Z to 9999-12-31T23:59:59Z"
	for text, want := range map[string]struct {
		at     models.Millis
		reason string
	}{
		"2026-01-31T09:00:00Z":          {1769850000000, ""},
		"2026-01-31T09:00:00.1239Z":     {1769850000123, ""},
		"2026-01-31T09:00:00+14:00":     {1769799600000, ""},
		"1970-01-02T00:00:00Z":          {models.MinInstant, ""},
		"1970-01-01T23:59:59.999Z":      {0, beyond},
		"1970-01-01T00:00:00Z":          {0, beyond},
		"1970-01-01T00:00:00.0009Z":     {0, beyond},
		"0000-01-01T00:00:00+23:59":     {0, beyond},
		"9999-12-31T23:59:59.999Z":      {models.MaxInstant, ""},
		"9999-12-31T23:59:59.99999999Z": {models.MaxInstant, ""},
		"9999-12-31T23:59:59-01:00":     {0, beyond},
		"9999-12-31T23:59:59+01:00":     {models.MaxInstant - 3_600_999, ""},
		"10000-01-01T00:00:00Z":         {0, notTime},
		"2026-01-31T09:00:00+25:00":     {0, notTime},
		"2026-02-29T09:00:00Z":          {0, notTime},
		"2026-01-31T09:00:00":           {0, notTime},
		"2026-01-31":                    {0, notTime},
		"1769850000":                    {0, notTime},
		" 2026-01-31T09:00:00Z":         {0, notTime},
		"null":                          {0, notTime},
		"":                              {0, notTime},
	} {
		if at, reason := models.ParseInstant(text); at != want.at || reason != want.reason {
			t.Errorf("%q: %d %q, want %d %q", text, at, reason, want.at, want.reason)
		}
	}
	for text, bad := range map[string]bool{
		"2026-01-31T09:00:00": false, "2026-01-31T09:00:00-07:00": false, "9999-12-31T23:59:59-23:00": false,
		"1970-01-01T12:00:00": true, "0000-01-01T00:00:00": true, "nine": true, "": true,
	} {
		if _, reason := models.ParseWall(text); (reason != "") != bad {
			t.Errorf("%q: %q", text, reason)
		}
	}
}

// Whatever a row holds, an answer can show it and a client can read it.
func TestEveryInstantIsShown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := models.Millis(rapid.Int64().Draw(rt, "m"))
		at, err := time.Parse(time.RFC3339Nano, m.Shown(time.RFC3339Nano))
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := at.MarshalJSON(); err != nil {
			rt.Fatal(err)
		}
		if m >= models.MinInstant && m <= models.MaxInstant && at.UnixMilli() != int64(m) {
			rt.Fatalf("%d is shown as %s", m, at)
		}
	})
}
