package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Names of the rows about growth.
const (
	besideOld   = "Carillon, inbox, beside old campaigns"
	duringPurge = "Carillon, inbox, during a purge"
	purgeOfOld  = "Carillon, purge of old recipients"
	grownInbox  = "Carillon, inbox, grown"
)

const (
	purgeUsers = 200_000 // at most: of the campaign that a purge must not slow
	oldTimes   = 3       // as many recipients are old
	purgeGoal  = 0.9     // of the speed without a purge
	purgeTime  = 30 * time.Minute
	projected  = 50_000_000
)

// purges measures a campaign beside old ones and during their purge, and the purge itself. The two take turns
// while there is something left to purge.
func purges(ctx context.Context, b *Bench, r *Report) error {
	size := min(b.options.largest(), purgeUsers)
	d, err := b.directory(ctx, size)
	if err != nil {
		return err
	}
	if err := d.age(ctx, b); err != nil {
		return err
	}
	var purged Row
	for round := range b.options.Rounds {
		for _, w := range []struct {
			what string
			keep string
		}{{besideOld, "0"}, {duringPurge, "24h"}} {
			b.note("%s, %d recipients (%d of %d)", w.what, size, round+1, b.options.Rounds)
			row, gone, err := b.beside(ctx, d, w.keep, round == b.options.Rounds-1)
			if err != nil {
				return fmt.Errorf("%s: %w", w.what, err)
			}
			row.What, row.Size = w.what, size
			r.Rows = append(r.Rows, row)
			if gone.Recipients > 0 {
				purged = gone
			}
		}
	}
	purged.What, purged.Size = purgeOfOld, size
	r.Rows = append(medians(r.Rows), purged)
	alone, _ := r.row(besideOld, size)
	during, _ := r.row(duringPurge, size)
	r.goal(fmt.Sprintf("%s / %s, at %d", duringPurge, besideOld, size), ratio(during.PerSecond, alone.PerSecond), "×", purgeGoal, true)
	return nil
}

// age leaves campaigns in the ledger that were over two days ago.
func (d *Directory) age(ctx context.Context, b *Bench) (err error) {
	if err := d.Clean(ctx); err != nil {
		return err
	}
	s, err := b.Serve(ctx, "age", d, allRoles, "CARILLON_CHANNEL=inbox")
	defer func() { err = joinStop(err, s) }()
	if err != nil {
		return err
	}
	for range oldTimes {
		id, err := s.post(ctx)
		if err == nil {
			_, err = s.await(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	const days = 2 * 24 * 60 * 60 * 1000
	_, err = d.db.ExecContext(ctx, "UPDATE campaigns SET created_at=created_at-?, started_at=started_at-?, finished_at=finished_at-?", days, days, days)
	return err
}

// beside measures one campaign in a process that keeps recipients for so long, and what was purged meanwhile. With
// whole set it then waits for the purge to end, which is measured too.
func (b *Bench) beside(ctx context.Context, d *Directory, keep string, whole bool) (row, purged Row, err error) {
	if err := d.settle(ctx); err != nil {
		return row, purged, err
	}
	old, err := d.old(ctx)
	if err != nil {
		return row, purged, err
	}
	begun := time.Now()
	s, err := b.Serve(ctx, "purge", d, allRoles, "CARILLON_CHANNEL=inbox", "CARILLON_RETENTION="+keep)
	defer func() { err = joinStop(err, s) }()
	if err != nil {
		return row, purged, err
	}
	posted := time.Now()
	id, err := s.post(ctx)
	if err != nil {
		return row, purged, err
	}
	ended, err := s.await(ctx, id)
	if err != nil {
		return row, purged, err
	}
	row = newRow(d.Users, ended.Sub(posted))
	b.note("%.0f recipients/s", row.PerSecond)
	if err := s.peaks(&row); err != nil || keep == "0" {
		return row, purged, err
	}
	left, err := d.old(ctx)
	if err != nil {
		return row, purged, err
	}
	b.note("%d of %d old recipients were purged meanwhile", old-left, old)
	if old > 0 && left == old {
		return row, purged, fmt.Errorf("of %d old recipients none was purged meanwhile", old)
	}
	for whole && left > 0 && time.Since(begun) < purgeTime {
		if err := wait(ctx, look); err != nil {
			return row, purged, err
		}
		if left, err = d.old(ctx); err != nil {
			return row, purged, err
		}
	}
	if whole && left > 0 {
		err = fmt.Errorf("%d old recipients are left after %s", left, purgeTime)
	}
	purged = newRow(old-left, time.Since(begun))
	return row, purged, errors.Join(err, s.peaks(&purged))
}

// old counts the recipients of campaigns that are more than a day old.
func (d *Directory) old(ctx context.Context) (n int, err error) {
	const day = 24 * 60 * 60 * 1000
	err = d.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM campaigns c JOIN recipients r ON r.campaign_id=c.id WHERE c.finished_at BETWEEN 1 AND CAST(UNIX_TIMESTAMP(NOW(3))*1000 AS SIGNED)-?", day).Scan(&n)
	return n, err
}

// growth measures one inbox campaign to everybody at the last size and at a tenth of it, with all that grows with it, and
// says what 50,000,000 would take if it went on like that.
func growth(ctx context.Context, b *Bench, r *Report) error {
	size := b.options.largest()
	var rows []Row
	var userBytes float64 // each, at the last size
	for _, n := range []int{size / 10, size} {
		d, err := b.directory(ctx, n)
		if err != nil {
			return err
		}
		imported := d.Import
		imported.What, imported.Size = carillonImport, n
		if userBytes, err = d.tableBytes(ctx, "users"); err != nil {
			return err
		}
		userBytes /= float64(n)
		b.note("%s, %d recipients", grownInbox, n)
		row, err := b.campaign(ctx, inboxChannel, n, 0, "CARILLON_CHANNEL=inbox")
		if err != nil {
			return err
		}
		row.What, row.Size = grownInbox, n
		r.Rows = append(r.Rows, imported, row)
		rows = append(rows, imported, row)
	}
	few, imported, many := rows[1], rows[2], rows[3]
	r.goal(fmt.Sprintf("growth: %s, %d / %d", grownInbox, size, size/10), ratio(many.PerSecond, few.PerSecond), "×", growthGoal, true)
	const gib = 1 << 30
	for _, p := range []struct {
		what string
		v    float64
		unit string
	}{
		{"import of the users", projected / imported.PerSecond / 60, "minutes"},
		{"the users in the database", projected * userBytes / gib, "GiB"},
		{"a campaign", projected / many.PerSecond / 60, "minutes"},
		{"a campaign in the database", projected * many.RowBytes / gib, "GiB"},
	} {
		r.goal(fmt.Sprintf("%d, if it goes on like %d: %s", projected, size, p.what), p.v, p.unit, 0, true)
	}
	return nil
}
