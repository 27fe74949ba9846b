package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
	"gopkg.in/yaml.v3"

	"carillon/internal/near"
)

const (
	group      = "settings"
	configFlag = "config"
	levelFlag  = "log-level"
)

// Options make a kong parser read the settings from the environment, through lookup, and from the
// YAML file that --config names. Two things differ from kong's own way:
//
//   - The environment beats the file.
//   - An empty variable, as compose files pass on, is no value.
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

// Validate does nothing: what the file holds is checked when it is read.
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
			return nil, &FileError{err}
		}
		if s.file, err = kongyaml.Loader(bytes.NewReader(text)); err != nil {
			return nil, err
		}
	}
	return s.file.Resolve(ctx, parent, flag)
}

// Where a value of a setting can come from. Every other setting has its default.
const (
	fromLine  = "command line"
	fromEnv   = "environment"
	fromYAML  = "YAML file"
	byDefault = "default"
)

// Origins gives the settings of Masked with where the value of each came from. cmd is what was parsed, and lookup is that of Options.
func Origins(list []Setting, cmd *kong.Context, lookup func(string) (string, bool)) []Setting {
	from := map[string]string{}
	for _, p := range cmd.Path {
		if p.Flag == nil || !isSetting(p.Flag) {
			continue
		}
		name, origin := EnvName(p.Flag.Name), fromLine
		if p.Resolved {
			origin = fromYAML
			if v, _ := lookup(name); v != "" {
				origin = fromEnv
			}
		}
		if setting, file := strings.CutSuffix(name, "_FILE"); file {
			name, origin = setting, "the file of "+name
		}
		from[name] = origin
	}
	list = slices.Clone(list)
	for i, s := range list {
		list[i].From = cmp.Or(from[s.Name], byDefault)
	}
	return list
}

// FileError says what is wrong with the YAML file. Kong wraps it in the name of the flag that it
// was reading at that moment, which has nothing to do with the fault.
type FileError struct{ Err error }

func (e *FileError) Error() string { return e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// ShowSettings sets whether the help lists the settings.
func ShowSettings(app *kong.Application, show bool) {
	for _, flag := range app.Flags {
		if inGroup(flag) {
			flag.Hidden = !show
		}
	}
}

// isSetting is true for the log's level too, which stands in no group.
func isSetting(flag *kong.Flag) bool { return flag.Name == levelFlag || inGroup(flag) }

func inGroup(flag *kong.Flag) bool { return flag.Group != nil && flag.Group.Key == group }

// path is the path of the YAML file; empty without one.
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

// readYAML reads the file and refuses keys that are no settings: a misspelt key would silently
// leave its setting at the default. It returns the same YAML with all values as texts.
func readYAML(path string, flags []*kong.Flag) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("CARILLON_CONFIG names a file that cannot be read: %s", reason(err))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil { // the error's text could quote a secret
		return nil, notYAML(path)
	}
	if doc.Kind == 0 { // the file is empty
		return nil, nil
	}
	if err := checkKeys(path, nil, doc.Content[0], flags); err != nil {
		return nil, err
	}
	asText(&doc)
	return yaml.Marshal(&doc)
}

func notYAML(path string) error {
	return fmt.Errorf("CARILLON_CONFIG names a file that is not YAML of the form `key: value`: %s", path)
}

// asText makes all values texts as they stand in the file. YAML would read the secret 0123 as the
// number 83.
func asText(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		asText(child)
	}
}

// checkKeys refuses keys that are no settings, and values that are no text or list of texts. above
// are the keys under which the node stands.
//
// The error names the line, and the key if that is a setting's. It quotes nothing else of the file:
// a secret may stand in the place of a key.
func checkKeys(path string, above []string, n *yaml.Node, flags []*kong.Flag) error {
	if n.Kind != yaml.MappingNode {
		return notYAML(path)
	}
	var errs []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		keys := append(slices.Clone(above), key.Value)
		name := strings.Join(keys, "-")
		flag := settingNamed(flags, name)
		switch {
		case seen[name]:
			errs = append(errs, fmt.Errorf("CARILLON_CONFIG: line %d of %s has a key that stands there twice", key.Line, path))
		case key.Kind != yaml.ScalarNode || flag == nil && value.Kind != yaml.MappingNode:
			errs = append(errs, fmt.Errorf("CARILLON_CONFIG: line %d of %s has a key that is no setting%s: carillon --help-settings lists them", key.Line, path, nearest(flags, name)))
		case flag == nil:
			errs = append(errs, checkKeys(path, keys, value, flags))
		default:
			if why := misfit(value, flag.Target); why != "" {
				errs = append(errs, fmt.Errorf("CARILLON_CONFIG: line %d of %s: the key %s %s", key.Line, path, strings.Join(keys, "."), why))
			}
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

func settingNamed(flags []*kong.Flag, name string) *kong.Flag {
	for _, f := range flags {
		if isSetting(f) && f.Name == name && name != configFlag {
			return f
		}
	}
	return nil
}

// misfit says what a setting's value must be, if this value does not fit: one text, or for a list
// also a list of texts.
func misfit(value *yaml.Node, target reflect.Value) string {
	notPlain := func(n *yaml.Node) bool { return n.Kind != yaml.ScalarNode }
	switch {
	case target.Kind() == reflect.Slice && value.Kind == yaml.SequenceNode:
		if slices.ContainsFunc(value.Content, notPlain) {
			return "must be a list of plain values"
		}
	case notPlain(value):
		return "must be one plain value"
	case value.ShortTag() == "!!null": // a null is no value
	case target.Type() == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(value.Value); err != nil {
			return mustBeTime
		}
	case target.Kind() == reflect.Int:
		if _, err := strconv.Atoi(value.Value); err != nil {
			return mustBeNumber
		}
	}
	return ""
}

const (
	mustBeNumber = "must be a whole number"
	mustBeTime   = "must be a time with its unit such as 5s, 10m or 168h"
)

// maxTypos is how many letters a misspelt name may be away from the name that was meant.
const maxTypos = 2

// nearest names, in words, the setting that a misspelt key was probably meant to be.
func nearest(flags []*kong.Flag, name string) string {
	var known []string
	for _, f := range flags {
		if isSetting(f) && f.Name != configFlag {
			known = append(known, f.Name)
		}
	}
	if meant := near.Name(name, known, maxTypos); meant != "" {
		return "; " + meant + " is one"
	}
	return ""
}

// scalar takes a flag's value as text, whichever way it was given.
func scalar(ctx *kong.DecodeContext) (string, error) {
	token, err := ctx.Scan.PopValue("value")
	if err != nil {
		return "", err
	}
	return fmt.Sprint(token.Value), nil
}

// wholeNumber and duration name the setting and what it must be, where kong quotes the parser. They
// do not quote the value: a secret may stand under the wrong name.
func wholeNumber(ctx *kong.DecodeContext, target reflect.Value) error {
	s, err := scalar(ctx)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return errors.New(mustBeNumber + alsoCalled(ctx))
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
		return errors.New(mustBeTime + alsoCalled(ctx))
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
