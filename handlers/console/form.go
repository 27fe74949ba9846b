package console

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

// form reads what a form has sent: at most limit bytes.
func form(in *web.In, limit int64) (url.Values, error) {
	body, err := in.Body(limit)
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, models.Errorf(models.CodeArgs, "the body must be a form")
	}
	for name, v := range values {
		for i := range v { // browsers send line ends as CR LF
			values[name][i] = strings.ReplaceAll(v[i], "\r\n", "\n")
		}
	}
	return values, nil
}

// newKey is an Idempotency-Key. A page gives it to a form, so that a form that is sent twice acts once.
func newKey() string { return rand.Text() }

// next sends the browser on after a form has acted. did says what was done, as one of the names of doneWords.
func (c *Console) next(in *web.In, path, did string) error {
	if did != "" {
		and := "?"
		if strings.Contains(path, "?") { // an ID stands in the query
			and = "&"
		}
		path += and + "done=" + did
	}
	http.Redirect(in.W, in.R, path, http.StatusSeeOther)
	return nil
}

// doneWords say what a form has done. The address names a sentence and holds none, so that no link can put words into a page.
var doneWords = map[string]string{
	"paused":    "The campaign is paused. Nothing of it goes out until you resume it.",
	"resumed":   "The campaign goes on.",
	"cancelled": "The campaign is cancelled.",
	"changed":   "The change is saved.",
	"created":   "The campaign was created.",
	"retried":   "The campaign runs again for them.",
	"tested":    "This is the test.",
	// Schedules, users and groups:
	"user-deleted":     "The user is deleted.",
	"group-deleted":    "The group is deleted.",
	"schedule-deleted": "The schedule is deleted.",
	"group":            "The group is saved.",
	"sync":             "The users are being read. This page shows how far that is.",
	"schedule":         "The schedule was created. Look at its next slots.",
	"schedule-paused":  "The schedule is paused. Slots that come until you resume it make no campaign.",
	"schedule-resumed": "The schedule goes on from its next slot.",
	"skipped":          "The slot is left out. All others stay.",
	"ran":              "A campaign was created from the schedule’s message.",
	// Everything else:
	"sent":             "The message is on its way.",
	"allPaused":        "All campaigns are paused. Nothing of them goes out until somebody resumes them.",
	"allResumed":       "The campaigns go on.",
	"schedulesPaused":  "All schedules are paused. They make no campaigns until somebody resumes them.",
	"schedulesResumed": "The schedules go on.",
	"channelResumed":   "The channel goes on with its next request.",
}

func done(in *web.In) string { return doneWords[in.Query("done")] }

// refused are the fields of an error by name, for a form that is shown again. An error without fields stands under "".
func refused(err error) (fields map[string]string, ok bool) {
	e := models.AsError(err)
	switch web.StatusOf(err, e, false) {
	case http.StatusUnprocessableEntity, http.StatusConflict, http.StatusBadRequest, http.StatusNotFound, http.StatusForbidden:
	default:
		return nil, false
	}
	fields = map[string]string{}
	for _, f := range e.Fields {
		fields[f.Field] = f.Reason
	}
	if len(fields) == 0 {
		fields[""] = e.Words()
	}
	return fields, true
}

// sentence makes words of an error a sentence.
func sentence(words string) string {
	if words == "" {
		return ""
	}
	return handlers.Capital(strings.TrimSuffix(words, ".")) + "."
}
