package models

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// What tests alone ask of the ledger.

// PageOf reads one page of a campaign; 1004 when there is none.
func (s *Store) PageOf(ctx context.Context, campaignID int64, no int) (Page, error) {
	page, err := s.nextPage(ctx, campaignID, no)
	if err == nil && (page == nil || page.No != no) {
		err = NotFound("page")
	}
	if err != nil {
		return Page{}, err
	}
	return *page, nil
}

// Traced is s with each of its statements, values filled in, given to f first.
func (s *Store) Traced(f func(sql string)) *Store {
	log := tracer{logger.Discard, f}
	return &Store{db: s.db.Session(&gorm.Session{Logger: log}), w: s.w.Session(&gorm.Session{Logger: log}), d: s.d}
}

type tracer struct {
	logger.Interface
	f func(sql string)
}

func (t tracer) LogMode(logger.LogLevel) logger.Interface { return t }

func (t tracer) Trace(_ context.Context, _ time.Time, sql func() (string, int64), _ error) {
	text, _ := sql()
	t.f(text)
}

// PackMembers is the blob of a page's members.
func PackMembers(ids []string) []byte { return new(packer).pack(ids) }

// Retryable are the outcomes that a retry may take up.
var Retryable = retryable

// SettledAs is n recipients of one status.
func SettledAs(status RecipientStatus, n int64) Counts { return settledAs(status, n) }

// RecordIn stores an event in a transaction that stays open until open returns.
func (s *Store) RecordIn(ctx context.Context, e Event, open func()) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		err := s.record(tx, ViaServe, e)
		open()
		return err
	})
}

// OldLog makes the events up to now ones from before the order, as an upgrade finds them.
func (s *Store) OldLog(ctx context.Context) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		err := tx.Exec("UPDATE event_order SET base=(SELECT MAX(id) FROM events), seq=(SELECT MAX(id) FROM events) WHERE id=1").Error
		if err != nil {
			return err
		}
		return tx.Exec("UPDATE events SET seq=NULL WHERE id>0").Error
	})
}
