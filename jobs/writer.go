package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"carillon/internal/metrics"
	"carillon/models"
)

// rewriteEvery is the time between two tries to write a chunk.
const rewriteEvery = 250 * time.Millisecond

// pageWriter writes the chunks of one visit, one after the other.
type pageWriter struct {
	store        *models.Store
	visit        *models.Visit // as the page stands once the pending write is done
	lease        *lease
	drain        context.Context
	drainTimeout time.Duration
	counts       *metrics.Metrics
	log          *slog.Logger
	pending      chan error // the write that is under way; nil = none
}

// write closes a chunk and returns when it is written.
func (w *pageWriter) write(ctx context.Context, c models.Chunk) error {
	if err := w.writeBehind(ctx, c); err != nil {
		return err
	}
	return w.flush()
}

// writeBehind closes a chunk and writes it while the next chunk is sent. It waits for the chunk
// before to be written. So only one chunk's outcomes are known to this process alone while another
// chunk is sent.
//
// Chunks of an at-most-once campaign do not overlap: the claim of the next chunk is a write too,
// and comes before its send.
func (w *pageWriter) writeBehind(ctx context.Context, c models.Chunk) error {
	if err := w.flush(); err != nil {
		return err
	}
	closed, pending := w.visit.Close(c), make(chan error, 1)
	w.pending = pending
	go func() { pending <- w.put(ctx, closed) }()
	return nil
}

// flush waits for the pending write.
func (w *pageWriter) flush() error {
	if w.pending == nil {
		return nil
	}
	err := <-w.pending
	w.pending = nil
	return err
}

// put writes a chunk. It tries again while the database is away, until another worker has the page
// or this process ends.
func (w *pageWriter) put(ctx context.Context, c models.ClosedChunk) error {
	var giveUp <-chan time.Time
	began := time.Now()
	for {
		err := w.store.WriteChunk(ctx, c)
		if err == nil {
			w.counts.ChunkWritten.Observe(time.Since(began).Seconds())
			w.lease.moved()
			return nil
		}
		if errors.Is(err, models.ErrFenced) {
			w.lease.lose()
			return err
		}
		w.log.Warn("a chunk's outcomes could not be written yet", "err", err)
		if w.drain.Err() != nil && giveUp == nil {
			giveUp = time.After(w.drainTimeout)
		}
		select {
		case <-giveUp:
			return err
		case <-time.After(rewriteEvery):
		}
	}
}
