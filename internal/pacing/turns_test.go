package pacing

import (
	"math/rand/v2"
	"testing"
	"time"

	"carillon/models"
)

// asker is one page of a campaign, in any process: it asks for a chunk's tokens, sends what it got,
// and waits when it got none.
type asker struct {
	c    *models.Campaign
	next int64 // unix ms
	from time.Duration
	to   time.Duration // 0 = for ever
}

func pagesOf(c *models.Campaign, n int) (all []*asker) {
	for range n {
		all = append(all, &asker{c: c})
	}
	return all
}

// ask lets pages ask for 250 tokens each, as they come, over a channel of perSecond. It returns
// what each campaign got, and calls each at every full second.
func (d *line) ask(perSecond int, span time.Duration, each func(second int), pages ...*asker) map[int64]int {
	d.t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	got := map[int64]int{}
	begun := d.now
	for _, a := range pages {
		a.next = begun + a.from.Milliseconds() + rnd.Int64N(30)
	}
	second := 0
	for {
		a := pages[0]
		for _, b := range pages {
			if b.next < a.next {
				a = b
			}
		}
		if a.next >= begun+span.Milliseconds() {
			return got
		}
		for ; each != nil && a.next >= begun+int64(second+1)*1000; second++ {
			each(second)
		}
		if a.to > 0 && a.next >= begun+a.to.Milliseconds() {
			a.next = begun + span.Milliseconds()
			continue
		}
		d.now = a.next
		g, err := d.s.take(d.t.Context(), a.c, perSecond, 250, Recipient{})
		if err != nil {
			d.t.Fatal(err)
		}
		if least := min(250, perSecond/40); a.c.RatePerSecond == 0 && g.N > 0 && g.N < least {
			d.t.Fatalf("a grant of %d at %d/s: a chunk is worth %d", g.N, perSecond, least)
		}
		got[a.c.ID] += g.N
		a.next += rnd.Int64N(4) // a timer is late
		if g.N > 0 {
			a.next += 5 // the request
		} else {
			a.next += g.Wait.Milliseconds()
		}
	}
}

func (d *line) campaign(id int64, perSecond int) *models.Campaign {
	return &models.Campaign{ID: id, Channel: "webhook", Priority: models.PriorityBulk, RatePerSecond: perSecond}
}

func (d *line) within(what string, got, want, percent int) {
	d.t.Helper()
	if got*100 < want*(100-percent) || got*100 > want*(100+percent) {
		d.t.Errorf("%s: %d, want %d within %d %%", what, got, want, percent)
	}
}

// Campaigns have equal parts of a channel's rate however many of their pages ask for it and however
// rarely, and together all of it.
func TestCampaignsShareAChannel(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		for perSecond, span := range map[int]time.Duration{5: 30 * time.Second, 1000: 5 * time.Second, 20000: 2 * time.Second} {
			one, other := d.campaign(int64(perSecond), 0), d.campaign(int64(perSecond)+1, 0)
			all := perSecond * int(span/time.Second)
			got := d.ask(perSecond, span, nil, append(pagesOf(one, 7), pagesOf(other, 2)...)...)
			d.within("many pages", got[one.ID], all/2, 4)
			d.within("few pages", got[other.ID], all/2, 4)
			d.within("both", got[one.ID]+got[other.ID], all, 3)
			d.pass(time.Minute)
		}
	})
}

// A campaign that wants less than its part leaves the rest to the others, one that ends all of it,
// and one that was away has what it missed, but not more than half a second of it.
func TestNobodyWaitsForTheAbsent(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		const perSecond = 1000
		slow, fast := d.campaign(1, 100), d.campaign(2, 0)
		got := d.ask(perSecond, 4*time.Second, nil, append(pagesOf(slow, 1), pagesOf(fast, 2)...)...)
		d.within("a slow campaign", got[slow.ID], 400, 5)
		d.within("the one beside it", got[fast.ID], 3600, 5)

		ends, stays := d.campaign(3, 0), d.campaign(4, 0)
		pages := append(pagesOf(ends, 2), pagesOf(stays, 2)...)
		for _, a := range pages[:2] {
			a.to = 2 * time.Second
		}
		got = d.ask(perSecond, 4*time.Second, nil, pages...)
		d.within("one that ends", got[ends.ID], 1000, 6)
		d.within("one that stays", got[stays.ID], 3000, 5)

		// Many begin, one after the other, beside one that runs: it goes on, and none of them waits
		// for the next.
		runs := d.campaign(5, 0)
		pages = pagesOf(runs, 2)
		for i := range 20 {
			a := pagesOf(d.campaign(int64(100+i), 0), 1)[0]
			a.from = time.Duration(i) * 100 * time.Millisecond
			a.to = a.from + 100*time.Millisecond
			pages = append(pages, a)
		}
		got = d.ask(perSecond, 2*time.Second, nil, pages...)
		all := 0
		for _, n := range got {
			all += n
		}
		d.within("all together", all, 2000, 5)
		if got[runs.ID] < 800 { // half is its equal part
			t.Errorf("the one that runs got %d", got[runs.ID])
		}
	})
}

