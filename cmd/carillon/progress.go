package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// terminalOf is the terminal that w writes to; nil = w is none.
func terminalOf(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// progress is a bar on stderr if that is a terminal. Elsewhere it is nothing: a log or a pipe would
// keep every state of the bar. maximum < 0 = unknown.
func progress(stderr io.Writer, title string, maximum int64, more ...progressbar.Option) *progressbar.ProgressBar {
	w := io.Discard
	if terminalOf(stderr) != nil {
		w = stderr
	}
	options := append([]progressbar.Option{
		progressbar.OptionSetDescription(title), progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(30), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100 * time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(w != io.Discard),
	}, more...)
	return progressbar.NewOptions64(maximum, options...)
}
