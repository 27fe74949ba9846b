package handlers

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// TestAnythingThatComesIn puts repeats, bounds and what is beyond them into every list, instant and
// number of the API. Nothing of that is answered with 500, no counter falls below 0, all lists can
// still be read, and each campaign's ledger holds.
func TestAnythingThatComesIn(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		in := newAnything(t, stores)
		rapid.Check(t, func(rt *rapid.T) {
			in.rt = rt
			request := rapid.SampledFrom([]func(){in.campaign, in.batch, in.patchCampaign, in.retry, in.retry, in.schedule, in.patchSchedule, in.preview, in.query, in.directory, in.importFile}).Draw(rt, "request")
			request()
			in.hold()
		})
	})
}

// anything is a server with one campaign that has ended in many ways, one that is to come, and a
// schedule.
type anything struct {
	*server
	rt           *rapid.T
	ended, later string // campaigns
	schedules    string
	made         []string // campaigns of this step
}

func newAnything(t *testing.T, stores testkit.Stores) *anything {
	t.Helper()
	in := &anything{server: newServer(t, stores)}
	in.users("u1", "u2", "u3", "u4", "u5")
	in.putGroup("g", "", "u1", "u2")
	in.ended = in.five(t)
	if err := in.expire(in.ended); err != nil {
		t.Fatal(err)
	}
	in.Enqueue = func(ctx context.Context, c models.Created) error { return planned(ctx, in.Store, c) }
	_, got := in.do("POST", "/v1/campaigns", `{"sendAt":"9999-12-31T00:00:00Z","message":`+aMessage+`,"audience":{"all":true}}`)
	var c CampaignView
	got.into(t, &c)
	in.later = c.ID
	in.schedules = in.server.schedule("POST", "/v1/schedules", okSchedule(jsonFields{}).body(), http.StatusCreated).ID
	return in
}

// planned plans a campaign at once.
func planned(ctx context.Context, store *models.Store, c models.Created) error {
	for c.Plan != nil {
		step, err := store.PlanNext(ctx, *c.Plan, func(*models.Campaign, string, models.Millis) models.ZoneStart { return models.ZoneStart{} })
		if err != nil || step.Done {
			return err
		}
	}
	return nil
}

// send makes a request that may be refused, but not fail.
func (in *anything) send(method, path, body string, headers ...string) (ok bool, got reply) {
	status, got := in.do(method, path, body, append([]string{"operationID", "op"}, headers...)...)
	if status >= http.StatusInternalServerError || got.ErrCode == models.CodeInternal {
		in.rt.Fatalf("%s %s %.500s: %d %s", method, path, body, status, got.Raw)
	}
	return status < 300 && got.ErrCode == 0, got
}

// hold holds the ledger to what must be true after every step.
func (in *anything) hold() {
	for path, field := range map[string]string{"/v1/campaigns": "campaigns", "/v1/schedules": "schedules", "/v1/users": "users", "/v1/groups": "groups"} {
		if ok, got := in.send("GET", path+"?limit=1000", ""); !ok || !strings.Contains(string(got.Data), field) {
			in.rt.Fatalf("GET %s: %s", path, got.Raw)
		}
	}
	for _, id := range append(in.made, in.ended, in.later) {
		c, err := in.Store.Campaign(in.t.Context(), id)
		if err != nil {
			in.rt.Fatal(err)
		}
		n := c.Counts
		if min(n.Pending, n.Sent, n.Failed, n.Skipped, n.Expired, n.Cancelled, n.Unknown) < 0 || n.Pending+n.Sent+n.Failed+n.Skipped+n.Expired+n.Cancelled+n.Unknown != n.Total {
			in.rt.Fatalf("campaign %s counts %+v", id, n)
		}
		report, err := in.Store.Verify(in.t.Context(), id)
		if err != nil || c.Planned && !report.OK {
			in.rt.Fatalf("%+v, %v", report, err)
		}
		if ok, got := in.send("GET", "/v1/campaigns/"+id, ""); !ok {
			in.rt.Fatalf("%s", got.Raw)
		}
	}
	in.made = nil
}

func (in *anything) pick(name string, of ...string) string {
	return rapid.SampledFrom(of).Draw(in.rt, name)
}

