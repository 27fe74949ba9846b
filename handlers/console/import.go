package console

import (
	"cmp"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
	"time"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/internal/userfile"
	"carillon/models"
)

// importPage is the form that takes a file of users, and what became of the file before it.
type importPage struct {
	Form  typed
	Done  *handlers.ImportAnswer // nil = there was none
	Fault string                 // why the reading ended early; empty = it did not
	Often string                 // the reason that most refusals have; empty = none is so frequent
	Now   []handlers.ImportNow   // imports that are under way
}

func (c *Console) importForm(in *web.In) error {
	return c.show(in, "import.html", page{Title: "Import users", Here: "users", Data: importPage{Now: c.importsUnderWay(in)}})
}

// importsUnderWay are the imports under way. Without Redis they are not known, and the form works all the same.
func (c *Console) importsUnderWay(in *web.In) []handlers.ImportNow {
	list, err := c.imports.get(in.Context())
	if err != nil {
		return nil
	}
	return list
}

// importsAgain is after how many seconds a browser asks for the page of imports again, without JavaScript too.
const importsAgain = "2"

// importNow shows how far imports are: as a part of the form's page, or as a page that comes again by itself.
func (c *Console) importNow(in *web.In) error {
	list, err := c.imports.get(in.Context())
	if err != nil {
		return err
	}
	if in.R.Header.Get("HX-Request") == "true" {
		return c.part(in, http.StatusOK, "imports", list)
	}
	in.W.Header().Set("Refresh", importsAgain)
	return c.show(in, "import_now.html", page{Title: "Imports under way", Here: "users", Data: list})
}

// maxFileName is how much of a file's name is shown, in bytes.
const maxFileName = 100

// maxOption is how long a text of the form beside the file may be.
const maxOption = 4 << 10

// importUsers reads a file while the browser sends it. The controls stand before the file in the form, so their values come first.
func (c *Console) importUsers(in *web.In) error {
	file := handlers.ImportFile{}
	p := importPage{Form: typed{Values: map[string]string{}}}
	in.R.Body, file.Most = longBody(in)
	file.Size = max(0, in.R.ContentLength)
	parts, err := in.R.MultipartReader()
	if err != nil {
		return models.Errorf(models.CodeArgs, "the body must be a form with a file")
	}
	for {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF): // the form has no file
			return c.showImport(in, p, web.Refuse("file", "choose a file"))
		case err != nil:
			return &web.HTTPError{Status: http.StatusBadRequest, Err: &models.Error{Code: models.CodeArgs, Detail: "the form was cut short; nothing was imported", Cause: err}}
		}
		if part.FormName() == "file" {
			file.Body = part
			return c.importPart(in, p, part, file)
		}
		text, err := io.ReadAll(io.LimitReader(part, maxOption))
		if err != nil {
			return err
		}
		if name := part.FormName(); name == "format" || name == "map" || name == "ignore" || name == "raw" {
			p.Form.Values[name] = string(text)
		}
	}
}

// longBody is a body of any size, in the place of the request's own.
func longBody(in *web.In) (io.ReadCloser, time.Duration) {
	body, most := in.LongBody()
	return io.NopCloser(body), most
}

func (c *Console) importPart(in *web.In, p importPage, part *multipart.Part, file handlers.ImportFile) error {
	values := p.Form.Values
	if part.FileName() == "" {
		return c.showImport(in, p, web.Refuse("file", "choose a file"))
	}
	file.Name = models.Shorten(strings.ToValidUTF8(part.FileName(), "?"), maxFileName)
	file.Format = formatOf(values["format"], part.FileName())
	if file.Format == "" {
		return c.showImport(in, p, web.Refuse("format", "the name of the file does not say whether it is CSV or NDJSON: choose"))
	}
	var err error
	if file.Options.Map, err = userfile.ParseMap(values["map"]); err != nil {
		return c.showImport(in, p, err)
	}
	file.Options.IgnoreOther, file.Options.Raw = values["ignore"] != "", values["raw"] != ""
	done, err := c.api.ImportUsers(in.Context(), in.Call, file)
	p.Done, p.Often = &done, oftenRefused(done.Refused)
	return c.showImport(in, p, err)
}

// formatOf is the format that was chosen, or else the one that the end of the file's name tells; "" = neither.
func formatOf(chosen, name string) userfile.Format {
	switch cmp.Or(chosen, strings.ToLower(path.Ext(name))) {
	case "csv", ".csv", ".tsv", ".txt":
		return userfile.CSV
	case "ndjson", ".ndjson", ".jsonl":
		return userfile.NDJSON
	}
	return ""
}

// showImport shows what an import has done. err is what ended it early.
func (c *Console) showImport(in *web.In, p importPage, err error) error {
	status := http.StatusOK
	if err != nil {
		e := models.AsError(err)
		status = web.StatusOf(err, e, false)
		if status >= http.StatusInternalServerError {
			return err
		}
		if p.Done != nil && p.Done.Taken() == 0 && len(e.Fields) > 0 {
			p.Done = nil // the header was refused: nothing was read
		}
		if again := p.Form.refuse(err, importControl); again != nil || len(e.Fields) == 0 {
			p.Fault = e.Words()
			p.Form.Reasons = nil
		}
		if why := p.Form.Reasons["file"]; why != "" {
			p.Form.Reasons["file"] = strings.ReplaceAll(why, userfile.Others, "name it under “Other names of columns”, or leave out columns that Carillon does not know")
		}
	} else if p.Done.Rows > 0 && p.Done.Taken() == 0 {
		status = http.StatusUnprocessableEntity
	}
	p.Now = c.importsUnderWay(in)
	return c.showWith(in, status, "import.html", page{Title: "Import users", Here: "users", Data: p})
}

// importControl is the control at which a finding stands. Columns of the header are the file's.
func importControl(field string) (control, prefix string) {
	switch field {
	case "file", "format", "map":
		return field, ""
	case "":
		return "", ""
	}
	return "file", "the column “" + field + "” "
}

// oftenRefused is the reason that at least half of the refusals have, of at least three.
func oftenRefused(list []userfile.Refusal) string {
	n := map[string]int{}
	for _, r := range list {
		n[r.Error]++
	}
	for reason, times := range n {
		if times >= 3 && 2*times >= len(list) {
			return reason
		}
	}
	return ""
}

// refusedShare is what the share of refused lines means, in words for the reader.
func refusedShare(done handlers.ImportAnswer) string {
	const many = 10 // percent: one fault in the file, and not slips in some lines
	switch bad := done.Counts.Refused; {
	case bad == 0:
		return ""
	case bad == done.Rows:
		return "No user was changed."
	case bad*100 >= many*done.Rows:
		return "That is more than some slips. Look at the reasons below: probably a column has another meaning or another form than Carillon expects."
	}
	return "All other rows are in the directory. Correct these lines and import them again: a user who is there already is not added twice."
}