func TestAbsentCampaignsCatchUp(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		const perSecond = 1000
		for _, away := range []time.Duration{200 * time.Millisecond, 2 * time.Second, 300 * time.Millisecond} {
			d.pass(time.Minute)
			one, other := d.campaign(away.Milliseconds(), 0), d.campaign(away.Milliseconds()+1, 0)
			ask := func(span time.Duration, pages ...*asker) (int, int) {
				got := d.ask(perSecond, span, nil, pages...)
				return got[one.ID], got[other.ID]
			}
			ahead, behind := ask(time.Second, append(pagesOf(one, 4), pagesOf(other, 4)...)...)
			alone, _ := ask(away, pagesOf(one, 4)...)
			missed := min(ahead+alone-behind, perSecond/2)
			a, b := ask(2*time.Second, append(pagesOf(one, 4), pagesOf(other, 4)...)...)
			d.within("both, after "+away.String(), a+b, 2000, 5)
			if more := b - a; more < missed-40 || more > missed+40 {
				t.Errorf("away for %s and %d behind: %d, and %d of the other", away, missed, b, a)
			}
		}
	})
}

// A transactional send waits for nobody's turn, and the others' turns outlive a flush.
func TestTurnsAfterFlush(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		const perSecond = 1000
		one, other, urgent := d.campaign(1, 0), d.campaign(2, 0), d.campaign(3, 0)
		urgent.Priority = models.PriorityTransactional
		got := d.ask(perSecond, 5*time.Second, func(second int) {
			if second == 2 {
				if err := d.s.rdb.FlushDB(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				g, err := d.s.take(t.Context(), urgent, perSecond, 15, Recipient{})
				if err != nil || g.N != 15 && second != 2 {
					t.Errorf("second %d: a transactional send to 15 got %+v, %v", second, g, err)
				}
			}
		}, append(pagesOf(one, 5), pagesOf(other, 2)...)...)
		d.within("many pages", got[one.ID], 2390, 5)
		d.within("few pages", got[other.ID], 2390, 5)

		large := d.campaign(4, 0)
		large.Priority = models.PriorityTransactional
		page := pagesOf(large, 1)[0]
		page.from, page.to = time.Second, 1500*time.Millisecond
		got = d.ask(perSecond, 2*time.Second, nil, append(pagesOf(one, 5), page)...)
		d.within("a larger transactional one beside a bulk one", got[large.ID], 500, 12)
	})
}

// A slow campaign that asks late each time makes up for it, and still no 1.1 s have more than its
// rate and one.
func TestLateIsMadeUpFor(t *testing.T) {
	eachLine(t, func(t *testing.T, d *line) {
		rnd := rand.New(rand.NewPCG(3, 4))
		for perSecond, late := range map[int]int64{1: 850, 2: 350, 5: 80} {
			c, begun, span := d.campaign(int64(perSecond), perSecond), d.now, int64(40_000)
			var sent []int64
			inTime := 0
			for d.now < begun+2*span {
				g, err := d.s.take(t.Context(), c, 0, 250, Recipient{})
				if err != nil {
					t.Fatal(err)
				}
				for range g.N {
					sent = append(sent, d.now)
				}
				if g.N == 0 {
					d.now += g.Wait.Milliseconds() + rnd.Int64N(late)
				}
				if d.now < begun+span {
					inTime = len(sent)
				} else if len(sent)%20 == 0 {
					d.now += 3000 // too late to be made up for
				}
			}
			d.within("late pages", inTime, perSecond*int(span/1000), 3)
			for i := range sent {
				if j := i + perSecond + 1; j < len(sent) && sent[j]-sent[i] < 1100 {
					t.Fatalf("at %d/s, %d in %d ms", perSecond, perSecond+2, sent[j]-sent[i])
				}
			}
		}
	})
}