// instant is JSON where a time belongs.
func (in *anything) instant(name string) string {
	switch rapid.IntRange(0, 3).Draw(in.rt, name+" of") {
	case 0:
		return in.pick(name, "null", `""`, "0", "-1", `"now"`, `"0000-01-01T00:00:00+23:59"`, `"0001-01-01T00:00:00Z"`, `"1969-12-31T23:59:59Z"`, `"1970-01-01T00:00:00Z"`, `"1970-01-01T14:00:00"`,
			`"1970-01-02T00:00:00Z"`, `"1970-01-02T00:00:00"`, `"9999-12-31T23:59:59.999999999Z"`, `"9999-12-31T23:59:59-01:00"`, `"9999-12-31T23:59:59+14:00"`, `"9999-12-31T23:59:59"`, `"9999-12-31T23:59:60Z"`, `"10000-01-01T00:00:00Z"`)
	case 1:
		return asJSON(time.Unix(rapid.Int64Range(-1<<36, 1<<38).Draw(in.rt, name), 0).UTC().Format(rapid.SampledFrom([]string{time.RFC3339, models.WallClock}).Draw(in.rt, name+" as")))
	case 2:
		return asJSON(time.Now().Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(in.rt, name))).UTC().Format(time.RFC3339Nano))
	}
	return `"2999-01-01T00:00:00Z"`
}

// number is JSON where an integer belongs.
func (in *anything) number(name string, good ...int) string {
	if len(good) > 0 && rapid.Bool().Draw(in.rt, name+" good") {
		return strconv.Itoa(rapid.SampledFrom(good).Draw(in.rt, name))
	}
	if rapid.Bool().Draw(in.rt, name+" any") {
		return strconv.FormatInt(rapid.Int64().Draw(in.rt, name), 10)
	}
	return in.pick(name, "0", "1", "-1", "-0", "10", "11", "100", "101", "1000", "1001", "1000000", "1000001", "2147483647", "2147483648", "-2147483649", "253402300799999", "253402300800000",
		"9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e400", "1.5", "1e2", "null", `"1"`, "[]")
}

// list is a JSON list of up to n of some values, with repeats.
func (in *anything) list(name string, n int, of ...string) string {
	if rapid.IntRange(0, 9).Draw(in.rt, name+" of") == 0 {
		return in.pick(name, "null", "[]", "{}", `""`, "[null]", "[[]]", `[""]`, "["+strings.Repeat(of[0]+",", 100_000)+of[0]+"]")
	}
	return "[" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(of), 0, n).Draw(in.rt, name), ",") + "]"
}

func (in *anything) ids(name string) string {
	return in.list(name, 40, `"u1"`, `"u1"`, `"u2"`, `"u3"`, `"u4"`, `"new"`, `"ü"`, asJSON(strings.Repeat("x", 64)), asJSON(strings.Repeat("x", 65)), `"\u0000"`, "1")
}

// duration is JSON where a duration belongs.
func (in *anything) duration(name string) string {
	return in.pick(name, "null", `""`, `"0s"`, `"-1s"`, `"1ns"`, `"10m"`, `"168h"`, `"168h1ns"`, `"8784h"`, `"8785h"`, `"2562047h"`, `"9999999h"`, "1", `"soon"`)
}

// fields puts some of the given fields into a JSON object.
func (in *anything) fields(all jsonFields) jsonFields {
	some := jsonFields{}
	for name, value := range all {
		if rapid.Bool().Draw(in.rt, name+"?") {
			some[name] = value
		}
	}
	return some
}

func (in *anything) audience() string {
	return rapid.SampledFrom([]func() string{
		func() string { return `{"all":true}` }, func() string { return `{"groupID":"g"}` }, func() string { return `{"userIDs":` + in.ids("userIDs") + `}` },
	}).Draw(in.rt, "audience")()
}

func (in *anything) body() jsonFields {
	message := jsonFields{"sendID": `"imAdmin"`, "content": `{"content":"x"}`, "contentType": in.number("contentType", 101, 101, 101, 1400)}.
		but(in.fields(jsonFields{"sessionType": in.number("sessionType", 1, 2, 3), "senderPlatformID": in.number("platform", 1)}))
	return jsonFields{"message": message.body(), "audience": in.audience()}
}

func (in *anything) campaign() {
	body := in.body().but(in.fields(jsonFields{
		"sendAt": in.instant("sendAt"), "expireAt": in.instant("expireAt"), "localTime": in.pick("localTime", "true", "false", "null"), "ratePerSecond": in.number("rate", 5),
		"missedGrace": in.duration("grace"), "quietHours": in.pick("quiet", "null", "{}", `{"from":"22:00","to":"08:00"}`, `{"from":"24:00","to":"-1:00"}`),
	})).body()
	if ok, got := in.send("POST", "/v1/campaigns", body); ok {
		in.note(got, "id")
	}
}

