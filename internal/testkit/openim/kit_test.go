package openim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	secret  = "openIM123"
	doubleA = "as-double" // makes the tests' binary a double

	// patience is for a busy machine: no answer that is waited for takes a second otherwise.
	patience = time.Minute
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == doubleA {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := Run(ctx, os.Args[2:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// kit is a double with an admin's token.
type kit struct {
	t     testing.TB
	url   string
	log   string
	token string
	d     *Double
}

func start(t testing.TB, change ...func(*Options)) *kit {
	t.Helper()
	o := Options{Log: filepath.Join(t.TempDir(), "log"), Secret: secret, Users: 20, Seed: 7}
	for _, c := range change {
		c(&o)
	}
	d, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	k := &kit{t: t, url: d.URL(), log: o.Log, d: d}
	k.token = k.admin()
	return k
}

// behave gives the double its faults.
func (k *kit) behave(faults ...Fault) {
	k.t.Helper()
	if err := k.d.Behave(Manners{Faults: faults}); err != nil {
		k.t.Fatal(err)
	}
}

// admin asks for a token.
func (k *kit) admin() string {
	k.t.Helper()
	r := k.ask(routeAdminToken, "login", "", `{"secret":"`+secret+`","userID":"imAdmin"}`)
	if r.Err != nil || r.ErrCode != 0 {
		k.t.Fatalf("no token: %+v", r)
	}
	return field[string](k.t, r.Data, "token")
}

// said is an answer.
type said struct {
	Err     error // there was none, or none that is whole
	HTTP    int
	Header  http.Header
	Raw     string
	ErrCode int             `json:"errCode"`
	ErrMsg  string          `json:"errMsg"`
	ErrDlt  string          `json:"errDlt"`
	Data    json.RawMessage `json:"data"`
}

// ask makes a request; an empty op or token leaves the header out.
func (k *kit) ask(route, op, token, body string) (s said) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url+route, bytes.NewReader([]byte(body)))
	if err != nil {
		k.t.Fatal(err)
	}
	for name, value := range map[string]string{"operationID": op, "token": token} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return said{Err: err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	s = said{Err: err, HTTP: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	_ = json.Unmarshal(raw, &s) // what is no envelope leaves the fields empty
	return s
}

// send sends a text to a user as an admin.
func (k *kit) send(op, user string) said {
	k.t.Helper()
	return k.ask(routeSend, op, k.token, body(map[string]any{"recvID": user}))
}

// status asks whether an operationID was sent.
func (k *kit) status(op string) int {
	k.t.Helper()
	r := k.ask(routeCheck, op, k.token, `{}`)
	if r.Err != nil || r.ErrCode != 0 {
		k.t.Fatalf("%+v", r)
	}
	return field[int](k.t, r.Data, "status")
}

// lines is the log.
func (k *kit) lines() (all []Line) {
	k.t.Helper()
	if err := ReadLog(k.log, func(l Line) { all = append(all, l) }); err != nil {
		k.t.Fatal(err)
	}
	return all
}

// body is a whole send_msg, with changes; nil takes a field away.
func body(changes map[string]any) string {
	m := map[string]any{
		"sendID": "imAdmin", "recvID": "u000001", "senderNickname": "Gordon", "senderPlatformID": 1,
		"content": map[string]any{"content": "hello"}, "contentType": 101, "sessionType": 1, "unknownField": true,
		"offlinePushInfo": map[string]any{"title": "t", "iOSBadgeCount": true},
	}
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func field[T any](t testing.TB, data json.RawMessage, name string) (v T) {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	if err := json.Unmarshal(object[name], &v); err != nil {
		t.Fatalf("%s: %v: %s", name, err, data)
	}
	return v
}

// signed is a token with claims of one's own.
func signedBy(t testing.TB, key string, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func userID(n int) string { return fmt.Sprintf("u%06d", n) }
