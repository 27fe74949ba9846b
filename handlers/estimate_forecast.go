package handlers

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"

	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

const (
	day = 24 * time.Hour
	// foreseeable is how far a forecast looks. What takes longer has no end that is known.
	foreseeable = 366 * day
)

// forecast is the course of a campaign, by the planner's rules, at a constant rate.
type forecast struct {
	c            models.Campaign
	begins       models.Millis // when it is planned
	unknownStart bool          // nobody knows when it begins: the counts hold as of now
	rate         int           // recipients a second; 0 = no limit
	limitedBy    models.LimitedBy
	zones        []*zoneForecast
	sender       int64                // the campaign's sender, who is left out
	late         models.AudienceZones // whose time is over
	ends         models.Millis        // 0 = not known
	tooLong      bool                 // it is not over within the foreseeable
	unknown      int64
	refusing     int64
}

// zoneForecast is its course in one time zone.
type zoneForecast struct {
	name    string
	loc     *time.Location
	without int64 // of its users have no zone
	counts  EstimateCounts
	due     models.Millis // from when its users may get it; 0 = they never do
	ready   models.Millis // when it is looked at next
	left    int64         // to be sent
	ends    models.Millis // 0 = not known
}

// once makes it the forecast of a message that is sent once, to a group.
func (f *forecast) once() {
	f.zones = []*zoneForecast{{loc: time.UTC, counts: EstimateCounts{Total: 1}, due: f.begins, left: 1}}
}

// add adds recipients of a zone; "" = they have none. knows says that the channel reaches nobody
// who is not in the directory.
func (f *forecast) add(name string, u models.ZoneUsers, knows bool) {
	zone := cmp.Or(name, f.c.Zone)
	i := slices.IndexFunc(f.zones, func(z *zoneForecast) bool { return z.name == zone })
	if i < 0 {
		loc, _ := zones.Of(zone, f.c.Zone)
		i, f.zones = len(f.zones), append(f.zones, &zoneForecast{name: zone, loc: loc})
	}
	z := f.zones[i]
	z.counts.Total += u.Users
	if name == "" {
		z.without += u.Users
	}
	turn := slots.Turn(&f.c, zone, f.begins)
	due := max(turn.Due, f.begins)
	switch {
	case turn.Missed:
		if f.late == nil {
			f.late = models.AudienceZones{}
		}
		f.late[name] = u
		z.counts.Skipped += u.Users
		return
	case f.c.ExpireAt != 0 && due >= f.c.ExpireAt:
		z.counts.Expired += u.Users
		return
	}
	z.due = due
	refusing, unknown := min(u.Refusing, u.Users), int64(0)
	if knows {
		unknown = min(u.Unknown, u.Users-refusing)
	}
	z.counts.Failed += unknown
	z.counts.Skipped += refusing
	f.unknown += unknown
	f.refusing += refusing
	z.left += u.Users - unknown - refusing
}

// run foresees when everybody is sent to, and who expires before that.
func (f *forecast) run(ctx context.Context) error {
	if f.unknownStart || f.rate == 0 {
		for _, z := range f.zones {
			z.counts.Sent, z.left = z.left, 0
		}
		return nil
	}
	if f.c.Zoned() {
		return f.zoneByZone(ctx)
	}
	f.together()
	return nil
}

// until is the instant at which a forecast ends, and whether the campaign expires then.
func (f *forecast) until() (at models.Millis, expires bool) {
	at = f.begins + models.Millis(foreseeable/time.Millisecond)
	if f.c.ExpireAt != 0 && f.c.ExpireAt <= at {
		return f.c.ExpireAt, true
	}
	return at, false
}

// takes is how long it takes to send to n recipients.
func (f *forecast) takes(n int64) models.Millis {
	return models.Millis((n*1000 + int64(f.rate) - 1) / int64(f.rate))
}

// together sends to all zones at once, in the order of the users' IDs. So each zone has its share of
// those who expire.
func (f *forecast) together() {
	var all, before, expiredBefore int64
	for _, z := range f.zones {
		all += z.left
	}
	until, expires := f.until()
	ends, expired := f.begins+f.takes(all), int64(0)
	switch {
	case ends <= until:
	case expires:
		expired = all - int64(until-f.begins)*int64(f.rate)/1000
		ends = until
	default:
		f.tooLong, ends = true, 0
	}
	for _, z := range f.zones {
		before += z.left
		share := int64(0)
		if all > 0 {
			share = int64(float64(expired)*float64(before)/float64(all)+0.5) - expiredBefore
		}
		share = min(max(share, 0), z.left)
		expiredBefore += share
		z.counts.Expired += share
		z.counts.Sent, z.left, z.ends = z.left-share, 0, ends
	}
	f.ends = ends
}

