package main

import (
	"context"
	"fmt"
	"time"
)

// batchSize is the recipients a request of the batched ways.
const batchSize = 500

// The ways, by name.
const (
	bareFast       = "bare: fasthttp + inserts"
	bareNet        = "bare: net/http + inserts"
	carillonOne    = "Carillon, one request each"
	bareBatch      = "bare: fasthttp, 500 a request + inserts"
	carillonBatch  = "Carillon, 500 a request"
	bareInserts    = "bare: inserts alone"
	carillonInbox  = "Carillon, inbox"
	bareOpenIMWay  = "bare: fasthttp send_msg + inserts"
	carillonOpenIM = "Carillon, OpenIM"
	naiveWay       = "one asynq task + one UPDATE each"
	sequentialWay  = "one after the other, as OpenIM"
	carillonSlow   = "Carillon, provider takes 50 ms"
	carillonImport = "Carillon, import of users (CSV)"

	carillonSlowOpenIM = "Carillon, OpenIM takes 50 ms"
)

// The goals of the design.
const (
	slowDelay       = 50 * time.Millisecond
	slowGoal        = 10_000 // recipients/s
	growthGoal      = 0.9    // of the largest size against the smallest
	rowBytesGoal    = 100
	rowBytesFrom    = 100_000 // recipients: of fewer, the pages that InnoDB takes ahead are the larger part
	processGoal     = 64 << 20
	redisGoal       = 20 << 20
	postRatioGoal   = 1.5
	postGoal        = 50 * time.Millisecond
	transactionGoal = 100 * time.Millisecond
)

// ways of reaching the recipients of one campaign. Each is measured at each size, in this order, so that a way
// and its ceiling stand side by side.
var ways = []struct {
	name     string
	sections []string
	run      func(context.Context, *Bench, int) (Row, error)
}{
	{bareFast, []string{"one"}, func(ctx context.Context, b *Bench, size int) (Row, error) { return b.bareFast(ctx, size, 1) }},
	{carillonOne, []string{"one", "naive"}, func(ctx context.Context, b *Bench, size int) (Row, error) {
		return b.campaign(ctx, "one", size, 0, "CARILLON_CHANNEL=webhook", "CARILLON_WEBHOOK_BATCH=1")
	}},
	{bareNet, []string{"one"}, func(ctx context.Context, b *Bench, size int) (Row, error) { return b.bareNet(ctx, size) }},
	{bareBatch, []string{"batch"}, func(ctx context.Context, b *Bench, size int) (Row, error) { return b.bareFast(ctx, size, batchSize) }},
	{carillonBatch, []string{"batch"}, func(ctx context.Context, b *Bench, size int) (Row, error) {
		return b.campaign(ctx, "batch", size, 0, "CARILLON_CHANNEL=webhook", fmt.Sprint("CARILLON_WEBHOOK_BATCH=", batchSize))
	}},
	{bareInserts, []string{"inbox"}, bareInsertsOnly},
	{carillonInbox, []string{"inbox"}, func(ctx context.Context, b *Bench, size int) (Row, error) {
		return b.campaign(ctx, inboxChannel, size, 0, "CARILLON_CHANNEL=inbox")
	}},
	{bareOpenIMWay, []string{"openim"}, bareOpenIM},
	{carillonOpenIM, []string{"openim"}, func(ctx context.Context, b *Bench, size int) (Row, error) {
		return b.carillonThroughOpenIM(ctx, size, 0)
	}},
	{naiveWay, []string{"naive"}, naive},
	{sequentialWay, []string{"naive"}, sequential},
}

// compared are the ratios of the report; atLeast is the goal, 0 where there is none.
var compared = []struct {
	name, against string
	atLeast       float64
}{
	{carillonOne, bareFast, 0.8},
	{carillonOne, bareNet, 0},
	{carillonBatch, bareBatch, 0.6},
	{carillonInbox, bareInserts, 0.5},
	{carillonOpenIM, bareOpenIMWay, 0.75},
	{carillonOne, naiveWay, 10},
	{carillonOne, sequentialWay, 0},
}

func (b *Bench) bareFast(ctx context.Context, size, perRequest int) (Row, error) {
	newPoster, err := newFastPosters(b.provider)
	if err != nil {
		return Row{}, err
	}
	return b.bareSending(ctx, size, perRequest, newPoster)
}

func (b *Bench) bareNet(ctx context.Context, size int) (Row, error) {
	newPoster, err := newNetPosters(ctx, b.provider, loops)
	if err != nil {
		return Row{}, err
	}
	return b.bareSending(ctx, size, 1, newPoster)
}

