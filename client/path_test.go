package client

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// No ID leads a call to another route, whichever call it is.
func TestIDsAreNoSteps(t *testing.T) {
	t.Parallel()
	var asked string
	f, _ := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.RequestURI
		good(`{}`)(w, r)
	})
	c := reflect.ValueOf(newClient(t, Options{Server: f.URL + "/base"}).Calls)
	const escaped = "/%2E%2E"
	tried := 0
	for i := range c.NumMethod() {
		name, call := c.Type().Method(i).Name, c.Method(i)
		args, ids := []reflect.Value{reflect.ValueOf(t.Context())}, 0
		for n := 1; n < call.Type().NumIn()-1; n++ { // the last are the editors
			arg := reflect.New(call.Type().In(n)).Elem()
			if arg.Kind() == reflect.String {
				arg.SetString("..")
				ids++
			}
			args = append(args, arg)
		}
		if strings.HasSuffix(name, "WithBody") {
			ids-- // the content type
		}
		asked = ""
		if out := call.Call(args); !out[1].IsNil() {
			t.Errorf("%s: %v", name, out[1])
		}
		path, _, _ := strings.Cut(asked, "?")
		if !strings.HasPrefix(path, "/base/") || strings.Count(path, escaped) != ids || strings.Contains(path, "..") {
			t.Errorf("%s with %d IDs asks for %s", name, ids, asked)
		}
		if ids > 0 {
			tried++
		}
	}
	if tried < 30 {
		t.Errorf("only %d calls have an ID", tried)
	}
}
