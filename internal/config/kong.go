package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
	"gopkg.in/yaml.v3"
)

const (
	group      = "settings"
	configFlag = "config"
)

// Options make a kong parser read the settings from the environment, through lookup, and from the YAML file
// that --config names. Kong's own way would let the file beat the environment, and take an empty variable,
// as compose files pass them on, for a value.
func Options(lookup func(string) (string, bool)) []kong.Option {
	return []kong.Option{
		kong.Resolvers(&source{lookup: lookup}),
		kong.KindMapper(reflect.Int, kong.MapperFunc(wholeNumber)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(duration)),
		kong.ExplicitGroups([]kong.Group{{
			Key: group, Title: "Settings:",
			Description: "Each is also a variable of the environment and a key of the YAML file: --webhook-url is CARILLON_WEBHOOK_URL and webhook-url.",
		}}),
	}
}

// source resolves settings that are not on the command line.
type source struct {
	lookup func(string) (string, bool)
	file   kong.Resolver // nil until the first setting is resolved
}

// Validate has nothing to do: what the file holds is checked when it is read.
func (*source) Validate(*kong.Application) error { return nil }

// Resolve gives a setting's value from the environment, else from the file, else nil.
func (s *source) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if !isSetting(flag) {
		return nil, nil
	}
	if v, _ := s.lookup(EnvName(flag.Name)); v != "" {
		return v, nil
	}
	if flag.Name == configFlag {
		return nil, nil
	}
	if s.file == nil {
		text, err := readYAML(s.path(ctx), ctx.Flags())
		if err != nil {
			return nil, err
		}
		if s.file, err = kongyaml.Loader(bytes.NewReader(text)); err != nil {
			return nil, err
		}
	}
	return s.file.Resolve(ctx, parent, flag)
}

func isSetting(flag *kong.Flag) bool { return flag.Group != nil && flag.Group.Key == group }

// path is the YAML file's, empty without one.
func (s *source) path(ctx *kong.Context) string {
	for _, flag := range ctx.Flags() {
		if flag.Name == configFlag {
			if path, _ := ctx.FlagValue(flag).(string); path != "" {
				return path
			}
		}
	}
	path, _ := s.lookup(EnvName(configFlag))
	return path
}

// readYAML reads the file and refuses keys that are no settings: a misspelt one would silently leave its
// setting at the default. What it returns is the same with all values as texts.
func readYAML(path string, flags []*kong.Flag) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("CARILLON_CONFIG names a file that cannot be read: %s", reason(err))
	}
	var doc yaml.Node
	keys := map[string]any{}
	err = yaml.Unmarshal(raw, &doc)
	if err == nil && doc.Kind != 0 { // 0: the file is empty
		err = doc.Decode(&keys)
	}
	if err != nil { // its text could quote a secret
		return nil, fmt.Errorf("CARILLON_CONFIG names a file that is not YAML of the form `key: value`: %s", path)
	}
	if err := unknownKeys(path, "", keys, flags); err != nil || doc.Kind == 0 {
		return nil, err
	}
	asText(&doc)
	return yaml.Marshal(&doc)
}

// asText makes all values texts as they stand in the file: YAML would read the secret 0123 as the number 83.
func asText(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		asText(child)
	}
}

func unknownKeys(path, prefix string, keys map[string]any, flags []*kong.Flag) error {
	var errs []error
	for key, value := range keys {
		key = prefix + key
		known := func(f *kong.Flag) bool { return isSetting(f) && f.Name == key && key != configFlag }
		if sub, ok := value.(map[string]any); ok {
			errs = append(errs, unknownKeys(path, key+"-", sub, flags))
		} else if !slices.ContainsFunc(flags, known) {
			errs = append(errs, fmt.Errorf("CARILLON_CONFIG: %s has the key %q, which is no setting: carillon serve --help lists them", path, key))
		}
	}
	return errors.Join(errs...)
}

// scalar takes a flag's value as text, whichever way it was given.
func scalar(ctx *kong.DecodeContext) (string, error) {
	token, err := ctx.Scan.PopValue("value")
	if err != nil {
		return "", err
	}
	return fmt.Sprint(token.Value), nil
}

// wholeNumber and duration say what is wanted and under which name, where kong quotes the parser.
func wholeNumber(ctx *kong.DecodeContext, target reflect.Value) error {
	s, err := scalar(ctx)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("must be a whole number, not %q%s", s, alsoCalled(ctx))
	}
	target.SetInt(int64(n))
	return nil
}

func duration(ctx *kong.DecodeContext, target reflect.Value) error {
	s, err := scalar(ctx)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("must be a time with its unit such as 5s, 10m or 168h, not %q%s", s, alsoCalled(ctx))
	}
	target.SetInt(int64(d))
	return nil
}

func alsoCalled(ctx *kong.DecodeContext) string {
	if flag := ctx.Value.Flag; flag != nil && isSetting(flag) {
		return " (" + EnvName(flag.Name) + ")"
	}
	return ""
}
