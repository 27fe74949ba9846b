package userfile

import "strings"

// Guard keeps a spreadsheet from running a cell. It puts an apostrophe before a text that would be
// a formula; Unguard takes the apostrophe away. A text that looks guarded gets another apostrophe,
// so that no two texts become the same.
func Guard(text string) string {
	if runs(strings.TrimLeft(text, "'")) {
		return "'" + text
	}
	return text
}

// Unguard returns the text that was given to Guard.
func Unguard(cell string) string {
	if strings.HasPrefix(cell, "'") && runs(strings.TrimLeft(cell, "'")) {
		return cell[1:]
	}
	return cell
}

// runs reports whether a spreadsheet takes a text for a formula. A number with a sign is no
// formula.
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
