package testkit

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"carillon/internal/testkit/services"
)

// copyMySQL makes the tables of a migrated ledger in an empty database.
func copyMySQL(tb testing.TB, db *sql.DB) {
	tb.Helper()
	statements, err := mysqlTemplate()
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(tb.Context(), s); err != nil {
			tb.Fatalf("%s: %v", s, err)
		}
	}
}

// mysqlTemplate holds the statements that make a migrated ledger. They are read once in a process, from a database
// of the shared server that exists for as long as the reading takes.
var mysqlTemplate = sync.OnceValues(func() (statements []string, err error) {
	dbURL, drop, err := services.CreateDatabase(os.Getenv(mysqlEnv))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	err = migrated(dbURL, func(db *sql.DB) error {
		statements, err = dump(db)
		return err
	})
	return statements, err
})

// dump reads the statements that make the tables and rows of a database. They are for tables without foreign keys:
// the order is that of the names.
func dump(db *sql.DB) (statements []string, err error) {
	tables, err := texts(db, "SHOW TABLES")
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		created, err := texts(db, "SHOW CREATE TABLE "+t[0])
		if err != nil {
			return nil, err
		}
		statements = append(statements, created[0][1])
		rows, err := texts(db, "SELECT * FROM "+t[0])
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			statements = append(statements, fmt.Sprintf("INSERT INTO %s VALUES ('%s')", t[0], strings.Join(row, "','")))
		}
	}
	return statements, nil
}

// texts reads rows as text. The rows of a migrated ledger hold numbers and times alone, so that no text needs
// an escape; a NULL is refused.
func texts(db *sql.DB, query string) (all [][]string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}
