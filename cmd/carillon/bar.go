package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"carillon/models"
)

const (
	barWidth = 30
	drawn    = 100 * time.Millisecond // between two drawings
)

// bar is a bar with lines below it, in a terminal. Elsewhere it is nothing.
type bar struct {
	out   *os.File // nil where it is nothing
	lines int      // that stand in the terminal now
	at    time.Time
}

func newBar(stderr io.Writer) *bar { return &bar{out: terminalOf(stderr)} }

func (b *bar) live() bool { return b.out != nil }

// draw draws over what was drawn before. Texts from outside must come without control characters.
func (b *bar) draw(done, total int64, right string, below []string) {
	if time.Since(b.at) < drawn && done < total {
		return
	}
	b.at = time.Now()
	width, _, err := term.GetSize(int(b.out.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	share := 0.0
	if total > 0 {
		share = min(1, float64(done)/float64(total))
	}
	full := int(share * barWidth)
	lines := append([]string{fmt.Sprintf("%3.0f%% [%s%s] %s", share*100, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), right)}, below...)
	var text strings.Builder
	b.clear(&text)
	for i, line := range lines {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(cut(line, width-1)) // a line that wraps would be two
	}
	b.lines = len(lines)
	_, _ = io.WriteString(b.out, text.String()) // a bar that cannot be drawn is no fault
}

// clear removes what stands in the terminal, and leaves the cursor where it began.
func (b *bar) clear(text *strings.Builder) {
	for i := range b.lines {
		if i > 0 {
			text.WriteString("\x1b[1A")
		}
		text.WriteString("\r\x1b[K")
	}
	b.lines = 0
}

// close removes the bar. It may be called twice.
func (b *bar) close() {
	if b.out == nil || b.lines == 0 {
		return
	}
	var text strings.Builder
	b.clear(&text)
	_, _ = io.WriteString(b.out, text.String())
}

// cut is the beginning of a text, of at most n runes.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return models.CutText(text, n-1) + "…"
}