func (b *Bench) bareSending(ctx context.Context, size, perRequest int, newPoster func() poster) (Row, error) {
	d, err := b.directory(ctx, size)
	if err != nil {
		return Row{}, err
	}
	if err := b.provider.Reset(ctx, 0); err != nil {
		return Row{}, err
	}
	took, err := bare(ctx, d, size, perRequest, newPoster)
	if err != nil {
		return Row{}, err
	}
	row := newRow(size, took)
	return row, b.check(ctx, &row, size)
}

func bareInsertsOnly(ctx context.Context, b *Bench, size int) (Row, error) {
	d, err := b.directory(ctx, size)
	if err != nil {
		return Row{}, err
	}
	took, err := bare(ctx, d, size, 0, nil)
	return newRow(size, took), err
}

// campaign measures one campaign for all users, through the inbox or to the provider.
func (b *Bench) campaign(ctx context.Context, name string, size int, delay time.Duration, settings ...string) (Row, error) {
	if name == inboxChannel {
		return b.campaignSeen(ctx, name, size, nil, settings...)
	}
	if err := b.provider.Reset(ctx, delay); err != nil {
		return Row{}, err
	}
	return b.campaignSeen(ctx, name, size, b.provider.Seen, settings...)
}

// campaignSeen measures one campaign for all users, from the POST to the API's word that it is completed, in one
// process that does everything. look says what came at the other end; nil = nothing leaves the process.
func (b *Bench) campaignSeen(ctx context.Context, name string, size int, look looker, settings ...string) (row Row, err error) {
	d, err := b.directory(ctx, size)
	if err != nil {
		return Row{}, err
	}
	if err := d.Clean(ctx); err != nil {
		return Row{}, err
	}
	s, err := b.Serve(ctx, name, d, allRoles, settings...)
	defer func() { err = joinStop(err, s) }()
	if err != nil {
		return Row{}, err
	}
	begun := time.Now()
	id, err := s.post(ctx)
	if err != nil {
		return Row{}, err
	}
	ended, err := s.await(ctx, id)
	if err != nil {
		return Row{}, fmt.Errorf("%w: see %s", err, s.Log)
	}
	row = newRow(size, ended.Sub(begun))
	if err := s.peaks(&row); err != nil {
		return row, err
	}
	bytes, err := d.rowBytes(ctx)
	if err != nil {
		return row, err
	}
	row.RowBytes = float64(bytes) / float64(size)
	if look == nil {
		return row, nil
	}
	seen, err := look(ctx)
	if err != nil {
		return row, err
	}
	row.Lead, row.Tail = time.Unix(0, seen.First).Sub(begun).Seconds(), ended.Sub(time.Unix(0, seen.Last)).Seconds()
	return row, row.check(seen, size)
}

const (
	allRoles     = "api,worker,scheduler"
	inboxChannel = "inbox"
)

// looker says what a provider was sent.
type looker func(context.Context) (Seen, error)

// check is Row.check of what the provider has seen.
func (b *Bench) check(ctx context.Context, row *Row, n int) error {
	return row.checkSeen(ctx, b.provider.Seen, n)
}

func (r *Row) checkSeen(ctx context.Context, look looker, n int) error {
	seen, err := look(ctx)
	if err != nil {
		return err
	}
	return r.check(seen, n)
}

// check compares what the provider was sent with what it should have been: everybody, once.
func (r *Row) check(seen Seen, n int) error {
	if seen.Recipients != int64(n) {
		return fmt.Errorf("the provider was sent %d recipients, not %d", seen.Recipients, n)
	}
	r.PerRequest = ratio(float64(seen.Recipients), float64(seen.Requests))
	r.BytesPerRequest = ratio(float64(seen.Bytes), float64(seen.Requests))
	return nil
}

// slowProvider measures one process against a provider that takes its time.
func slowProvider(ctx context.Context, b *Bench, r *Report) error {
	size := b.options.Sizes[0]
	row, err := b.campaign(ctx, "slow", size, slowDelay, "CARILLON_CHANNEL=webhook", "CARILLON_WEBHOOK_BATCH=1")
	if err != nil {
		return err
	}
	row.What, row.Size = carillonSlow, size
	r.Rows = append(r.Rows, row)
	r.goal(carillonSlow, row.PerSecond, "recipients/s", slowGoal, true)
	return nil
}

// imports reports how the directories' users came in.
func imports(ctx context.Context, b *Bench, r *Report) error {
	for _, size := range b.options.Sizes {
		d, err := b.directory(ctx, size)
		if err != nil {
			return err
		}
		row := d.Import
		row.What, row.Size = carillonImport, size
		r.Rows = append(r.Rows, row)
		r.goal(fmt.Sprintf("memory of an import of %d users", size), mib(row.PeakRSS), "MiB", mib(processGoal), false)
	}
	return nil
}
