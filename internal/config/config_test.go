package config_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"

	"carillon/channels/openim"
	"carillon/channels/webhook"
	"carillon/internal/config"
)

const goodWebhookSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

type env map[string]string

func (e env) lookup(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

func parse(t *testing.T, e env, args ...string) (config.Config, error) {
	t.Helper()
	c, _, err := parsed(t, e, args...)
	return c, err
}

// parsed is parse with what kong knows of it.
func parsed(t *testing.T, e env, args ...string) (config.Config, *kong.Context, error) {
	t.Helper()
	var cli struct {
		config.Config
		Serve struct{} `cmd:""`
	}
	options := append(config.Options(e.lookup), kong.Name("carillon"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) { t.Fatal("exit") }))
	parser, err := kong.New(&cli, options...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := parser.Parse(append([]string{"serve"}, args...))
	return cli.Config, ctx, err
}

// TestOrigins: the command line beats the environment, which beats the file, and each setting says which of them it was.
func TestOrigins(t *testing.T) {
	t.Parallel()
	yaml := file(t, "carillon.yaml", "listen: :1\nwebhook:\n  batch: 7\nmax-attempts: 3\n")
	e := env{
		"CARILLON_CONFIG": yaml, "CARILLON_LISTEN": ":2", "CARILLON_MAX_ATTEMPTS": "4", "CARILLON_SECRET_FILE": file(t, "secret", "0123456789abcdef"), "CARILLON_ADMINS": "",
	}
	c, ctx, err := parsed(t, e, "--max-attempts", "5")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{
		"CARILLON_LISTEN": {":2", "environment"}, "CARILLON_WEBHOOK_BATCH": {"7", "YAML file"}, "CARILLON_MAX_ATTEMPTS": {"5", "command line"},
		"CARILLON_SECRET": {"", "the file of CARILLON_SECRET_FILE"}, "CARILLON_CONFIG": {yaml, "environment"},
	}
	for _, s := range config.Origins(c.Masked(), ctx, e.lookup) {
		if w, listed := want[s.Name]; listed && (s.Value != w[0] || s.From != w[1]) {
			t.Errorf("%+v, want %v", s, w)
		} else if !listed && s.From != "default" {
			t.Errorf("%+v", s)
		}
		delete(want, s.Name)
	}
	for name := range want {
		t.Errorf("%s is not listed", name)
	}
}

func mustParse(t *testing.T, e env, args ...string) config.Config {
	t.Helper()
	c, err := parse(t, e, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	c := mustParse(t, env{})
	if err := c.Validate(config.ForServing); err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:8080" || c.DataDir != "./data" || !c.EmbeddedDatabase() || !c.EmbeddedRedis() || !slices.Equal(c.Admins, []string{"openIMAdmin", "imAdmin"}) ||
		!slices.Equal(names(&c), []string{"inbox"}) || c.Webhook.Batch != 1 || c.Webhook.Timeout != 5*time.Second || c.MaxAttempts != 5 || c.IdempotencyTTL != 168*time.Hour || c.Retention != 0 {
		t.Errorf("%+v", c)
	}
}

func TestEveryMistakeIsOneLineWithVariableAndFix(t *testing.T) {
	t.Parallel()
	const secret = "0123456789012345"
	for name, c := range map[string]struct {
		env  env
		want string
	}{
		"base path without /":     {env{"BASE_PATH": "carillon"}, "CARILLON_BASE_PATH must begin with / and end without it, and hold letters, digits, - and _: for example /carillon"},
		"base path with / at end": {env{"BASE_PATH": "/carillon/"}, "CARILLON_BASE_PATH must begin with / and end without it, and hold letters, digits, - and _: for example /carillon"},
		"base path that climbs":   {env{"BASE_PATH": "/a/../b"}, "CARILLON_BASE_PATH must begin with / and end without it, and hold letters, digits, - and _: for example /carillon"},
		"base path of a header":   {env{"BASE_PATH": "/a;b\r\nX"}, "CARILLON_BASE_PATH must begin with / and end without it, and hold letters, digits, - and _: for example /carillon"},
		"listen without a port":   {env{"LISTEN": "127.0.0.1"}, `CARILLON_LISTEN must be host:port: for example 127.0.0.1:8080, or :8080 for all addresses`},
		"listen on a named port":  {env{"LISTEN": "127.0.0.1:http"}, `CARILLON_LISTEN must be host:port: for example 127.0.0.1:8080, or :8080 for all addresses`},
		"listen beyond all ports": {env{"LISTEN": ":65536"}, `CARILLON_LISTEN must be host:port: for example 127.0.0.1:8080, or :8080 for all addresses`},
		"another database": {env{"DATABASE_URL": "postgres://u:topsecret@h/db", "REDIS_URL": "redis://h", "SECRET": secret},
			"CARILLON_DATABASE_URL must look like mysql://user:password@host:3306/database, special characters of the password percent-encoded; leave it out for SQLite"},
		"a database URL without a database": {env{"DATABASE_URL": "mysql://u:topsecret@h", "REDIS_URL": "redis://h", "SECRET": secret},
			"CARILLON_DATABASE_URL must look like mysql://user:password@host:3306/database, special characters of the password percent-encoded; leave it out for SQLite"},
		"a password that is not encoded": {env{"DATABASE_URL": "mysql://u:topsecret%zz@h/db", "REDIS_URL": "redis://h", "SECRET": secret},
			"CARILLON_DATABASE_URL must look like mysql://user:password@host:3306/database, special characters of the password percent-encoded; leave it out for SQLite"},
		"SQLite somewhere else": {env{"DATABASE_URL": "sqlite:/tmp/x.db", "REDIS_URL": "redis://h", "SECRET": secret},
			"CARILLON_DATABASE_URL must be left out for SQLite: its file is in the data directory, so set CARILLON_DATA_DIR"},
		"a server's database with a Redis of one process": {env{"DATABASE_URL": "mysql://u:p@h/db", "SECRET": secret},
			"CARILLON_REDIS_URL is required with CARILLON_DATABASE_URL: name a Redis that all processes share, or leave both out for the embedded stores"},
		"another Redis": {env{"REDIS_URL": "valkey://:topsecret@h", "SECRET": secret},
			"CARILLON_REDIS_URL must begin with redis://, rediss:// or redis-sentinel://"},
		"a Redis database that is no number": {env{"REDIS_URL": "redis://:topsecret@h/db", "SECRET": secret},
			"CARILLON_REDIS_URL must look like redis://:password@host:6379/0; after the host only the database's number can stand"},
		"a Redis password that is not encoded": {env{"REDIS_URL": "redis://:topsecret%zz@h", "SECRET": secret},
			"CARILLON_REDIS_URL must look like redis://:password@host:6379/0, special characters of the password percent-encoded"},
		"sentinels without a master": {env{"REDIS_URL": "redis-sentinel://h1,h2", "SECRET": secret},
			"CARILLON_REDIS_URL must name the master: redis-sentinel://host:26379,host:26379/0?master=name"},
		"servers without a secret": {env{"DATABASE_URL": "mysql://u:p@h/db", "REDIS_URL": "redis://h"},
			"CARILLON_SECRET is required with CARILLON_DATABASE_URL or CARILLON_REDIS_URL, the same for all processes: make one with: head -c 32 /dev/urandom | base64"},
		"an admin without an ID": {env{"ADMINS": "root,,imAdmin"}, `CARILLON_ADMINS: ID 2 must not be empty: separate the IDs by single commas`},
		"an unknown channel":     {env{"CHANNEL": "sms"}, `CARILLON_CHANNEL must be inbox, webhook or openim`},
		"webhook without a URL":  {env{"CHANNEL": "webhook"}, "CARILLON_WEBHOOK_URL is required with CARILLON_CHANNEL=webhook: set it to where messages are to be posted"},
		"webhook without a secret": {env{"WEBHOOK_URL": "https://h/in"},
			`CARILLON_WEBHOOK_SECRET is required with CARILLON_WEBHOOK_URL: make one with: echo "whsec_$(head -c 32 /dev/urandom | base64)"`},
		"a short webhook secret": {env{"WEBHOOK_URL": "https://h/in", "WEBHOOK_SECRET": "whsec_c2hvcnQ="},
			`CARILLON_WEBHOOK_SECRET must be whsec_ and the base64 of at least 24 bytes: make one with: echo "whsec_$(head -c 32 /dev/urandom | base64)"`},
		"a webhook of another kind": {env{"WEBHOOK_URL": "ftp://h/in?token=topsecret", "WEBHOOK_SECRET": goodWebhookSecret},
			"CARILLON_WEBHOOK_URL must be an absolute http or https URL"},
		"a webhook batch of none": {env{"WEBHOOK_BATCH": "0"}, "CARILLON_WEBHOOK_BATCH must be 1 to 1000 recipients in one post, not 0"},
		"openim without a URL":    {env{"CHANNEL": "openim"}, "CARILLON_OPENIM_URL is required with CARILLON_CHANNEL=openim: set it to OpenIM's API, such as http://openim:10002"},
		"openim without a secret": {env{"OPENIM_URL": "http://h:10002"}, "CARILLON_OPENIM_SECRET is required with CARILLON_OPENIM_URL: it is the secret of OpenIM's share.yml"},
		"openim without a scheme": {env{"OPENIM_URL": "h:10002", "OPENIM_SECRET": "topsecret"}, "CARILLON_OPENIM_URL must be an absolute http or https URL, such as http://openim:10002"},
		"openim too slow":         {env{"OPENIM_TIMEOUT": "9s"}, "CARILLON_OPENIM_TIMEOUT must be 100ms to 8s, with its unit, not 9s"},
		"a negative openim rate":  {env{"OPENIM_RATE": "-1"}, "CARILLON_OPENIM_RATE must be 0 to 1000000 recipients per second; 0 is no limit, not -1"},
		"syncs all the time":      {env{"OPENIM_SYNC": "5s"}, "CARILLON_OPENIM_SYNC must be 0, which syncs only when somebody asks for it, or at least 1m, with its unit: for example 1h"},
		"an age of nothing":       {env{"OPENIM_MAX_AGE": "5s"}, "CARILLON_OPENIM_MAX_AGE must be 0, which is twice CARILLON_OPENIM_SYNC, or at least 1m, with its unit: for example 2h"},
		"a time without its unit": {env{"WEBHOOK_TIMEOUT": "5ns"}, "CARILLON_WEBHOOK_TIMEOUT must be 100ms to 8s, with its unit, not 5ns"},
		"a time too long":         {env{"WEBHOOK_TIMEOUT": "9s"}, "CARILLON_WEBHOOK_TIMEOUT must be 100ms to 8s, with its unit, not 9s"},
		"a negative rate":         {env{"INBOX_RATE": "-1"}, "CARILLON_INBOX_RATE must be 0 to 1000000 recipients per second; 0 is no limit, not -1"},
		"another negative rate":   {env{"WEBHOOK_RATE": "-1"}, "CARILLON_WEBHOOK_RATE must be 0 to 1000000 recipients per second; 0 is no limit, not -1"},
		"no attempts":             {env{"MAX_ATTEMPTS": "0"}, "CARILLON_MAX_ATTEMPTS must be 1 to 100 attempts per recipient, not 0"},
		"tokens by another way":   {env{"OPENIM_TOKENS": "topsecret"}, "CARILLON_OPENIM_TOKENS must be secret or parse"},
		"nobody to ask":           {env{"OPENIM_TOKENS": "parse"}, "CARILLON_OPENIM_URL is required with CARILLON_OPENIM_TOKENS=parse: set it to OpenIM's API, such as http://openim:10002"},
		"asked, and never asked": {env{"OPENIM_TOKENS": "parse", "OPENIM_URL": "http://h", "OPENIM_SECRET": "Zt8qLm2k3vX9wRpB1sYd7uNcJ4hGe0aF", "SECRET": "Zt8qLm2k3vX9wRpB1sYd7uNcJ4hGe0aF"},
			"CARILLON_SECRET and CARILLON_SECRET_PREVIOUS must not be CARILLON_OPENIM_SECRET with CARILLON_OPENIM_TOKENS=parse: make another with: head -c 32 /dev/urandom | base64"},
		"no time to wait":        {env{"BATCH_WAIT": "10ms"}, "CARILLON_BATCH_WAIT must be 0, which answers with the campaign's ID at once, or 100ms to 60s, with its unit: for example 10s"},
		"a long wait":            {env{"BATCH_WAIT": "61s"}, "CARILLON_BATCH_WAIT must be 0, which answers with the campaign's ID at once, or 100ms to 60s, with its unit: for example 10s"},
		"keys forgotten at once": {env{"IDEMPOTENCY_TTL": "0s"}, "CARILLON_IDEMPOTENCY_TTL must be at least 1m, with its unit: for example 168h"},
		"events without a secret": {env{"EVENTS_URL": "https://h/in"},
			`CARILLON_EVENTS_SECRET is required with CARILLON_EVENTS_URL: make one with: echo "whsec_$(head -c 32 /dev/urandom | base64)"`},
		"a short events secret": {env{"EVENTS_URL": "https://h/in", "EVENTS_SECRET": "whsec_c2hvcnQ="},
			`CARILLON_EVENTS_SECRET must be whsec_ and the base64 of at least 24 bytes: make one with: echo "whsec_$(head -c 32 /dev/urandom | base64)"`},
		"a secret for no events": {env{"EVENTS_SECRET": goodWebhookSecret},
			"CARILLON_EVENTS_SECRET does nothing without CARILLON_EVENTS_URL: set the URL that events are to be posted to, or leave the secret out"},
		"events to a place of another kind": {env{"EVENTS_URL": "ftp://h/in?token=topsecret", "EVENTS_SECRET": goodWebhookSecret},
			"CARILLON_EVENTS_URL must be an absolute http or https URL without user and password; the signature proves who is calling"},
		"events to other networks": {env{"EVENTS_NETWORKS": "topsecret"}, "CARILLON_EVENTS_NETWORKS must be any, or public, which refuses private addresses"},
		"events kept briefly":      {env{"EVENTS_RETENTION": "59m"}, "CARILLON_EVENTS_RETENTION must be 0, which keeps events for ever, or at least 1h, with its unit: for example 2160h"},
		"recipients kept briefly":  {env{"RETENTION": "59m"}, "CARILLON_RETENTION must be 0, which keeps recipients for ever, or at least 1h, with its unit: for example 2160h"},
		"a well-known secret":      {env{"SECRET": "openIM123"}, "CARILLON_SECRET is a well-known one: anybody could make an admin's token. Make your own with: head -c 32 /dev/urandom | base64"},
		"the same in capitals":     {env{"SECRET": "OPENIM123"}, "CARILLON_SECRET is a well-known one: anybody could make an admin's token. Make your own with: head -c 32 /dev/urandom | base64"},
		"a short secret":           {env{"SECRET": "k3vX9qLm2"}, "CARILLON_SECRET has only 9 bytes and can be guessed: anybody could make an admin's token. Make your own with: head -c 32 /dev/urandom | base64"},
		"one letter as a secret":   {env{"SECRET": strings.Repeat("a", 40)}, "CARILLON_SECRET has only 1 different characters and can be guessed: anybody could make an admin's token. Make your own with: head -c 32 /dev/urandom | base64"},
		"little memory":            {env{"MEMORY": "64"}, "CARILLON_MEMORY must be 128 to 1048576 MiB, not 64"},
		"another log":              {env{"LOG_FORMAT": "topsecret"}, "CARILLON_LOG_FORMAT must be text or json"},
		"a proxy by name":          {env{"TRUSTED_PROXIES": "10.0.0.1,proxy.local"}, "CARILLON_TRUSTED_PROXIES: entry 2 must be an address such as 10.0.0.7 or a network such as 10.0.0.0/8"},
		"a zone's alias":           {env{"DEFAULT_TIMEZONE": "Europe//Berlin"}, "CARILLON_DEFAULT_TIMEZONE must be an IANA time zone such as Europe/Berlin"},
		"recipients kept no time":  {env{"RETENTION": "-1h"}, "CARILLON_RETENTION must be 0, which keeps recipients for ever, or at least 1h, with its unit: for example 2160h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := env{}
			for k, v := range c.env {
				e["CARILLON_"+k] = v
			}
			cfg := mustParse(t, e)
			err := cfg.Validate(config.ForServing)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// OpenTelemetry's own name holds, in the environment and as a flag.
func TestTheCollectorsAddress(t *testing.T) {
	t.Parallel()
	const name = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, good := range []string{"", "http://localhost:4318", "https://collector.example/base/"} {
		c := mustParse(t, env{name: good})
		if err := c.Validate(config.ForServing); err != nil || c.Traces != good {
			t.Errorf("%q: %v, %q", good, err, c.Traces)
		}
	}
	for _, bad := range []string{"localhost:4317", "grpc://localhost:4317", "http://user:topsecret@h", "http://h?key=topsecret", "http://"} {
		c := mustParse(t, env{name: bad})
		err := c.Validate(config.ForServing)
		if err == nil || !strings.HasPrefix(err.Error(), name+" must be ") || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if c := mustParse(t, env{name: "http://environment"}, "--otel-exporter-otlp-endpoint", "http://flag"); c.Traces != "http://flag" {
		t.Error(c.Traces)
	}
}

func TestTwoMistakesAreTwoLines(t *testing.T) {
	t.Parallel()
	c := mustParse(t, env{"CARILLON_CHANNEL": "sms", "CARILLON_LISTEN": "x"})
	err := c.Validate(config.ForServing)
	if err == nil || len(strings.Split(err.Error(), "\n")) != 2 {
		t.Error(err)
	}
}

func TestValuesOfTheWrongKindNameTheVariable(t *testing.T) {
	t.Parallel()
	for e, want := range map[string]string{
		"CARILLON_WEBHOOK_BATCH":   `must be a whole number (CARILLON_WEBHOOK_BATCH)`,
		"CARILLON_IDEMPOTENCY_TTL": `must be a time with its unit such as 5s, 10m or 168h (CARILLON_IDEMPOTENCY_TTL)`,
	} {
		if _, err := parse(t, env{e: "many"}); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	t.Parallel()
	path := file(t, "c.yaml", "listen: 127.0.0.1:1\nwebhook:\n  batch: 7\n  timeout: 2s\nmax-attempts: 3\nadmins: [a, b]\nsecret: 0123\nredis-url:\n")
	c := mustParse(t, env{"CARILLON_CONFIG": path, "CARILLON_MAX_ATTEMPTS": "4", "CARILLON_WEBHOOK_BATCH": "8", "CARILLON_LISTEN": "", "CARILLON_INBOX_RATE": ""}, "--webhook-batch=9")
	if c.Listen != "127.0.0.1:1" || c.MaxAttempts != 4 || c.Webhook.Batch != 9 || c.Webhook.Timeout != 2*time.Second || !slices.Equal(c.Admins, []string{"a", "b"}) ||
		c.Secret != "0123" || c.RedisURL != "" || c.Inbox.Rate != 0 {
		t.Errorf("%+v", c)
	}
	if c := mustParse(t, env{"CARILLON_CONFIG": "/nowhere"}, "--config="+path); c.MaxAttempts != 3 {
		t.Errorf("--config does not beat CARILLON_CONFIG: %+v", c)
	}
}

func TestBadYAMLIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	typo := file(t, "typo.yaml", "webhook:\n  uri: https://topsecret\n")
	list := file(t, "list.yaml", "- topsecret\n")
	torn := file(t, "torn.yaml", "secret: [topsecret\n")
	for path, want := range map[string]string{
		typo:       `CARILLON_CONFIG: line 2 of ` + typo + ` has a key that is no setting; webhook-url is one: carillon --help-settings lists them`,
		list:       "CARILLON_CONFIG names a file that is not YAML of the form `key: value`: " + list,
		torn:       "CARILLON_CONFIG names a file that is not YAML of the form `key: value`: " + torn,
		"/nowhere": "CARILLON_CONFIG names a file that cannot be read: /nowhere: no such file or directory",
	} {
		_, err := parse(t, env{}, "--config", path)
		if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// A value of the wrong kind is the file's mistake: its line and its key as it stands there, no flag.
func TestBadYAMLNamesTheKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"max-attempts: many\n":                 "line 1 of FILE: the key max-attempts must be a whole number",
		"listen: :1\nwebhook:\n  batch: 1.5\n": "line 3 of FILE: the key webhook.batch must be a whole number",
		"webhook:\n  timeout: 5\n":             "line 2 of FILE: the key webhook.timeout must be a time with its unit such as 5s, 10m or 168h",
		"webhook-timeout: [5s]\n":              "line 1 of FILE: the key webhook-timeout must be one plain value",
		"admins: [[root]]\n":                   "line 1 of FILE: the key admins must be a list of plain values",
		"memory: lots\nretention: long\n":      "line 1 of FILE: the key memory must be a whole number\nCARILLON_CONFIG: line 2 of FILE: the key retention must be a time with its unit such as 5s, 10m or 168h",
	} {
		path := file(t, "c.yaml", text)
		_, err := parse(t, env{}, "--config", path)
		var wrong *config.FileError
		if !errors.As(err, &wrong) || strings.ReplaceAll(wrong.Error(), path, "FILE") != "CARILLON_CONFIG: "+want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
	mustParse(t, env{}, "--config", file(t, "c.yaml", "max-attempts:\nwebhook:\n  timeout:\n  batch: null\n"))
}

func TestAnEmptyFileIsNoMistake(t *testing.T) {
	t.Parallel()
	mustParse(t, env{}, "--config", file(t, "c.yaml", "# nothing yet\n"))
}

func TestSecretsComeFromFiles(t *testing.T) {
	t.Parallel()
	e := env{
		"CARILLON_SECRET_FILE":         file(t, "s", " keeps its spaces \r\n"),
		"CARILLON_DATABASE_URL_FILE":   file(t, "d", "mysql://u:p@h/db\n"),
		"CARILLON_REDIS_URL_FILE":      file(t, "r", "redis://:p@h/0"),
		"CARILLON_WEBHOOK_SECRET_FILE": file(t, "w", goodWebhookSecret+"\n"),
		"CARILLON_WEBHOOK_URL":         "https://h/in",
	}
	c := mustParse(t, e)
	if err := c.ReadFiles(); err != nil {
		t.Fatal(err)
	}
	if c.Secret != " keeps its spaces " || c.DatabaseURL != "mysql://u:p@h/db" || c.RedisURL != "redis://:p@h/0" || c.Webhook.Secret != goodWebhookSecret {
		t.Errorf("%+v", c)
	}
	if err := c.Validate(config.ForServing); err != nil {
		t.Error(err)
	}
}

func TestMistakesWithFilesNameTheVariable(t *testing.T) {
	t.Parallel()
	empty := file(t, "s", "\n")
	for want, e := range map[string]env{
		"CARILLON_SECRET and CARILLON_SECRET_FILE are both set: keep one of them":                         {"CARILLON_SECRET": "x", "CARILLON_SECRET_FILE": empty},
		"CARILLON_WEBHOOK_SECRET_FILE names a file that cannot be read: /no/w: no such file or directory": {"CARILLON_WEBHOOK_SECRET_FILE": "/no/w"},
		"CARILLON_REDIS_URL_FILE names a file that is empty: " + empty:                                    {"CARILLON_REDIS_URL_FILE": empty},
	} {
		c := mustParse(t, e)
		if err := c.ReadFiles(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestProxiesAreNetworks(t *testing.T) {
	t.Parallel()
	c := mustParse(t, env{"CARILLON_TRUSTED_PROXIES": "10.1.2.3/8,::1,192.168.0.7,::ffff:1.2.3.4"})
	if err := c.Validate(config.ForServing); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Proxies()); got != "[10.0.0.0/8 ::1/128 192.168.0.7/32 1.2.3.4/32]" {
		t.Error(got)
	}
}

// A secret may stand in the wrong place: under a number's name, as a key, in a list.
func TestAYAMLFaultPrintsNoValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"max-attempts: topsecret\n", "webhook-timeout: topsecret\n", "idempotency-ttl: [topsecret]\n", "secret: [topsecret]\n", "secret:\n  topsecret: x\n",
		"topsecret: x\n", "topsecret:\n  topsecret: y\n", "secret:topsecret\n", "secret: 'topsecret\n", "admins: [[topsecret]]\n", "admins: {topsecret: 1}\n",
		"? [topsecret]\n: x\n", "secret: a\nsecret: topsecret\n", "- topsecret\n", "topsecret\n", "listen: topsecret\n", "channel: topsecret\n",
		"default-timezone: topsecret\n", "trusted-proxies: topsecret\n", "database-url: topsecret\n", "webhook-url: topsecret\n", "admins: [\"topsecret\\n\"]\n", "secret: !!binary topsecret\n",
		"secret: &topsecret x\nlisten: *topsecrets\n", "config: topsecret\n", "memory: topsecret\n",
	} {
		c, err := parse(t, env{}, "--config", file(t, "c.yaml", text))
		if err == nil {
			err = c.Validate(config.ForServing)
		}
		if err != nil && strings.Contains(err.Error(), "topsecret") || err == nil && !strings.HasPrefix(text, "secret: !!") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Who may read the file has the secret; who may change the link chooses it.
func TestSecretFilesAreTheirOwnersOnly(t *testing.T) {
	t.Parallel()
	const secret = "Zt8qLm2k3vX9wRpB1sYd7uNcJ4hGe0aF"
	plain := file(t, "s", secret)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(plain, link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(mode os.FileMode) string {
		path := file(t, "s", secret)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		plain: "", with(0o400): "", with(0o440): "", with(0o640): "",
		with(0o644): "every user of this machine can open", with(0o604): "every user", with(0o602): "every user", with(0o660): "its group can change",
		link: "is a symbolic link", pipe: "is no regular file", filepath.Dir(plain): "is no regular file",
	} {
		c := mustParse(t, env{"CARILLON_SECRET_FILE": path})
		err := c.ReadFiles()
		if want == "" && (err != nil || c.Secret != secret) || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "CARILLON_SECRET_FILE names a file that "+want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestWeakSecretsAreWarnedOf(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"":                                 "",
		"openIM123":                        "well-known",
		"ChangeMe":                         "well-known",
		"0123456789abcdef":                 "well-known",
		"k3vX9qLm2":                        "only 9 bytes",
		"Zt8qLm2k3vX9wRpB1sYd7uNcJ4hGe0aF": "",
	} {
		c := config.Config{Secret: secret}
		got := strings.Join(c.Warnings(), "\n")
		if demo := c.Validate(config.ForDemo); demo != nil && strings.Contains(demo.Error(), "CARILLON_SECRET") {
			t.Errorf("%q: the demo refuses it: %v", secret, demo)
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) || (secret != "" && strings.Contains(got, secret)) {
			t.Errorf("%q: %q, want %q", secret, got, want)
		}
	}
}

func TestMaskedShowsNoSecret(t *testing.T) {
	t.Parallel()
	c := mustParse(t, env{
		"CARILLON_SECRET": "topsecret1", "CARILLON_DATABASE_URL": "mysql://u:topsecret2@db:3306/carillon?tls=topsecret3", "CARILLON_REDIS_URL": "redis://:topsecret4@cache:6379/0",
		"CARILLON_WEBHOOK_SECRET": "topsecret5", "CARILLON_WEBHOOK_URL": "https://hook.example/topsecret6?token=topsecret7", "CARILLON_EVENTS_SECRET": "topsecret8",
		"CARILLON_EVENTS_URL": "https://events.example/topsecret9",
	})
	var lines []string
	for _, s := range c.Masked() {
		lines = append(lines, s.Name+"="+s.Value)
	}
	all := strings.Join(lines, "\n")
	if strings.Contains(all, "topsecret") {
		t.Error(all)
	}
	for _, want := range []string{
		"CARILLON_SECRET=***", "CARILLON_DATABASE_URL=mysql://***@db:3306/carillon", "CARILLON_REDIS_URL=redis://***@cache:6379/0",
		"CARILLON_EVENTS_SECRET=***", "CARILLON_EVENTS_URL=https://events.example",
		"CARILLON_WEBHOOK_SECRET=***", "CARILLON_WEBHOOK_URL=https://hook.example", "CARILLON_WEBHOOK_TIMEOUT=5s", "CARILLON_ADMINS=openIMAdmin,imAdmin", "CARILLON_MAX_ATTEMPTS=5", "CARILLON_LOG_FORMAT=text", "CARILLON_LOG_LEVEL=info",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %s in\n%s", want, all)
		}
	}
}

// names are those of the channels that are set up.
func names(c *config.Config) (list []string) {
	for _, one := range c.Channels() {
		list = append(list, one.Name())
	}
	return list
}

func TestTheDefaultChannelComesFirst(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]config.Config{
		"inbox":         {Channel: "inbox"},
		"inbox webhook": {Channel: "inbox", Webhook: webhook.Config{URL: "https://h"}},
		"webhook inbox": {Channel: "webhook", Webhook: webhook.Config{URL: "https://h"}},

		"openim inbox webhook": {Channel: "openim", Webhook: webhook.Config{URL: "https://h"}, OpenIM: openim.Config{URL: "http://h"}},
	} {
		if got := strings.Join(names(&c), " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestMaxAgeFollowsTheSync(t *testing.T) {
	t.Parallel()
	for want, c := range map[time.Duration]openim.Config{
		0:             {URL: "http://h", OldAfter: time.Hour}, // nothing is synced by itself
		2 * time.Hour: {URL: "http://h", Sync: time.Hour},
		time.Minute:   {URL: "http://h", Sync: time.Hour, OldAfter: time.Minute},
	} {
		if got := c.MaxAge(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestRedisURLs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"redis://user:p%40ss@cache/3":           "cache:6379 user p@ss 3",
		"rediss://:pass@cache:6380":             "cache:6380  pass 0 TLS",
		"redis-sentinel://u:p@a,b:1/2?master=m": "FailoverClient u p 2",
	} {
		conn, err := config.Redis(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		client, ok := conn.MakeRedisClient().(*redis.Client)
		if !ok {
			t.Errorf("%s: %T", raw, conn.MakeRedisClient())
			continue
		}
		o := client.Options()
		got := strings.TrimSuffix(strings.Join([]string{o.Addr, o.Username, o.Password, string(rune('0' + o.DB))}, " "), " ")
		if o.TLSConfig != nil {
			got += " TLS"
		}
		if got != want || o.DialTimeout != time.Second || o.MaxRetries != 1 || o.DialerRetries != 1 {
			t.Errorf("%s: %s, want %s (%s, %d, %d)", raw, got, want, o.DialTimeout, o.MaxRetries, o.DialerRetries)
		}
		_ = client.Close()
	}
}
