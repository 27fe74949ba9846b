package pacing

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"carillon/models"
)

// The scripts do what the reference does, whatever they are asked, and with other constants too: so
// no constant stands in a script a second time.
func TestScriptsAgreeWithTheReference(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		channel := 0
		rapid.Check(t, func(t *rapid.T) {
			channel++
			p := drawParams(t)
			a := &agreement{t: t, ctx: t.Context(), rdb: rdb, s: newSharedState(rdb, p), r: newReference(p), channel: fmt.Sprint("channel-", channel), now: 1_800_000_000_000}
			a.s.at, a.s.now = func() int64 { return a.now }, func() time.Time { return time.UnixMilli(a.now) }
			a.drawKind()
			for range rapid.IntRange(20, 60).Draw(t, "steps") {
				a.now += a.pass.Draw(t, "ms")
				if rapid.IntRange(0, 4).Draw(t, "which") < a.takes {
					a.take()
				} else {
					a.observe()
				}
			}
		})
	})
}

// agreement is one channel's state in Redis beside the reference's.
type agreement struct {
	t             *rapid.T
	ctx           context.Context
	rdb           *redis.Client
	s             *sharedState
	r             *reference
	channel       string
	now           int64
	takes         int  // of five steps; the others tell how the provider does
	failing       bool // it fails, or asks for rest, now and then
	pass          *rapid.Generator[int64]
	channelRate   int
	campaignRates [4]int
}

var rates = []int{0, 1, 4, 9, 30, 100, 1000, 20_000}

// drawKind decides what the steps are about: turns, a provider that slows down, or everything.
func (a *agreement) drawKind() {
	none := []int{0, 0, 0, 0}
	switch rapid.IntRange(0, 2).Draw(a.t, "kind") {
	case 0:
		a.takes, a.pass = 5, rapid.Int64Range(0, 40)
		a.channelRate = rapid.SampledFrom([]int{100, 1000, 20_000}).Draw(a.t, "channel rate")
		a.campaignRates = [4]int(none)
	case 1:
		a.takes, a.pass = 1, rapid.Int64Range(100, 700)
		a.drawRates(rates)
	default:
		a.takes, a.failing = rapid.SampledFrom([]int{1, 3}).Draw(a.t, "takes"), true
		a.pass = rapid.OneOf(rapid.SampledFrom([]int64{0, 1, 20, 100, 600, 1500, 4000}), rapid.Int64Range(0, 700))
		a.drawRates(append(none, rates...))
	}
}

func (a *agreement) drawRates(campaign []int) {
	a.channelRate = rapid.SampledFrom(rates).Draw(a.t, "channel rate")
	for i := range a.campaignRates {
		a.campaignRates[i] = rapid.SampledFrom(campaign).Draw(a.t, "campaign rate")
	}
}

// drawParams moves each constant that goes to the scripts, or none.
func drawParams(t *rapid.T) Params {
	p := Defaults()
	if rapid.Bool().Draw(t, "defaults") {
		return p
	}
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("lua")
		if name == "" {
			continue
		}
		by := rapid.SampledFrom([]float64{0.6, 0.9, 1, 1, 1.2, 1.5}).Draw(t, name)
		switch f := v.Field(i); f.Kind() {
		case reflect.Float64:
			f.SetFloat(f.Float() * by)
		case reflect.Int64:
			f.SetInt(time.Duration(float64(f.Int()) * by).Round(time.Millisecond).Nanoseconds())
		default:
			f.SetInt(max(1, int64(float64(f.Int())*by)))
		}
	}
	return p
}

func (a *agreement) take() {
	i := rapid.IntRange(0, len(a.campaignRates)-1).Draw(a.t, "campaign")
	who := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(a.t, "recipient")
	ask := asking{
		campaign: int64(i + 1), wanted: rapid.OneOf(rapid.SampledFrom([]int{1, 7, 250}), rapid.IntRange(1, 300)).Draw(a.t, "wanted"),
		channelRate: a.channelRate, campaignRate: a.campaignRates[i], transactional: rapid.IntRange(0, 5).Draw(a.t, "transactional") == 0,
		recipient: recipientHash(who), hasFailed: rapid.Bool().Draw(a.t, "has failed"),
	}
	c := &models.Campaign{ID: ask.campaign, Channel: a.channel, RatePerSecond: ask.campaignRate, Priority: models.PriorityBulk}
	if ask.transactional {
		c.Priority = models.PriorityTransactional
	}
	first := Recipient{ID: who}
	if ask.hasFailed {
		first.FailingSince = time.Unix(1, 0)
	}
	g, err := a.s.take(a.ctx, c, ask.channelRate, ask.wanted, first)
	if err != nil {
		a.t.Fatal(err)
	}
	want := a.r.take(ask, float64(a.now))
	if int64(g.N) != want.n || g.Wait.Milliseconds() != want.wait || g.Open != want.open {
		a.t.Fatalf("%+v: the script grants %+v, the reference %+v", ask, g, want)
	}
	if want.by != models.LimitedByNothing {
		if by := a.rdb.Get(a.ctx, limitedByKey(c)).Val(); by != string(want.by) {
			a.t.Fatalf("%+v: limited by %q, want %q", ask, by, want.by)
		}
	}
	a.compare(fmt.Sprintf("%+v", ask))
}

