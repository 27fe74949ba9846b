package userfile

import "strings"

// Guard keeps a spreadsheet from running a cell: it puts an apostrophe before a text that would be a formula. Unguard takes it away.
// A text that looks like a guarded one gets another apostrophe, so that no two texts become one.
func Guard(text string) string {
	if runs(strings.TrimLeft(text, "'")) {
		return "'" + text
	}
	return text
}

// Unguard is the text before Guard.
func Unguard(cell string) string {
	if strings.HasPrefix(cell, "'") && runs(strings.TrimLeft(cell, "'")) {
		return cell[1:]
	}
	return cell
}

// runs says whether a spreadsheet takes a text for a formula. A number with a sign is none.
func runs(text string) bool {
	for _, begin := range []string{"=", "@", "\t", "\r", "＝", "＠"} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	for _, sign := range []string{"+", "-", "＋", "－"} {
		if rest, signed := strings.CutPrefix(text, sign); signed {
			return strings.Trim(rest, "0123456789.") != ""
		}
	}
	return false
}
