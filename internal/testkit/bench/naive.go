package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq" //nolint:depguard // what the product is compared with, not a part of it

	"carillon/internal/testkit/services"
	"carillon/models"
)

// naiveSlots is how many tasks the naive program has in hand at once. Between 10 and 100 it makes no difference
// that could be told from chance.
const naiveSlots = 50

// naive is the program that everybody writes first: a row and a task per recipient; the task's handler makes the
// request and updates the row. Writing the rows beforehand is not counted.
func naive(ctx context.Context, b *Bench, size int) (Row, error) {
	n := min(size, b.options.Few)
	d, err := b.directory(ctx, size)
	if err != nil {
		return Row{}, err
	}
	if err := d.Clean(ctx); err != nil {
		return Row{}, err
	}
	for at := 0; at < n; at += chunk {
		if err := bareInsert(ctx, d.db, at, min(at+chunk, n)); err != nil {
			return Row{}, err
		}
	}
	if _, err := d.db.ExecContext(ctx, "UPDATE "+bareTable+" SET status=?, sent_at=NULL", int(models.RecipientPending)); err != nil {
		return Row{}, err
	}
	b.runs++
	redis, err := services.StartRedis(fmt.Sprintf("%s/redis-%02d-naive", b.dir, b.runs))
	if err != nil {
		return Row{}, err
	}
	defer func() { _ = redis.Kill() }()
	if err := b.provider.Reset(ctx, 0); err != nil {
		return Row{}, err
	}
	took, err := naiveTasks(ctx, b, d, redis, n)
	if err != nil {
		return Row{}, err
	}
	row := newRow(n, took)
	if row.RedisPeak, err = redisPeak(redis); err != nil {
		return row, err
	}
	return row, b.check(ctx, &row, n)
}

func naiveTasks(ctx context.Context, b *Bench, d *Directory, redis *services.Redis, n int) (time.Duration, error) {
	conn, err := asynq.ParseRedisURI(redis.URL())
	if err != nil {
		return 0, err
	}
	newPoster, err := newNetPosters(ctx, b.provider, naiveSlots)
	if err != nil {
		return 0, err
	}
	posters := sync.Pool{New: func() any { return newPoster() }}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left atomic.Int64
	left.Store(int64(n))
	handler := asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		i, err := strconv.Atoi(string(t.Payload()))
		if err == nil {
			p, _ := posters.Get().(poster)
			err = p.post(i, i+1)
			posters.Put(p)
		}
		if err == nil {
			_, err = d.db.ExecContext(ctx, "UPDATE "+bareTable+" SET status=?, attempts=attempts+1, sent_at=? WHERE campaign_id=1 AND kind=0 AND user_id=?",
				int(models.RecipientSent), time.Now().UnixMilli(), userID(i))
		}
		switch {
		case err != nil:
			cancel(err)
		case left.Add(-1) == 0:
			cancel(errDone)
		}
		return err
	})
	//nolint:forbidigo // as above: this is the other program
	srv := asynq.NewServer(conn, asynq.Config{Concurrency: naiveSlots, LogLevel: asynq.ErrorLevel})
	client := asynq.NewClient(conn)
	defer client.Close()
	begun := time.Now()
	if err := srv.Start(handler); err != nil {
		return 0, err
	}
	defer srv.Shutdown()
	for i := range n {
		if _, err := client.EnqueueContext(ctx, asynq.NewTask("send", []byte(strconv.Itoa(i)))); err != nil {
			return 0, errors.Join(err, context.Cause(ctx))
		}
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, errDone) {
		return 0, err
	}
	return time.Since(begun), nil
}

var errDone = errors.New("all tasks are done")

// sequential is what the original endpoint does inside one HTTP request: a recipient after the other.
func sequential(ctx context.Context, b *Bench, size int) (Row, error) {
	n := min(size, b.options.Few)
	d, err := b.directory(ctx, size)
	if err != nil {
		return Row{}, err
	}
	if err := d.Clean(ctx); err != nil {
		return Row{}, err
	}
	newPoster, err := newNetPosters(ctx, b.provider, 1)
	if err != nil {
		return Row{}, err
	}
	if err := b.provider.Reset(ctx, 0); err != nil {
		return Row{}, err
	}
	p := newPoster()
	begun := time.Now()
	for i := range n {
		if err := p.post(i, i+1); err != nil {
			return Row{}, err
		}
		if err := bareInsert(ctx, d.db, i, i+1); err != nil {
			return Row{}, err
		}
	}
	row := newRow(n, time.Since(begun))
	return row, b.check(ctx, &row, n)
}
