package config

import (
	"iter"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/internal/near"
)

// EnvName gives the environment's name of a setting from its flag: "webhook-url" is
// CARILLON_WEBHOOK_URL. OpenTelemetry's settings keep the names that all programs know:
// "otel-exporter-otlp-endpoint" is OTEL_EXPORTER_OTLP_ENDPOINT.
func EnvName(flag string) string {
	name := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	if strings.HasPrefix(name, otelPrefix) {
		return name
	}
	return prefix + name
}

const otelPrefix = "OTEL_"

// prefix begins every setting's name in the environment.
const prefix = "CARILLON_"

// UnknownNames finds names in an environment that look like a setting's and are none. meant holds
// for each the setting that was probably meant; "" = none is near. CARILLON_PORT is the compose
// file's.
func UnknownNames(environ []string) (unknown, meant []string) {
	known := []string{"CARILLON_PORT"}
	for field := range settings(new(Config)) {
		known = append(known, EnvName(field.Tag.Get("name")))
	}
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		if strings.HasPrefix(strings.ToUpper(name), prefix) && !slices.Contains(known, name) {
			unknown, meant = append(unknown, name), append(meant, near.Name(name, known, maxTypos))
		}
	}
	return unknown, meant
}

// settings walks the settings in their order: the fields of c, and in their place those of each channel's part.
func settings(c *Config) iter.Seq2[reflect.StructField, reflect.Value] {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		for field, v := range reflect.ValueOf(c).Elem().Fields() {
			if _, part := field.Tag.Lookup("embed"); !part {
				if !yield(field, v) {
					return
				}
				continue
			}
			for field, v := range v.Fields() {
				if !yield(field, v) {
					return
				}
			}
		}
	}
}

// Setting is one line of the settings as an operator may see them.
type Setting struct {
	Name  string `json:"name"` // as in the environment
	Value string `json:"value"`
	Help  string `json:"-"`
	From  string `json:"-"` // where the value comes from, in words; empty = not known
}

const masked = "***"

// Masked lists all settings without a secret in them:
//
//   - Of a URL with a password, the password is masked.
//   - Of the webhook's URL, only the host is shown: its path and query may hold a token.
//   - A setting that names a file is listed under the setting that the file gives.
func (c *Config) Masked() []Setting {
	var list []Setting
	for field, v := range settings(c) {
		name := field.Tag.Get("name")
		if strings.HasSuffix(name, "-file") {
			continue
		}
		list = append(list, Setting{EnvName(name), mask(name, field.Tag.Get("shown"), text(v.Interface())), field.Tag.Get("help"), ""})
	}
	return list
}

func mask(name, shown, value string) string {
	switch {
	case value == "":
		return ""
	case shown == "no":
		return masked
	case shown == "host":
		u, err := url.Parse(value)
		if err != nil || u.Host == "" {
			return masked
		}
		return u.Scheme + "://" + u.Host
	case strings.HasSuffix(name, "-url"):
		return MaskURL(value)
	}
	return value
}

// MaskURL shows scheme, host and path of a URL, and masks everything else.
func MaskURL(raw string) string {
	if raw == databaseFile {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return masked
	}
	user := ""
	if u.User != nil {
		user = masked + "@"
	}
	return u.Scheme + "://" + user + u.Host + u.EscapedPath()
}

// Place is where a URL leads to: host and path, without anything that lets a caller in.
func Place(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return masked
	}
	return u.Host + u.Path
}

func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Duration:
		return v.String()
	case []string:
		return strings.Join(v, ",")
	}
	panic("a setting of a new kind")
}

// envOf is the environment's name of the setting that field points to.
func (c *Config) envOf(field any) string {
	for setting, v := range settings(c) {
		if v.Addr().Interface() == field {
			return EnvName(setting.Tag.Get("name"))
		}
	}
	panic("not a setting")
}
