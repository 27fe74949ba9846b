package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

// TestGuardsStandInTheCode: a guard whose comment was lost, a test that was renamed, or another
// wording of the tests' patience would be noticed only by the next `make mutations`.
func TestGuardsStandInTheCode(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mutantsOf(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := overlaid(dir, t.TempDir(), map[string]string{}); err != nil {
		t.Fatal(err)
	}
}

// TestGuardsStandInTheDocs: docs/reliability.md lists the guards as the table has them.
func TestGuardsStandInTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{tableHead}
	for _, m := range mutations {
		lines = append(lines, m.line(true))
	}
	if table := strings.Join(lines, "\n") + "\n\n"; !strings.Contains(string(page)+"\n", table) {
		t.Errorf("docs/reliability.md does not hold this table:\n%s", table)
	}
}

const sample = `package x

func f(a, b, c bool) {
	if a { // guard: cond
		g()
	}
	// A reason.
	// guard: below
	g(1)
	switch {
	case a, b: // guard: cases
	case a,
		b(), // guard: operand
		c:
	}
	_ = a &&
		b && // guard: one-of-many
		c
	h(
		g(), // guard: argument
		g(2),
	)
	// guard: sql
	x.run("UPDATE t SET rev=? "+c+" WHERE id=? AND epoch=? AND rev <= ?", a)
	return x.y(z.y()) // guard: call
}

func (x y) other() {}

const lua = ` + "`" + `
if a > 1 and b then -- guard: script
elseif c then -- guard: script-else
end
` + "`\n"

func TestChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.go")
	if err := os.WriteFile(file, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	sites, err := sitesIn(file, []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		guard    string
		change   change
		old, new string // new "" = the change is refused
	}{
		{"cond", never, "if a {", "if false && (a) {"},
		{"cond", always, "if a {", "if true || (a) {"},
		{"below", gone, "\tg(1)\n", "\t\n"},
		{"below", never, "", ""},
		{"cases", never, "case a, b:", "case false && (a), false && (b):"},
		{"cases", gone, "", ""},
		{"operand", never, "\t\tb(), //", "\t\t(false && (b())), //"},
		{"one-of-many", always, "\t\tb && //", "\t\t(true || (b)) && //"},
		{"argument", gone, "\t\tg(), //", "\t\t //"},
		{"sql", anyValue("epoch", "rev"), "epoch=? AND rev <= ?", "?>=0 AND ?>=0"},
		{"sql", anyValue("id", "no"), "", ""},
		{"call", calls("other"), "x.y(z", "x.other(z"},
		{"call", calls("another"), "", ""},
		{"script", never, "if a > 1 and b then", "if false and (a > 1 and b) then"},
		{"script-else", always, "elseif c then", "elseif true or (c) then"},
		{"script", gone, "", ""},
	} {
		got, err := sites[c.guard].without(c.change)
		if want := strings.Replace(sample, c.old, c.new, 1); c.new != "" && (got != want || err != nil) {
			t.Errorf("%s: %v, got\n%s", c.guard, err, got)
		}
		if c.new == "" && err == nil {
			t.Errorf("%s: not refused:\n%s", c.guard, got)
		}
	}
}

func TestGuardsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{
		"twice":     "package x\n\nfunc f() {\n\tg() // guard: a\n\tg() // guard: a\n}\n",
		"of nobody": "package x\n\nfunc f() {\n\tg()\n\t// guard: a\n}\n",
	} {
		if sites, err := sitesIn("x.go", []byte(code)); err == nil {
			t.Errorf("%s: %v", name, sites)
		}
	}
}
