package console_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/handlers"
	"carillon/internal/metrics"
	"carillon/internal/testkit"
	"carillon/models"
)

// furnished is a site that has something of everything to show, as after some days of work.
type furnished struct {
	*site
	created models.Created // the last campaign that was made

	running, paused, scheduled, completed, cancelled, zoned string // campaigns
	monday, often                                           string // schedules
}

func furnish(t *testing.T, stores testkit.Stores) *furnished {
	t.Helper()
	f := &furnished{}
	f.site = newSite(t, stores, readingTasks, f.parts)
	f.people()
	f.campaigns()
	f.charts()
	f.schedules()
	t.Cleanup(f.work(task{f.number(f.running), 2}, task{f.number(f.running), 3}))
	return f
}

// parts are what a process gives to its API, beside the stores.
func (f *furnished) parts(a *handlers.API) {
	a.Zone = "Europe/Berlin"
	a.Enqueue = func(_ context.Context, c models.Created) error { f.created = c; return nil }
	a.Channels = []channels.Traits{inbox.New(nil).Traits(), {Name: "webhook"}, {Name: "openim", SyncsUsers: true}}
	a.Rates = map[string]int{"inbox": 1500}
	a.Pace = func(_ context.Context, c models.CampaignView) models.Pace {
		if c.Status != models.StatusRunning {
			return models.Pace{}
		}
		return models.Pace{Known: true, PerSecond: 1.4, ETAKnown: true, ETA: 17 * time.Minute, LimitedBy: models.LimitedByCampaignRate, Why: "its own rate of 1/s is used up"}
	}
	a.Process = handlers.Process{Version: "carillon v1.4.0", Roles: "api, worker, scheduler", Settings: []handlers.Setting{
		{Name: "CARILLON_DATABASE_URL", Value: "mysql://carillon:***@db.example.com:3306/carillon?tls=true&parseTime=true", Help: "Where the ledger is; empty = a file in the data directory."},
		{Name: "CARILLON_LISTEN", Value: "127.0.0.1:8080", Help: "Where to serve."}, {Name: "CARILLON_SECRET", Value: "***", Help: "Signs the tokens."}, {Name: "CARILLON_EVENTS_URL", Help: "Where events are posted."},
	}}
	a.Check = func(_ context.Context, name string) []channels.Finding {
		return []channels.Finding{{Name: name, State: channels.Fail, Detail: "dial tcp 192.0.2.7:443: connection refused"}, {Name: "certificate", State: channels.OK, Detail: "is valid for 80 days"}}
	}
	a.EndRest = func(context.Context, string) error { return nil }
	a.Shared.Providers = func(context.Context) ([]metrics.Provider, error) {
		return []metrics.Provider{{Channel: "webhook", Open: true}}, nil
	}
	a.Shared.Stalled = func(context.Context) (metrics.Stalled, error) {
		return metrics.Stalled{Campaign: 1, For: 5 * time.Minute}, nil
	}
}

// people fill the directory, and make a group and one who is in no list.
func (f *furnished) people() {
	names := []string{"Ann", "Bảo", "Chidi", "Dagny", "Emre", "Françoise"}
	zones := []string{"Europe/Berlin", "Asia/Ho_Chi_Minh", "Africa/Lagos", "Europe/Oslo", "America/New_York"}
	users := make([]models.UserChange, 2500)
	for i := range users {
		name := fmt.Sprintf("%s %d", names[i%len(names)], i)
		users[i] = models.UserChange{UserID: fmt.Sprintf("demo-%07d", i), Nickname: &name}
		if i%6 > 0 {
			users[i].Timezone = &zones[i%len(zones)]
		}
	}
	yes, face, ex := true, "https://cdn.example.com/faces/demo-0000004/a-rather-long-name-of-a-picture.png", `{"plan":"gold","since":"2024-02-29","tags":["beta","newsletter"]}`
	users[4].Refuses, users[3].FaceURL, users[3].Ex = &yes, &face, &ex
	f.put(users...)
	ctx, call := f.callAs("openIMAdmin")
	var members []string
	for i := range 50 {
		members = append(members, users[i].UserID)
	}
	name := "Our team"
	for _, group := range []handlers.GroupChange{{ID: "team", GroupBody: handlers.GroupBody{Name: &name, MemberIDs: members}}, {ID: "nobody-yet", GroupBody: handlers.GroupBody{MemberIDs: []string{}}}} {
		if _, err := f.PutGroup(ctx, call, group); err != nil {
			f.t.Fatal(err)
		}
	}
}

// text is a campaign with a name and a text.
func text(name, says string, more ...func(*handlers.CampaignBody)) func(*handlers.CampaignBody) {
	return func(b *handlers.CampaignBody) {
		b.Name, b.Message.SenderNickname, b.Message.Content = name, "Carillon", fmt.Appendf(nil, `{"content":%q}`, says)
		for _, change := range more {
			change(b)
		}
	}
}

