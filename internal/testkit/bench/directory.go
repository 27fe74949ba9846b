package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/internal/testkit/services"
	"carillon/models"
)

// Directory is a database that holds users, and between two measurements nothing else.
type Directory struct {
	Users  int
	URL    string
	Dir    string // with the embedded stores, instead of a URL
	Import Row    // how its users came in

	store *models.Store // the product's own driver settings, for the loops it is compared with
	db    *sql.DB
}

// userID is the ID of user i, from 0; they come in key order.
func userID(i int) string { return fmt.Sprintf("user-%07d", i) }

// directory returns the database with n users, which the product itself imports when it is first asked for.
func (b *Bench) directory(ctx context.Context, n int) (*Directory, error) {
	if d := b.directories[n]; d != nil {
		return d, nil
	}
	b.note("import of %d users", n)
	url, _, err := services.CreateDatabase(b.maria.URL())
	if err != nil {
		return nil, err
	}
	d := &Directory{Users: n, URL: url}
	if d.store, err = models.Open(url); err != nil {
		return nil, err
	}
	if d.db, _, err = d.store.Writer(); err != nil {
		return nil, err
	}
	if _, err := b.command(ctx, d.env(), "migrate"); err != nil {
		return nil, err
	}
	if err := d.fill(ctx, b); err != nil {
		return nil, err
	}
	b.directories[n] = d
	return d, nil
}

func (d *Directory) env() []string {
	if d.Dir != "" {
		return []string{"CARILLON_DATA_DIR=" + d.Dir}
	}
	return []string{"CARILLON_DATABASE_URL=" + d.URL}
}

// fill imports the users from a stream, so that no file of theirs stands on the disk that is measured. A service that
// ends afterwards takes the stream.
func (d *Directory) fill(ctx context.Context, b *Bench) (err error) {
	s, err := b.Serve(ctx, "import", d, allRoles)
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() { written <- writeUsers(w, d.Users) }()
	begun := time.Now()
	done, err := b.feed(ctx, r, append(d.env(), "CARILLON_SERVER="+s.URL), "users", "import", "--json", "--format", "csv", "-")
	_ = r.Close() // a writer that nobody reads any more ends
	if err = errors.Join(err, <-written); err != nil {
		return err
	}
	d.Import = newRow(d.Users, time.Since(begun))
	d.Import.PeakRSS = max(done.peakRSS, peakRSS(s.PID()))
	var answer struct{ Created int }
	if err := json.Unmarshal(done.out, &answer); err != nil {
		return err
	}
	if answer.Created != d.Users {
		return fmt.Errorf("%d of %d users were imported", answer.Created, d.Users)
	}
	return nil
}

func writeUsers(to io.WriteCloser, n int) error {
	w := bufio.NewWriterSize(to, 1<<16)
	fmt.Fprintln(w, "userID,nickname")
	for i := range n {
		fmt.Fprintf(w, "%s,Nickname %d\n", userID(i), i)
	}
	return errors.Join(w.Flush(), to.Close())
}

// bareTable is the copy of recipients that bare loops write to.
const bareTable = "bare_recipients"

// Clean forgets all campaigns and waits until the database has written out what it still held in memory, so that no
// measurement pays for the one before it.
func (d *Directory) Clean(ctx context.Context) error {
	for _, table := range []string{"campaigns", "pages", "page_members", "recipients", "inbox_small", "idempotency"} {
		if _, err := d.db.ExecContext(ctx, "TRUNCATE TABLE "+table); err != nil {
			return err
		}
	}
	for _, q := range []string{"DROP TABLE IF EXISTS " + bareTable, "CREATE TABLE " + bareTable + " LIKE recipients"} {
		if _, err := d.db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return d.settle(ctx)
}

// settle lets the database write out, as fast as it can, what it put off. Durability is not touched.
func (d *Directory) settle(ctx context.Context) (err error) {
	var ioCapacity int
	if err := d.db.QueryRowContext(ctx, "SELECT @@GLOBAL.innodb_io_capacity").Scan(&ioCapacity); err != nil {
		return err
	}
	set := func(ctx context.Context, dirty string, capacity int) error {
		for _, q := range []string{
			fmt.Sprint("SET GLOBAL innodb_io_capacity=", capacity),
			"SET GLOBAL innodb_max_dirty_pages_pct=" + dirty,
		} {
			if _, err := d.db.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	}
	if err := set(ctx, "0", max(ioCapacity, 2000)); err != nil { // the most that innodb_io_capacity_max allows
		return err
	}
	defer func() { err = errors.Join(err, set(context.WithoutCancel(ctx), "DEFAULT", ioCapacity)) }()
	for range 600 { // a minute
		var name string
		var dirty int
		if err := d.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'").Scan(&name, &dirty); err != nil {
			return err
		}
		if dirty < 100 {
			return nil
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil // a server that never comes to rest is measured as it is
}

// rowBytes is what a campaign's recipients take in the database: data and index pages, by the server's own count.
func (d *Directory) rowBytes(ctx context.Context) (total int64, err error) {
	for _, table := range []string{"recipients", "pages", "page_members"} {
		n, err := d.tableBytes(ctx, table)
		if err != nil {
			return 0, err
		}
		total += int64(n)
	}
	return total, nil
}

func (d *Directory) tableBytes(ctx context.Context, table string) (n float64, err error) {
	if _, err := d.db.ExecContext(ctx, "ANALYZE TABLE "+table); err != nil {
		return 0, err
	}
	err = d.db.QueryRowContext(ctx, "SELECT DATA_LENGTH+INDEX_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME=?", table).Scan(&n)
	return n, err
}

// wait sleeps, or returns why it must not.
func wait(ctx context.Context, d time.Duration) error {
	if !lab.Sleep(ctx, d) {
		return ctx.Err()
	}
	return nil
}
