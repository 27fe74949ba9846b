// Package axe is axe-core, which finds what makes a page hard to use for people with a disability. Tests run it in a browser.
// It is no part of the program.
package axe

import _ "embed"

// Script defines axe in a page.
//
//go:embed axe.min.js
var Script string
