package models_test

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// door is the one file that may write campaigns.status.
const door = "models/transition.go"

// No statement outside the door writes campaigns.status: no SQL in any package of the module, and nothing that gorm writes for models.
func TestOneDoor(t *testing.T) {
	t.Parallel()
	inside := 0
	for dir, files := range goFiles(t, "..") {
		for _, found := range writersOfStatus(t, dir, files) {
			if strings.HasPrefix(found, "../"+door+":") {
				inside++
				continue
			}
			t.Error(found)
		}
	}
	if inside != 2 {
		t.Errorf("%d statements of the door were found, not its INSERT and its UPDATE", inside)
	}
}

// and the test can fail
func TestASecondDoorIsFound(t *testing.T) {
	t.Parallel()
	const head = "package models\ntype Campaign struct{}\nconst table = \"campaigns\"\nconst set = \"UPDATE campaigns SET status=?\"\nfunc f(tx, s any, c *Campaign, rows []Campaign, columns string, m map[string]any) {\n"
	for name, body := range map[string]string{
		"plain":                   `tx.Exec("UPDATE campaigns SET status=? WHERE id=?", 1, 2)`,
		"spaces and case":         "tx.Exec(`update  campaigns\n set planned=1 , Status = ?`)",
		"quoted":                  "tx.Exec(\"UPDATE `campaigns` SET `status`=?\")",
		"of a database":           `tx.Exec("UPDATE carillon.campaigns SET status=?")`,
		"with an alias":           `tx.Exec("UPDATE campaigns c SET c.status=?")`,
		"joined":                  `tx.Exec("UPDATE pages p JOIN campaigns c ON c.id=p.campaign_id SET c.status=?")`,
		"ignoring":                `tx.Exec("UPDATE IGNORE campaigns SET status=?")`,
		"in pieces":               `tx.Exec("UPDATE cam" + "paigns SET planned=1" + ", status=?")`,
		"by a constant":           `tx.Exec(set + " WHERE id=?")`,
		"by the table's constant": `tx.Exec("UPDATE " + table + " SET status=?")`,
		"columns of a variable":   `tx.Exec("UPDATE campaigns SET " + columns)`,
		"a table of a variable":   `tx.Exec("UPDATE " + columns + " SET status=?")`,
		"formatted":               `fmt.Sprintf("UPDATE %s SET status=?", table)`,
		"formatted columns":       `fmt.Sprintf("UPDATE campaigns SET %s", columns)`,
		"inserted":                `tx.Exec("INSERT INTO campaigns (id, status) VALUES (?,?)")`,
		"replaced":                `tx.Exec("REPLACE INTO campaigns VALUES (?,?)")`,
		"gorm, one column":        `tx.Model(&Campaign{}).Where("id = ?", 1).Update("status", 1)`,
		"gorm, columns":           `tx.Model(c).Updates(m)`,
		"gorm, a table":           `tx.Table("campaigns").Where("id = ?", 1).Updates(m)`,
		"gorm, a row":             `tx.Save(c)`,
		"gorm, a new row":         `tx.Clauses(1).Create(&Campaign{})`,
		"gorm, rows":              `tx.CreateInBatches(rows, 10)`,
		"gorm, pointers":          `tx.Save(&rows)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, "models/other.go", head+body+"\n}", 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(writers(fset, []*ast.File{file})) == 0 {
				t.Errorf("not found: %s", body)
			}
		})
	}
}

// goFiles are the module's Go files by their folder, without tests.
func goFiles(t *testing.T, root string) map[string][]string {
	t.Helper()
	dirs := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !strings.Contains(filepath.ToSlash(path), "/internal/testkit/"):
			dirs[filepath.Dir(path)] = append(dirs[filepath.Dir(path)], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs["../models"]) < 20 {
		t.Fatalf("the files of models were not found: %v", dirs)
	}
	return dirs
}

func writersOfStatus(t *testing.T, dir string, paths []string) []string {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if dir != "../models" && !strings.Contains(strings.ToLower(string(text)), "campaigns") {
			continue
		}
		file, err := parser.ParseFile(fset, path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return writers(fset, files)
}

// nothing imports no package: what is not the package's own has no type, and is not asked for one.
type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }

// writers finds the places of a package that write, or might write, campaigns.status.
func writers(fset *token.FileSet, files []*ast.File) (found []string) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = conf.Check("models", fset, files, info)
	tell := func(n ast.Node, what string) { found = append(found, fset.Position(n.Pos()).String()+": "+what) }
	for _, file := range files {
		inner := map[ast.Expr]bool{} // parts of a longer text
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if !inner[n] {
					look(info, n, tell)
				}
				inner[n.X], inner[n.Y] = true, true
			case *ast.BasicLit:
				if !inner[n] && n.Kind == token.STRING {
					look(info, n, tell)
				}
			case *ast.CallExpr:
				if gormWrites(info, n) {
					tell(n, "gorm writes a campaign")
				}
			}
			return true
		})
	}
	return slices.Compact(slices.Sorted(slices.Values(found)))
}

// unknown stands in a text for what only the running program knows.
const unknown = "\x00"

// text is a string expression with its constants filled in. The database's clock and the name of the table pages are known, too.
func text(info *types.Info, e ast.Expr) string {
	if v := info.Types[e].Value; v != nil && v.Kind() == constant.String {
		return constant.StringVal(v)
	}
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return text(info, e.X) + text(info, e.Y)
	case *ast.ParenExpr:
		return text(info, e.X)
	case *ast.SelectorExpr:
		switch e.Sel.Name {
		case "now":
			return "now"
		case "onePage":
			return "pages"
		}
	}
	return unknown
}

var (
	verb     = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*\w`)
	update   = regexp.MustCompile(`\bupdate (?:low_priority |ignore |or \w+ )*(.*?) set (.*)`)
	inserted = regexp.MustCompile(`\b(?:insert|replace) (?:ignore |or \w+ )*into (?:\w+\.)?(campaigns\b|` + unknown + `)`)
	assigned = regexp.MustCompile(`(?:^|,) ?(?:\w+\.)*status ?=`)
	named    = regexp.MustCompile(`\bcampaigns\b`)
)

