package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"carillon/internal/config"
)

// Where the log is JSON every line on stderr is one object; no line holds a secret, in either format.
func TestTheLogIsTextOrJSON(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		flags := append(external("mysql://u:topsecret1@127.0.0.1:1/db?tls=preferred", "redis://:topsecret2@127.0.0.1:1/0"), "--log-format", format, "--log-level", "debug",
			"--secret", "topsecret3 topsecret3", "--secret-previous", "topsecret4 topsecret4", "--webhook-secret", webhookSecret, "--webhook-url", "http://127.0.0.1:1/topsecret5?x=topsecret6", "--webhook-batch", "100", "--webhook-rate", "20")
		p := serve(t, flags...)
		p.until("it says so", func() bool { return strings.Contains(p.stderr.String(), "the database does not answer") })
		get(t, p.url()+"/readyz", "topsecret7")
		p.stop()
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		code, _, failed := finish(t, "serve", "--log-format", format, "--data-dir", write(t, "file", ""), "--listen", "127.0.0.1:0")
		if code != exitFailed {
			t.Errorf("%s: exit code %d", format, code)
		}
		log := p.stderr.String() + failed
		if strings.Contains(log, "topsecret") || strings.Contains(log, "whsec_") {
			t.Errorf("a secret in\n%s", log)
		}
		for line := range strings.Lines(log) {
			var entry struct{ Time, Level, Msg string }
			err := json.Unmarshal([]byte(line), &entry)
			if isJSON := err == nil && entry.Level != "" && entry.Msg != ""; isJSON != (format == "json") {
				t.Errorf("%s: %s", format, line)
			}
		}
		for _, want := range []string{"so a request carries at most 1 recipient", "the database does not answer", "the data directory cannot be made"} {
			if !strings.Contains(log, want) {
				t.Errorf("%s: no %q in\n%s", format, want, log)
			}
		}
	}
	code, _, stderr := finish(t, "serve", "--log-format", "yaml", "--data-dir", filepath.Join(t.TempDir(), "data"))
	oneLine(t, code, stderr, "CARILLON_LOG_FORMAT must be text or json")
}

// The level is a setting like others: from the environment, under a flag.
func TestTheLevelOfTheLogIsASetting(t *testing.T) {
	for name, c := range map[string]struct {
		env  string
		args []string
		want slog.Level
	}{
		"default": {"", nil, slog.LevelInfo}, "environment": {"debug", nil, slog.LevelDebug}, "flag first": {"debug", []string{"--log-level", "error"}, slog.LevelError},
	} {
		t.Setenv("CARILLON_LOG_LEVEL", c.env)
		var line cli
		parser, err := kong.New(&line, append(config.Options(os.LookupEnv), kong.Vars{"version": ""})...)
		if err == nil {
			_, err = parser.Parse(append(c.args, "health"))
		}
		if err != nil || line.Level() != c.want {
			t.Errorf("%s: %v, %v", name, err, line.Level())
		}
	}
	t.Setenv("CARILLON_LOG_LEVEL", "loud")
	if code := run(t.Context(), []string{"health"}, io.Discard, io.Discard); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}
