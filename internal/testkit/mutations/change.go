package main

import (
	"errors"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// change takes a guard out: it gives the edits of the file, in their order. It names no identifier of the code where it
// can do without, so that a rename leaves it as it is.
type change func(site) ([]edit, error)

// edit puts a text in the place of a part of a file.
type edit struct {
	span
	text string
}

// never makes a condition false: that of an if, that of a case of a switch without a tag, or the expression itself. In Lua it is
// the condition of the `if … then` on the comment's line.
func never(s site) ([]edit, error) { return s.condition("false && (", "false and (") }

// always makes a condition true, in the same places.
func always(s site) ([]edit, error) { return s.condition("true || (", "true or (") }

var luaIf = regexp.MustCompile(`^\s*(?:else)?if (.+) then\s*$`)

func (s site) condition(golang, lua string) ([]edit, error) {
	var conditions []ast.Expr
	end := ")"
	switch n := s.node.(type) {
	case nil:
		at := luaIf.FindStringSubmatchIndex(s.text(s.lua))
		if at == nil {
			return nil, errors.New("the line is no `if … then`")
		}
		cond := span{s.lua.from + at[2], s.lua.from + at[3]}
		return []edit{{cond, lua + s.text(cond) + ")"}}, nil
	case *ast.IfStmt:
		conditions = []ast.Expr{n.Cond}
	case *ast.CaseClause:
		conditions = n.List
	case ast.Expr: // it may be an operand, and the operators beside it may bind more
		conditions = []ast.Expr{n}
		golang, end = "("+golang, "))"
	}
	if len(conditions) == 0 {
		return nil, errors.New("the statement has no condition")
	}
	var edits []edit
	for _, c := range conditions {
		at := s.of(c.Pos(), c.End())
		edits = append(edits, edit{at, golang + s.text(at) + end})
	}
	return edits, nil
}

// gone takes a statement out, or one of the arguments of a call.
func gone(s site) ([]edit, error) {
	switch s.node.(type) {
	case nil:
		return nil, errors.New("of Lua only conditions can be changed")
	case *ast.CaseClause:
		return nil, errors.New("a case cannot be taken out")
	}
	at := s.of(s.node.Pos(), s.node.End())
	if _, argument := s.node.(ast.Expr); argument && s.src[at.to] == ',' {
		at.to++
	}
	return []edit{{at, ""}}, nil
}

// anyValue lets the WHERE of a statement of SQL take any value of the columns. Each must be compared there exactly once.
func anyValue(columns ...string) change {
	list := regexp.MustCompile(`\b(?:` + strings.Join(columns, "|") + `) ?[<>]?= ?\?`)
	return func(s site) ([]edit, error) {
		if s.node == nil {
			return nil, errors.New("a guard in Lua holds no SQL")
		}
		var edits []edit
		where := false
		ast.Inspect(s.node, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok {
				return true
			}
			at := s.of(lit.Pos(), lit.End())
			text := s.text(at)
			from := 0
			if !where {
				if from = strings.LastIndex(text, "WHERE "); from < 0 {
					return true
				}
				where = true
			}
			for _, m := range list.FindAllStringIndex(text[from:], -1) {
				edits = append(edits, edit{span{at.from + from + m[0], at.from + from + m[1]}, "?>=0"})
			}
			return true
		})
		if len(edits) != len(columns) {
			return nil, fmt.Errorf("its WHERE compares %s %d times, not once each", strings.Join(columns, ", "), len(edits))
		}
		return edits, nil
	}
}

// sets lets a statement of SQL set one more column.
func sets(assignment string) change {
	return func(s site) ([]edit, error) {
		var edits []edit
		if s.node != nil {
			ast.Inspect(s.node, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok {
					at := s.of(lit.Pos(), lit.End())
					if from := strings.Index(s.text(at), " SET "); from >= 0 {
						from += at.from + len(" SET ")
						edits = append(edits, edit{span{from, from}, assignment + ", "})
					}
				}
				return true
			})
		}
		if len(edits) != 1 {
			return nil, fmt.Errorf("it holds %d statements that set columns, not one", len(edits))
		}
		return edits, nil
	}
}

// calls calls another method of the same value in the place of the first one that the statement calls. It is the one change that
// names an identifier of the code.
func calls(method string) change {
	return func(s site) ([]edit, error) {
		var called *ast.Ident
		if s.node != nil {
			ast.Inspect(s.node, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && called == nil {
					if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
						called = sel.Sel
					}
				}
				return called == nil
			})
		}
		if called == nil {
			return nil, errors.New("the statement calls no method")
		}
		if err := declared(filepath.Dir(s.file), method); err != nil {
			return nil, err
		}
		return []edit{{s.of(called.Pos(), called.End()), method}}, nil
	}
}

// declared looks for a method of a package, so that a rename is noticed before anything is compiled.
func declared(dir, method string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	head := regexp.MustCompile(`(?m)^func \([^)]*\) ` + method + `\(`)
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil || head.Match(code) {
			return err
		}
	}
	return fmt.Errorf("the method %s has another name now: change it in table.go", method)
}