// look finds a text that is SQL and writes campaigns.status, or whose columns or tables are known to the running program alone.
func look(info *types.Info, e ast.Expr, tell func(ast.Node, string)) {
	sql := verb.ReplaceAllString(text(info, e), unknown)
	sql = strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(sql, "`", "")), " "))
	if inserted.MatchString(sql) {
		tell(e, "inserts a campaign")
	}
	m := update.FindStringSubmatch(sql)
	if m == nil {
		return
	}
	tables, set := m[1], m[2]
	set, _, _ = strings.Cut(set, " where ")
	switch campaigns, open := named.MatchString(tables), strings.Contains(tables, unknown); {
	case !campaigns && !open:
	case assigned.MatchString(set):
		tell(e, "writes campaigns.status")
	case strings.Contains(set, unknown):
		tell(e, "may write campaigns.status")
	}
}

// gormWrites says whether a call is one of gorm that stores a campaign, or columns of one.
func gormWrites(info *types.Info, call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Create", "CreateInBatches", "Save", "FirstOrCreate", "Update", "Updates", "UpdateColumn", "UpdateColumns"}, method.Sel.Name) {
		return false
	}
	if slices.ContainsFunc(call.Args, func(arg ast.Expr) bool { return isCampaign(info.Types[arg].Type) }) {
		return true
	}
	for e := method.X; ; {
		before, ok := e.(*ast.CallExpr)
		if !ok {
			return false
		}
		step, ok := before.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if (step.Sel.Name == "Model" || step.Sel.Name == "Table") && len(before.Args) > 0 {
			arg := before.Args[0]
			if isCampaign(info.Types[arg].Type) || step.Sel.Name == "Table" && !strings.HasPrefix(text(info, arg), "pages") {
				return true
			}
		}
		e = step.X
	}
}

// isCampaign looks through pointers and slices.
func isCampaign(t types.Type) bool {
	switch t := t.(type) {
	case *types.Pointer:
		return isCampaign(t.Elem())
	case *types.Slice:
		return isCampaign(t.Elem())
	case *types.Named:
		return t.Obj().Name() == "Campaign" || t.Obj().Name() == "CampaignView"
	}
	return false
}
