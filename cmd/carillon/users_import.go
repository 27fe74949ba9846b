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

	"carillon/client"
	"carillon/internal/userfile"
	"carillon/models"
)

// exitRefused: the import read the whole file, and refused some lines.
const exitRefused = 3

type importCmd struct {
	File   string `arg:"" help:"The file; - is the standard input."`
	Format string `enum:"auto,csv,ndjson" default:"auto" help:"csv or ndjson; auto goes by the file's name (.csv, .ndjson, .jsonl)."`
	JSON   bool   `name:"json" help:"Print the result as JSON, with the first 100 refusals."`

	Map                []string `sep:"none" placeholder:"THEIRS=OURS" help:"What a column is called in the file: --map user_id=userID. Repeat it for others."`
	IgnoreOtherColumns bool     `help:"Leave out columns (or keys) that users do not have. Without it the file is refused."`
	Raw                bool     `help:"Take cells as they stand: undo no apostrophe that an export has put before a formula."`
}

// Help is shown by carillon users import --help.
func (importCmd) Help() string {
	return `The columns (or keys) are userID, nickname, faceURL, timezone and ex; only userID is required, and a CSV file names its columns in its first line. The file is sent to the server while it is read, whatever its size. Of users who are there already only what the file says is changed: a column that is absent keeps what is there, an empty cell takes it away.

    printf 'userID,nickname\nalice,Alice\nbob,Bob\n' > users.csv
    carillon users import users.csv
    mysql … | carillon users import --format csv -
    carillon users import --map uid=userID --map "Full name"=nickname --ignore-other-columns people.csv

CSV is read as people have it: user_id, UserID and "User ID" are userID; commas, semicolons and tabs are told apart by the header; a byte order mark, UTF-16 with one, and any line ends are taken. Windows-1252 and UTF-16 without a mark are refused by name: save such a file as UTF-8.

What cannot be taken is listed on stderr with its lines and the user's ID, the first 100 of them, and the others are kept. Each row of the file is counted, as taken or as refused. A quote that is missing, or one too many, costs its own line; a text of several lines in which a line reads as a row is refused as a whole.

Exit codes: 0 all rows were taken, 3 some were refused, 1 none was taken, or the import did not come to its end.`
}

// Run imports the file.
func (c *importCmd) Run(a *app) error {
	kind, err := c.contentType()
	if err != nil {
		return err
	}
	if _, err := userfile.ParseMap(c.Map...); err != nil {
		return err
	}
	file, size, err := c.open()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return withAPI(a, "", func(api *client.Client) error {
		bar := progress(a.stderr, "import", size, progressbar.OptionShowBytes(true))
		reader := progressbar.NewReader(&stoppable{a.ctx.Err, file}, bar)
		p := client.ImportUsersParams{Map: given(strings.Join(c.Map, ",")), IgnoreOtherColumns: &c.IgnoreOtherColumns, Raw: &c.Raw}
		report, err := client.Data[client.ImportReport](api.ImportUsersWithBody(a.ctx, &p, kind, io.NopCloser(&reader)))
		_ = bar.Finish()
		var e *client.Error
		if errors.As(err, &e) && json.Unmarshal(e.Data, &report) == nil && report.Rows > 0 { // none was taken
			err = fmt.Errorf("none of the %d rows was taken", report.Rows)
		} else if err != nil {
			return err
		}
		return errors.Join(c.report(a, report), err, outcomeOfImport(report, err))
	})
}

// report says what was imported, also when nobody was taken.
func (c *importCmd) report(a *app, r client.ImportReport) error {
	if c.JSON {
		return a.printJSON(r)
	}
	for _, one := range r.Refused {
		where := fmt.Sprintf("line %d", one.Line)
		if one.ToLine != nil && *one.ToLine > one.Line {
			where = fmt.Sprintf("lines %d to %d", one.Line, *one.ToLine)
		}
		if one.UserID != nil {
			where += ", user " + models.Shown(*one.UserID)
		}
		fmt.Fprintf(a.stderr, "%s: %s\n", where, models.Shown(one.Error))
	}
	if more := r.RefusedCount - len(r.Refused); more > 0 && len(r.Refused) > 0 {
		fmt.Fprintf(a.stderr, "and %d more\n", more)
	}
	_, err := fmt.Fprintf(a.stdout, "created %d, changed %d, unchanged %d, repeated %d, refused %d: %d rows in %d lines\n",
		r.Created, r.Changed, r.Unchanged, r.Repeated, r.RefusedCount, r.Rows, r.Lines)
	return err
}

// outcomeOfImport is the exit code of an import that came to its end.
func outcomeOfImport(r client.ImportReport, err error) error {
	if err != nil || r.RefusedCount == 0 {
		return nil
	}
	return exit(exitRefused)
}

func (c *importCmd) contentType() (string, error) {
	format := c.Format
	if format == "auto" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(c.File)), ".")
	}
	switch format {
	case "csv":
		return "text/csv", nil
	case "ndjson", "jsonl":
		return "application/x-ndjson", nil
	}
	return "", errors.New("the file's name does not tell how it is written: say --format csv or --format ndjson")
}

// open returns the file and its size: -1 if the size is unknown.
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