// note remembers the campaign of an answer.
func (in *anything) note(got reply, field string) {
	var data map[string]any
	got.into(in.t, &data)
	in.made = append(in.made, data[field].(string))
}

func (in *anything) batch() {
	body := jsonFields{"sendID": `"imAdmin"`, "content": `{"content":"x"}`, "contentType": in.number("contentType", 101), "sessionType": in.number("sessionType", 1)}.
		but(in.fields(jsonFields{"recvIDs": in.ids("recvIDs"), "sendTime": in.number("sendTime", 1), "isSendAll": in.pick("all", "true", "false"), "groupID": `"g"`})).body()
	if ok, got := in.send("POST", sendPath, body, "Prefer", "wait="+in.pick("wait", "0", "-1", "61", "99999999999999999999", "x")); ok {
		in.note(got, "campaignID")
	}
}

func (in *anything) patchCampaign() {
	in.send("PATCH", "/v1/campaigns/"+in.pick("id", in.later, in.ended, "none"), in.fields(jsonFields{
		"sendAt": in.instant("sendAt"), "expireAt": in.instant("expireAt"), "ratePerSecond": in.number("rate", 5),
	}).body())
}

// retry tries the ended campaign again, and lets it expire for the next time.
func (in *anything) retry() {
	ok, got := in.send("POST", "/v1/campaigns/"+in.ended+"/retry", in.fields(jsonFields{
		"statuses": in.list("statuses", 10, `"failed"`, `"failed"`, `"skipped"`, `"expired"`, `"expired"`, `"unknown"`), "errCodes": in.list("errCodes", 80, "0", "1004", "1302", "80000", "-1", in.number("errCode")),
	}).body())
	ctx := in.t.Context()
	before, err := in.Store.Campaign(ctx, in.ended)
	if err == nil {
		err = in.Store.ReopenPages(ctx)
	}
	if err == nil {
		err = in.Store.ReopenPages(ctx)
	}
	if err != nil {
		in.rt.Fatal(err)
	}
	after, err := in.Store.Campaign(ctx, in.ended)
	if err != nil {
		in.rt.Fatal(err)
	}
	if before.Status != models.StatusRunning {
		return
	}
	var answer RetryAnswer
	if got.into(in.t, &answer); !ok || after.Pending != answer.Retrying || after.Pending == 0 {
		in.rt.Fatalf("%d pending after %s", after.Pending, got.Raw)
	}
	if err := in.expire(in.ended); err != nil {
		in.rt.Fatal(err)
	}
}

// expire ends a campaign that runs.
func (in *anything) expire(id string) error {
	ctx, past := in.t.Context(), models.Millis(1)
	c, err := in.Store.UpdateCampaign(ctx, id, models.CampaignChange{ExpireAt: &past})
	if err == nil {
		err = in.Store.ExpireCampaigns(ctx)
	}
	if err == nil {
		c, err = in.Store.Campaign(ctx, id)
	}
	if err == nil {
		_, err = in.Store.CloseCampaign(ctx, c.Campaign, true)
	}
	return err
}

func (in *anything) scheduleFields() jsonFields {
	return in.fields(jsonFields{
		"startAt": in.instant("startAt"), "endAt": in.instant("endAt"), "missedGrace": in.duration("grace"), "localTime": in.pick("localTime", "true", "false"),
		"cron":     in.pick("cron", `"0 9 * * 1"`, `"@every 1s"`, `"@every 8784h"`, `"@every 9999999h"`, `"0 0 29 2 *"`, `"* * * * *"`, `"99999999999999999999 0 * * *"`),
		"timezone": in.pick("timezone", `"UTC"`, `"Pacific/Kiritimati"`, `"America/Los_Angeles"`, `""`),
	})
}

func (in *anything) schedule() {
	template := in.body().but(in.fields(jsonFields{"expireAfter": in.duration("expireAfter"), "ratePerSecond": in.number("rate", 5)}))
	body := jsonFields{"cron": `"0 9 * * 1"`, "timezone": `"UTC"`, "campaign": template.body()}.but(in.scheduleFields()).body()
	if ok, got := in.send("POST", "/v1/schedules", body); ok {
		var sch ScheduleView
		got.into(in.t, &sch)
		in.send("GET", "/v1/schedules/"+sch.ID+"/next?n=100", "")
		if ok, got := in.send("POST", "/v1/schedules/"+sch.ID+"/run", ""); ok {
			in.note(got, "id")
		}
	}
}

