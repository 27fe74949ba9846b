package testkit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"carillon/internal/testkit/services"
)

// Guest is a user of one database alone: read_only binds it, and its rights can be changed.
type Guest struct {
	URL string // of the database, as this user

	tb       testing.TB
	db       *sql.DB // as the user who made it
	user, on string
}

// NewGuest makes a user with all rights on the database of a URL.
func NewGuest(tb testing.TB, databaseURL string) *Guest {
	tb.Helper()
	db, err := services.OpenMySQL(databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	name := "guest_" + strings.ToLower(rand.Text()[:8])
	g := &Guest{tb: tb, db: db, user: name + "@'%'", on: strings.Trim(u.Path, "/") + ".*"}
	g.Do("CREATE USER " + g.user + " IDENTIFIED BY 'guest'")
	tb.Cleanup(func() {
		g.Do("DROP USER " + g.user)
		_ = db.Close()
	})
	g.Do("GRANT ALL ON " + g.on + " TO " + g.user)
	u.User = url.UserPassword(name, "guest")
	g.URL = u.String()
	return g
}

// May gives the user these rights instead of those it has, and ends its connections, which would keep the old ones.
func (g *Guest) May(do string) {
	g.tb.Helper()
	g.Do("REVOKE ALL ON " + g.on + " FROM " + g.user)
	g.Do("GRANT " + do + " ON " + g.on + " TO " + g.user)
	g.Do("KILL CONNECTION USER " + g.user)
}

// Do runs a statement as the user who made the guest.
func (g *Guest) Do(query string) {
	g.tb.Helper()
	if _, err := g.db.ExecContext(context.Background(), query); err != nil {
		g.tb.Fatal(err)
	}
}