// zoneByZone sends to the zones in the order in which their times come. A zone in its quiet hours
// lets the others go first.
func (f *forecast) zoneByZone(ctx context.Context) error {
	queue := zoneQueue{}
	for _, z := range f.zones {
		if z.due != 0 {
			z.ready, z.ends = z.due, z.due
			f.ends = max(f.ends, z.due)
			heap.Push(&queue, z)
		}
	}
	until, expires := f.until()
	for now := f.begins; len(queue) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		z := queue[0]
		now = max(now, z.ready)
		if now >= until {
			break
		}
		now = f.visit(z, now, until)
		if z.left == 0 {
			heap.Pop(&queue)
			f.ends = max(f.ends, z.ends)
		} else {
			heap.Fix(&queue, 0)
		}
	}
	for _, z := range queue {
		if expires {
			z.counts.Expired, z.ends, f.ends = z.counts.Expired+z.left, until, until
		} else {
			z.counts.Sent, z.ends, f.tooLong = z.counts.Sent+z.left, 0, true
		}
	}
	if f.tooLong {
		f.ends = 0
	}
	return nil
}

// visit sends to a zone until it is done, its quiet hours begin, or the forecast ends. It returns
// when that is.
func (f *forecast) visit(z *zoneForecast, now, until models.Millis) models.Millis {
	if over, quiet := slots.QuietUntil(&f.c, z.loc, now); quiet {
		z.ready = over
		return now
	}
	if f.c.Quiet() {
		quiet := slots.Quiet{From: f.c.QuietFrom, To: f.c.QuietTo}
		until = min(until, models.Millis(quiet.Next(now.Time(), z.loc).UnixMilli()))
	}
	if ends := now + f.takes(z.left); ends <= until {
		z.counts.Sent, z.left, z.ends = z.counts.Sent+z.left, 0, ends
		return ends
	}
	n := int64(until-now) * int64(f.rate) / 1000
	z.counts.Sent, z.left, z.ready = z.counts.Sent+n, z.left-n, until
	if n == 0 {
		return now
	}
	return until
}

// zoneQueue are zones that are not done, the one that may go on first at the front.
type zoneQueue []*zoneForecast

func (q zoneQueue) Len() int      { return len(q) }
func (q zoneQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q zoneQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].ready, q[j].ready), cmp.Compare(q[i].name, q[j].name)) < 0
}

// Push is for container/heap.
func (q *zoneQueue) Push(z any) { *q = append(*q, z.(*zoneForecast)) }

// Pop is for container/heap.
func (q *zoneQueue) Pop() any {
	last := len(*q) - 1
	z := (*q)[last]
	*q = (*q)[:last]
	return z
}

// leftOut are the recipients who do not get the message, by reason.
func (f *forecast) leftOut() (list []LeftOut) {
	var late, expired int64
	for _, u := range f.late {
		late += u.Users
	}
	for _, z := range f.zones {
		expired += z.counts.Expired
	}
	for _, l := range []LeftOut{
		{leftOutUnknown, "failed", f.unknown, "they are not in the directory, and " + f.c.Channel + " reaches only its users"},
		{leftOutRefuses, "skipped", f.refusing, "they refuse messages"},
		{leftOutTimeOver, "skipped", late, "sendAt is over already in their time zones"},
		{leftOutExpired, "expired", expired, "expireAt comes before their turn"},
	} {
		if l.Count > 0 {
			list = append(list, l)
		}
	}
	return list
}

// view is the forecast as it is answered.
func (f *forecast) view() Estimate {
	out := Estimate{RatePerSecond: f.rate, Zones: []EstimateZone{}}
	first := models.Millis(0)
	slices.SortStableFunc(f.zones, func(x, y *zoneForecast) int {
		return cmp.Or(cmp.Compare(x.due, y.due), cmp.Compare(x.name, y.name))
	})
	for _, z := range f.zones {
		out.sum(z.counts)
		v := EstimateZone{Zone: z.name, WithoutZone: z.without, EstimateCounts: z.counts}
		if z.due != 0 && !f.unknownStart {
			v.StartsAt = inZone(z.due, z.loc)
			if first == 0 {
				first = z.due
			}
		}
		if z.due != 0 && z.ends != 0 {
			v.EndsAt = inZone(z.ends, z.loc)
		}
		if f.c.Kind != models.KindGroup {
			out.Zones = append(out.Zones, v)
		}
	}
	if f.rate > 0 {
		takes := (out.Sent + int64(f.rate) - 1) / int64(f.rate)
		out.TakesSeconds = &takes
	}
	if f.unknownStart {
		return out
	}
	out.StartsAt = instantJSON(cmp.Or(first, f.begins), false)
	out.EndsAt = instantJSON(f.end(out.EstimateCounts), false)
	return out
}

// end is when the campaign is over; 0 = not known.
func (f *forecast) end(all EstimateCounts) models.Millis {
	switch {
	case f.tooLong, f.rate == 0 && all.Sent > 0:
		return 0
	case all.Expired > 0:
		return f.c.ExpireAt
	}
	ends := max(f.ends, f.begins)
	for _, z := range f.zones {
		ends = max(ends, z.due)
	}
	return ends
}

// sum adds the counts of a zone.
func (n *EstimateCounts) sum(more EstimateCounts) {
	n.Total += more.Total
	n.Sent += more.Sent
	n.Failed += more.Failed
	n.Skipped += more.Skipped
	n.Expired += more.Expired
}