func (a *agreement) observe() {
	t := a.t
	count := func(of string, n ...int) int { return rapid.SampledFrom(n).Draw(t, of) }
	sometimes := func(of string, n ...int) int {
		if a.failing {
			return count(of, n...)
		}
		return 0
	}
	took := rapid.SampledFrom([]float64{5, 100, 300, 450, 600, 2000}).Draw(t, "took ms")
	age := func(of string, most int) (float64, time.Time) {
		n := rapid.IntRange(0, most).Draw(t, of)
		return float64(n), time.UnixMilli(a.now - int64(n))
	}
	s := seenBy{}
	s.answered = count("answered", 0, 1, 4, 40)
	s.recipients, s.timed, s.logTook = 2*s.answered, s.answered, float64(s.answered)*math.Log(took)
	s.failed.n = count("failed", 0, 0, 0, 0, 1, 4, 5, 6, 12, 30)
	s.failed.weight = s.failed.n * sometimes("weight", 0, 1, 4)
	s.slow.n = sometimes("slow", 0, 0, 0, 13)
	s.slow.weight = s.slow.n
	if s.askedRest = sometimes("asked for rest", 0, 0, 0, 0, 1, 4); s.askedRest > 0 {
		s.tally.who = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "who")
		s.who = recipientHash(s.tally.who)
		s.rest = time.Duration(count("rest", 100, 900, 5000)) * time.Millisecond
	}
	s.servedAgain = s.answered > 0 && count("served again", 0, 0, 1) == 1
	s.ownFault = count("own fault", 0, 0, 1) == 1
	s.errors = s.failed.n + s.slow.n + s.askedRest
	s.requests = s.answered + s.errors
	s.began, s.tally.began = age("began", 3000)
	s.ended, s.tally.ended = age("ended", 700)
	s.slowAged, s.slowAsked = age("slow asked", 4000)
	view, err := a.s.observe(a.ctx, a.channel, s.tally)
	if err != nil {
		t.Fatal(err)
	}
	want := a.r.observe(s, float64(a.now))
	got := observed{
		view.state, a.ago(view.served), a.ago(view.recovered), a.ago(view.ownAway), view.event, view.requests, view.errors, view.since.Milliseconds(),
	}
	if got != want {
		t.Fatalf("%+v: the script says %+v, the reference %+v", s, got, want)
	}
	a.compare(fmt.Sprintf("%+v", s))
}

func (a *agreement) ago(at time.Time) int64 {
	if at.IsZero() {
		return -1
	}
	return a.now - at.UnixMilli()
}

// compare holds what Redis has against the reference, which goes on with Redis' roundings.
func (a *agreement) compare(step string) {
	a.t.Helper()
	pipe := a.rdb.Pipeline()
	health, channel := pipe.HGetAll(a.ctx, healthKey(a.channel)), pipe.HGetAll(a.ctx, channelBucketKey(a.channel))
	waiting, until := pipe.ZRangeWithScores(a.ctx, waitingKey(a.channel), 0, -1), pipe.HGetAll(a.ctx, waitingUntilKey(a.channel))
	var campaigns []*redis.MapStringStringCmd
	for i := range a.campaignRates {
		campaigns = append(campaigns, pipe.HGetAll(a.ctx, campaignBucketKey(&models.Campaign{ID: int64(i + 1), Channel: a.channel})))
	}
	if _, err := pipe.Exec(a.ctx); err != nil {
		a.t.Fatal(err)
	}
	same := func(what string, mine *float64, text string, stored bool, within float64) {
		a.t.Helper()
		v := unknown
		if stored {
			v, _ = strconv.ParseFloat(text, 64)
		}
		if known(*mine) != stored || stored && math.Abs(*mine-v) > within {
			a.t.Fatalf("%s: %s is %v, the reference has %v", step, what, v, *mine)
		}
		*mine = v
	}
	field := func(what string, mine *float64, h map[string]string, name string, within float64) {
		a.t.Helper()
		text, ok := h[name]
		same(what+" "+name, mine, text, ok, within)
	}
	for name, mine := range a.r.provider.fields() {
		field("the provider's", mine, health.Val(), name, 0.001)
	}
	if _, ok := channel.Val()["tokens"]; ok {
		field("the channel's", &a.r.channel.tokens, channel.Val(), "tokens", 1e-6)
	}
	field("the channel's", &a.r.channel.at, channel.Val(), "at", 0)
	if _, ok := channel.Val()["turn"]; ok || a.r.latest != 0 {
		field("the channel's", &a.r.latest, channel.Val(), "turn", 0)
	}
	scores := map[int64]float64{}
	for _, z := range waiting.Val() {
		id, _ := strconv.ParseInt(fmt.Sprint(z.Member), 10, 64)
		scores[id] = z.Score
	}
	for i, h := range campaigns {
		c, name := a.r.campaign(int64(i+1)), fmt.Sprintf("campaign %d's", i+1)
		if _, ok := h.Val()["tokens"]; ok {
			field(name, &c.tokens, h.Val(), "tokens", 1e-6)
		}
		field(name, &c.at, h.Val(), "at", 0)
		field(name, &c.turn, h.Val(), "turn", 0)
		field(name, &c.ask, h.Val(), "ask", 0.51)
		score, waits := scores[int64(i+1)]
		same(name+" turn among the waiting", &c.waits, strconv.FormatFloat(score, 'f', -1, 64), waits, 0)
		field(name+" wait until", &c.until, until.Val(), strconv.Itoa(i+1), 0.51)
	}
}
