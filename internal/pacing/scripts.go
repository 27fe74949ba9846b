package pacing

import (
	"embed"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed *.lua
var luaFiles embed.FS

// The two scripts, as the files they are made of. A file may use what the files before it define.
var (
	takeFiles    = []string{"clock.lua", "bucket.lua", "turns.lua", "probe.lua", "take.lua"}
	observeFiles = []string{"clock.lua", "ceiling.lua", "breaker.lua", "rest.lua", "observe.lua"}
)

// script makes one script of files, with the constants that they name in front.
func script(p Params, files []string) *redis.Script {
	var code strings.Builder
	for _, file := range files {
		text, err := luaFiles.ReadFile(file)
		if err != nil {
			panic(err) // it is in the program
		}
		code.WriteString(withoutComments(string(text)))
	}
	return redis.NewScript(constants(p, code.String()) + code.String())
}

// withoutComments is what runs. The embedded Redis reads a script's text anew each time it runs. No
// string in the scripts holds two hyphens.
func withoutComments(text string) string {
	var code strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "--")
		if line = strings.TrimSpace(line); line != "" {
			code.WriteString(line + "\n")
		}
	}
	return code.String()
}

// constants is Lua: the fields of p that have a lua tag and are named in the code, each as a local
// variable.
func constants(p Params, code string) string {
	var lua strings.Builder
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("lua")
		if name == "" || !strings.Contains(code, name) {
			continue
		}
		fmt.Fprintf(&lua, "local %s = %s\n", name, constant(name, v.Field(i).Interface()))
	}
	return lua.String()
}

// constant is a number in Lua. The end of the name says in which unit a time is.
func constant(name string, value any) string {
	switch v := value.(type) {
	case time.Duration:
		if strings.HasSuffix(name, "_S") {
			return strconv.FormatFloat(v.Seconds(), 'g', -1, 64)
		}
		return strconv.FormatInt(v.Milliseconds(), 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}