func (f *furnished) campaigns() {
	byClock := func(b *handlers.CampaignBody) {
		at := time.Now().Add(30*time.Hour).Format("2006-01-02") + "T09:00:00"
		b.SendAt, b.LocalTime = &at, true
	}
	f.completed = f.campaign(text("Invitation with two unknown guests", "Come and see us on Friday.", listedUsers("demo-0000001", "demo-0000002", "demo-0000003", "demo-0000004", "demo-0000005", "demo-0000006", "nobody-1", "nobody-2")))
	f.settle(func(i int, o *models.RecipientOutcome) {
		switch i {
		case 1:
			o.Status, o.ErrCode, o.ErrMsg = models.RecipientUnknown, 90004, "the provider gave no answer within 10 s, and may have taken the message"
		case 4:
			o.Status, o.ErrMsg = models.RecipientSkipped, "the user takes no messages"
		case 6, 7:
			o.Status, o.ErrCode, o.ErrMsg = models.RecipientFailed, 1004, "the user is not in the directory"
		}
	})
	if _, err := f.Store.FinishCampaign(f.t.Context(), f.number(f.completed)); err != nil {
		f.t.Fatal(err)
	}
	f.running = f.campaign(text("Autumn sale", "Everything for half the price, this week alone.", func(b *handlers.CampaignBody) { b.RatePerSecond = 1 }))
	f.plan()
	f.settle(func(i int, o *models.RecipientOutcome) {
		if i%40 == 0 {
			o.Status, o.ErrCode, o.ErrMsg, o.Attempts = models.RecipientFailed, 80000, "the provider answers 503: try again later", 5
		}
	})
	ctx, call := f.callAs("openIMAdmin")
	f.paused = f.campaign(text("Price change (draft)", "From January on our prices change."))
	f.plan()
	f.scheduled = f.campaign(text("Good morning", "Good morning! This is the weather where you are.", byClock))
	f.cancelled = f.campaign(text("Old news", "This came too late.", listedUsers("demo-0000001")))
	f.zoned = f.campaign(text("Lunch where you are", "It is noon.", func(b *handlers.CampaignBody) { b.QuietHours = &handlers.QuietHours{From: "22:00", To: "08:00"} }))
	f.plan()
	for id, change := range map[string]func(string) error{
		f.paused:    func(id string) error { _, err := f.PauseCampaign(ctx, call, id); return err },
		f.cancelled: func(id string) error { _, err := f.CancelCampaign(ctx, call, id); return err },
		f.zoned: func(id string) error {
			_, _, err := f.Store.Guard(ctx, f.number(id), models.Trip{Kinds: models.FailureKinds{{ErrCode: 80000}}, Reason: "too many failed: 20 of the last 20 recipients, 20 with code 80000: the provider answered 503; resume goes on regardless of this"})
			return err
		},
	} {
		if err := change(id); err != nil {
			f.t.Fatal(err)
		}
	}
}

// number is a campaign's internal number.
func (f *furnished) number(id string) int64 {
	f.t.Helper()
	c, err := f.Store.Campaign(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return c.ID
}

// plan lists the recipients of the last campaign.
func (f *furnished) plan() {
	f.t.Helper()
	for done := false; !done; {
		step, err := f.Store.PlanNext(f.t.Context(), *f.created.Plan, func(*models.Campaign, string, models.Millis) models.ZoneStart { return models.ZoneStart{Due: 1} })
		if err != nil {
			f.t.Fatal(err)
		}
		f.created.Tasks = append(f.created.Tasks, step.Tasks...)
		done = step.Done
	}
}

// settle gives the recipients of the last campaign's first page an outcome. They were sent to, but for what change says.
func (f *furnished) settle(change func(i int, o *models.RecipientOutcome)) {
	f.t.Helper()
	v, err := f.Store.ClaimPage(f.t.Context(), f.created.Tasks[0])
	if err != nil || v == nil {
		f.t.Fatal(err, v)
	}
	outcomes := make([]models.RecipientOutcome, len(v.Members))
	for i, id := range v.Members {
		outcomes[i] = models.RecipientOutcome{UserID: id, Status: models.RecipientSent, Attempts: 1}
		change(i, &outcomes[i])
	}
	if err := f.Store.WriteChunk(f.t.Context(), v.Close(models.Chunk{Outcomes: outcomes, State: models.PageRunning})); err != nil {
		f.t.Fatal(err)
	}
}

// charts are as if the sends had taken hours.
func (f *furnished) charts() {
	f.t.Helper()
	db, _, err := f.Store.Writer()
	if err != nil {
		f.t.Fatal(err)
	}
	run := func(statement string, values ...any) {
		f.t.Helper()
		if _, err := db.ExecContext(f.t.Context(), statement, values...); err != nil {
			f.t.Fatal(err)
		}
	}
	const step = 10_000
	now, random := time.Now().UnixMilli(), rand.New(rand.NewPCG(1, 2))
	began := (now/step - 72) * step
	run("UPDATE campaigns SET started_at=? WHERE id=?", began, f.number(f.running))
	for i := range 71 {
		run("INSERT INTO campaign_samples (campaign_id, at, sent, failed) VALUES (?, ?, ?, ?)", f.number(f.running), began+int64(i+1)*step, 13*i+random.IntN(9), i/3)
	}
	for i := range 170 {
		sent := 0
		if i%90 > 30 {
			sent = 500 + 9*(i%90) + random.IntN(120)
		}
		run("INSERT INTO send_minutes (at, sent, failed) VALUES (?, ?, ?)", now/60_000*60_000-int64(i)*60_000, sent, sent/60)
	}
}

func (f *furnished) schedules() {
	berlin, yes := "Europe/Berlin", true
	f.monday = f.schedule("Monday news", "0 9 * * MON", func(b *handlers.ScheduleBody) { b.Timezone = &berlin })
	f.often = f.schedule("Every minute of an hour", "* 12 * * *", func(b *handlers.ScheduleBody) { b.LocalTime = &yes })
	f.schedule("Night report", "30 2 * * *", func(b *handlers.ScheduleBody) { b.Timezone = &berlin })
	ctx, by := f.callAs(admin)
	if _, err := f.RunSchedule(ctx, by, f.monday); err != nil {
		f.t.Fatal(err)
	}
	if err := f.Store.Record(f.t.Context(), models.Event{Kind: models.EventScheduleMissed, ScheduleID: f.monday, Data: models.EventData{"slots": 2}}); err != nil {
		f.t.Fatal(err)
	}
}