func (in *anything) patchSchedule() {
	in.send("PATCH", "/v1/schedules/"+in.schedules, in.scheduleFields().body())
	in.send("GET", "/v1/schedules/"+in.schedules+"/next?n=100", "")
}

func (in *anything) preview() {
	in.send("POST", "/v1/schedules/preview", jsonFields{"cron": `"0 9 * * 1"`}.but(in.scheduleFields()).but(jsonFields{"startAt": "", "endAt": "", "missedGrace": ""}).
		but(in.fields(jsonFields{"from": in.instant("from"), "n": in.number("n", 100)})).body())
}

// query puts numbers and cursors into the queries of all lists.
func (in *anything) query() {
	n := func(name string) string { return strings.Trim(in.number(name, 1), `"`) }
	cursor := in.pick("cursor", "", "!", web.EncodeCursor(n("place")), web.EncodeCursor(n("page")+"."+n("pos")), web.EncodeCursor(n("at")), web.EncodeCursor("u1"), web.EncodeCursor("\n"), web.EncodeCursor("1.1.1"))
	fill := strings.NewReplacer("{n}", n("limit"), "{cursor}", cursor, "{ended}", in.ended, "{schedule}", in.schedules)
	for _, path := range []string{
		"/v1/campaigns?limit={n}&cursor={cursor}", "/v1/campaigns/{ended}/recipients?limit={n}&cursor={cursor}", "/v1/schedules?limit={n}&cursor={cursor}",
		"/v1/schedules/{schedule}?limit={n}&cursor={cursor}", "/v1/schedules/{schedule}/next?n={n}", "/v1/users?limit={n}&cursor={cursor}", "/v1/groups?limit={n}&cursor={cursor}",
		"/v1/groups/g/members?limit={n}&cursor={cursor}", "/v1/inbox/u1/messages?limit={n}&after={cursor}", "/v1/campaigns?status={n}", "/v1/campaigns/{n}", "/v1/campaigns/%C3%BC",
		"/v1/schedules/%C3%BC", "/v1/users/{n}", "/v1/campaigns/{ended}/recipients/{n}", "/v1/campaigns?cursor={cursor}", "/v1/inbox/u1/messages?after={cursor}", "/v1/users?cursor={cursor}",
		"/v1/campaigns/{ended}/recipients?cursor={cursor}", "/v1/schedules/{schedule}?cursor={cursor}",
	} {
		in.send("GET", fill.Replace(path), "")
	}
}

func (in *anything) directory() {
	user := func(i int) string {
		return in.fields(jsonFields{"nickname": in.pick("nickname", "null", `""`, `"N"`, "1"), "timezone": in.pick("zone", "null", `""`, `"UTC"`, `"Mars"`)}).
			but(jsonFields{"userID": in.pick("userID", `"u1"`, `"u1"`, `"u2"`, asJSON(fmt.Sprint("n", i)), `""`)}).body()
	}
	var users []string
	for i := range rapid.IntRange(0, 10).Draw(in.rt, "users") {
		users = append(users, user(i))
	}
	if ok, got := in.send("POST", "/v1/users", `{"users":[`+strings.Join(users, ",")+`]}`); ok {
		var n models.UserCounts
		if got.into(in.t, &n); n.Sum() != len(users) {
			in.rt.Fatalf("%d users: %s", len(users), got.Raw)
		}
	}
	in.send("PUT", "/v1/groups/g", jsonFields{"memberIDs": in.ids("memberIDs")}.but(in.fields(jsonFields{"name": in.pick("name", "null", `""`, `"N"`)})).body())
	in.send("POST", "/auth/get_user_token", jsonFields{"userID": `"u1"`, "platformID": in.number("platformID", 1)}.body())
}

func (in *anything) importFile() {
	ids := rapid.SliceOfN(rapid.SampledFrom([]string{"u1", "u1", "u2", "n1", "", `"`, strings.Repeat("x", 65), "\x00"}), 0, 30).Draw(in.rt, "lines")
	ok, got := in.send("POST", "/v1/users/import", "userID\n"+strings.Join(ids, "\n"), "Content-Type", csvType)
	var done ImportAnswer
	got.into(in.t, &done)
	taken := done.Rows == 0 || done.Taken() > 0
	if ok != taken || done.Sum() != done.Taken() || done.Rows > len(ids) || min(done.Created, done.Changed, done.Unchanged, done.Repeated) < 0 {
		in.rt.Fatalf("%d lines: %s", len(ids), got.Raw)
	}
	if n := in.live(); n < 0 || n > math.MaxInt32 {
		in.rt.Fatalf("%d users", n)
	}
}
