package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"

	"carillon/internal/config"
	"carillon/internal/userfile"
	"carillon/models"
)

// exitRefused: the import went to its end, and some lines were not taken.
const exitRefused = 3

type usersCmd struct {
	Import importCmd `cmd:"" help:"Add and update users from a CSV or NDJSON file."`
}

type importCmd struct {
	File   string `arg:"" help:"The file; - is the standard input."`
	Format string `enum:"auto,csv,ndjson" default:"auto" help:"csv or ndjson; auto goes by the file's name (.csv, .ndjson, .jsonl)."`
	JSON   bool   `name:"json" help:"Print the result as JSON, with the first 100 lines that were refused."`
}

// Help is shown by carillon users import --help.
func (importCmd) Help() string {
	return `The columns (or keys) are userID, nickname, faceURL, timezone and ex; only userID is required, and a CSV file names its columns in its first line. Files of any size are taken, beside a carillon that serves. Of users who are there already only what the file says is changed: a column that is absent keeps what is there, an empty cell takes it away.

    printf 'userID,nickname\nalice,Alice\nbob,Bob\n' > users.csv
    carillon users import users.csv
    mysql … | carillon users import --format csv -

Lines that cannot be taken are listed on stderr with their numbers, and the others are kept. Exit codes: 0 all lines were taken, 3 some were refused, 1 the import did not come to its end.`
}

// refusal is one line that was not taken.
type refusal struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

const maxRefusals = 100 // in the JSON, as in the API

// Run imports the file.
func (c *importCmd) Run(a *app) error {
	if err := a.settings(config.ForDatabase); err != nil {
		return err
	}
	format, err := c.format()
	if err != nil {
		return err
	}
	file, size, err := c.open()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	ledger, err := a.toldLedger()
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	bar := progress(a.stderr, "import", size, progressbar.OptionShowBytes(true))
	refused, count := []refusal{}, 0
	reader := progressbar.NewReader(&stoppable{a.ctx.Err, file}, bar)
	var done models.UserCounts
	_, err = userfile.Read(&reader, format,
		func(users []models.UserChange) error {
			some, err := ledger.UpsertUsers(a.ctx, users)
			if err == nil {
				done.Add(some)
			}
			return err
		},
		func(line int, reason string) {
			_ = bar.Clear()
			fmt.Fprintf(a.stderr, "line %d: %s\n", line, reason)
			if count++; count <= maxRefusals {
				refused = append(refused, refusal{line, reason})
			}
		})
	_ = bar.Finish()
	return errors.Join(c.report(a, done, refused, count), err, refusedExit(count, err))
}

// report says what was taken, also when the import did not come to its end.
func (c *importCmd) report(a *app, done models.UserCounts, refused []refusal, count int) error {
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(struct {
			models.UserCounts
			Refused []refusal `json:"refused"`
			Count   int       `json:"refusedCount"`
		}{done, refused, count})
	}
	_, err := fmt.Fprintf(a.stdout, "created %d, changed %d, unchanged %d, repeated %d, refused %d\n", done.Created, done.Changed, done.Unchanged, done.Repeated, count)
	return err
}

func refusedExit(count int, err error) error {
	if count == 0 || err != nil {
		return nil
	}
	return exit(exitRefused)
}

func (c *importCmd) format() (userfile.Format, error) {
	format := c.Format
	if format == "auto" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(c.File)), ".")
	}
	switch format {
	case "csv":
		return userfile.CSV, nil
	case "ndjson", "jsonl":
		return userfile.NDJSON, nil
	}
	return "", errors.New("the file's name does not tell how it is written: say --format csv or --format ndjson")
}

// open gives the file and its size, -1 where it has none.
func (c *importCmd) open() (file *os.File, size int64, err error) {
	if c.File == "-" {
		return os.Stdin, -1, nil
	}
	file, err = os.Open(c.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	if !info.Mode().IsRegular() {
		return file, -1, nil
	}
	return file, info.Size(), nil
}

// stoppable ends reading when the command is interrupted.
type stoppable struct {
	stopped func() error
	r       io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.stopped(); err != nil {
		return 0, errors.New("interrupted")
	}
	return s.r.Read(p)
}
