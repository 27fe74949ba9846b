//go:build mutations

// Command mutations shows that the tests behind the promises can fail: it takes one guard at a time out of a copy of
// the code (the product has no switches for that), runs the tests that should notice, and fails if they do not.
//
//	make mutations
//
// It uses the embedded stores alone. With --check it only looks whether each guard is still where the table says.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mutation is one guard taken out: in file, the text old becomes new; then test in pkg must fail.
type mutation struct {
	promise   string
	guard     string
	file      string
	old, new  string
	pkg, test string
}

// All tests named here run on the embedded stores, so that the table needs nothing installed.
var mutations = []mutation{
	{
		"R2, R3", "the fence: epoch and rev in the first statement of a chunk", "models/chunk.go",
		"unknown=? WHERE campaign_id=? AND no=? AND epoch=? AND rev=?", "unknown=? WHERE campaign_id=? AND no=? AND ?>=0 AND ?>=0",
		"./jobs", "TestDeadWorkersPageMovesAgain/embedded",
	},
	{
		"R4", "the reconciler: pages whose lease ended", "jobs/reconcile.go",
		"	if steady {\n", "	if false {\n",
		"./jobs", "TestDeadWorkersPageMovesAgain/embedded",
	},
	{
		"R6", "the reconciler: queued pages whose task is gone", "jobs/reconcile.go",
		"		r.lookAfterQueued(ctx),", "		nil,",
		"./jobs", "TestFlushallOfTheQueue/embedded",
	},
	{
		"R3", "the claim of an at-most-once send", "jobs/deliver.go",
		"if d.v.Campaign.Delivery == models.AtMostOnce {\n		if chunk", "if false {\n		if chunk",
		"./jobs", "TestAtMostOnceClaimsFirst/embedded",
	},
	{
		"R3", "ambiguous answers of an at-most-once send end as unknown", "jobs/chunk.go",
		"case (o.Result == channels.Ambiguous || o.Unsure) && d.v.Campaign.Delivery == models.AtMostOnce:", "case false:",
		"./jobs", "TestAtMostOnce/embedded",
	},
	{
		"R3", "claims of a worker that is gone become unknown", "models/visit.go",
		"if v.PendingRows > 0 && v.Campaign.Delivery == AtMostOnce {", "if false {",
		"./jobs", "TestAtMostOnceTakeOver/embedded",
	},
	{
		"R8", "the control state before each chunk", "jobs/deliver.go",
		"case !fresh || now.Status != models.StatusRunning:", "case false:",
		"./jobs", "TestPauseAndResume/embedded",
	},
	{
		"R9", "the rate limiter", "internal/pacing/rates.go",
		"	return Grant{N: int(got[0])", "	got[0] = int64(n)\n	return Grant{N: int(got[0])",
		"./jobs", "TestRateHoldsOverWorkers/embedded",
	},
	{
		"R10", "missed slots: what nobody was there for is no burst", "internal/slots/due.go",
		"sch.NextSlot < until-models.OnTime {", "sch.NextSlot < 0 {",
		"./jobs", "TestDownTime/skip/embedded",
	},
	{
		"R10", "the version of a schedule: one of many takes its slot", "models/schedules.go",
		"WHERE id=? AND version=? AND next_slot=? AND status=?\",\n		status, f.NextSlot, f.NextFire, sch.ID, sch.Version, sch.NextSlot, ScheduleActive)", "WHERE id=? AND ?>=0 AND ?>=0 AND status=?\",\n		status, f.NextSlot, f.NextFire, sch.ID, sch.Version, sch.NextSlot, ScheduleActive)",
		"./jobs", "TestOneReadingFiresOnce/embedded",
	},
	{
		"local time", "a zone's pages wait for its clock", "jobs/zones.go",
		"		t.Due = models.Millis(", "		t.Due = now - models.Millis(",
		"./jobs", "TestLocalTime/embedded",
	},
	{
		"dead provider", "its failures are nobody's attempt", "jobs/chunk.go",
		"		case excused:", "		case false:",
		"./jobs", "TestDeadProvider/refused/embedded",
	},
	{
		"dead provider", "the breaker: few requests while it is away", "internal/pacing/breaker.lua",
		"return state.run >= TRIP_AT and", "return false and",
		"./jobs", "TestDeadProvider/refused/embedded",
	},
	{
		"stragglers", "a page that waits for attempts leaves the window", "jobs/deliver.go",
		"return nil, d.goBack(d.untilDue()), nil", "return nil, d.wait(d.untilDue()), nil",
		"./jobs", "TestStragglersHoldUpNobody/embedded",
	},
	{
		"stragglers", "a chunk lets its late answers go", "jobs/sending.go",
		"case !d.single && len(d.late)+len(late) <= maxLate:", "case false:",
		"./jobs", "TestLateAnswersHoldUpNobody/sent/embedded",
	},
	{
		"refused caller", "the guard counts who is refused and tried again", "jobs/guard_rule.go",
		"case o.Result == channels.Failed, o.Denied(), failed:", "case o.Result == channels.Failed, failed:",
		"./jobs", "TestGuardRefusedToEverybody/embedded",
	},
	{
		"R11", "the idempotency key in the campaign's transaction", "models/campaigns.go",
		"			if err := tx.Create(&row).Error; err != nil {", "			if err := error(nil); err != nil || row.PublicID == \"\" {",
		"./models", "TestFiftyParallelPostsWithOneKey/embedded",
	},
	{
		"R2", "the mark: users added later are not in the audience", "models/plan.go",
		"c.PlanCursor, c.leftOut(), c.Mark, n)", "c.PlanCursor, c.leftOut(), c.Mark+1000000, n)",
		"./jobs", "TestAllUsersUpToTheMark/embedded",
	},
	{
		"restored", "a ledger that is behind what Redis knows of it is held", "jobs/restored.go",
		"		if lost <= 0 {\n", "		if true {\n",
		"./jobs", "TestRestoredLedgerIsHeld/embedded",
	},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutations:", err)
		os.Exit(1)
	}
}

func run() error {
	check := flag.Bool("check", false, "only look whether each guard is still where the table says")
	root := flag.String("root", ".", "the root of the code")
	flag.Parse()
	if err := os.Chdir(*root); err != nil {
		return err
	}
	if *check {
		for _, m := range mutations {
			if _, _, err := m.mutant(); err != nil {
				return fmt.Errorf("%s: %w", m.guard, err)
			}
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "carillon-mutations-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("| Promise | Taken out | Test | It |\n| --- | --- | --- | --- |")
	survived := 0
	for i, m := range mutations {
		noticed, out, err := m.try(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%s: %w", m.guard, err)
		}
		verdict := "fails"
		if !noticed {
			verdict = "**PASSES**"
			survived++
			fmt.Fprintf(os.Stderr, "%s\n", out)
		}
		fmt.Printf("| %s | %s | `%s` | %s |\n", m.promise, m.guard, m.test, verdict)
	}
	if survived > 0 {
		return fmt.Errorf("%d guards can be taken out unnoticed", survived)
	}
	return nil
}

// mutant is the mutation's file, and its text without the guard.
func (m mutation) mutant() (file, text string, err error) {
	file, err = filepath.Abs(m.file)
	if err != nil {
		return "", "", err
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	if n := strings.Count(string(code), m.old); n != 1 {
		return "", "", fmt.Errorf("%s holds the text to take out %d times", m.file, n)
	}
	return file, strings.Replace(string(code), m.old, m.new, 1), nil
}

// try runs the test on the code without the guard. A copy that does not compile is an error, not a test that fails.
func (m mutation) try(dir string) (noticed bool, out []byte, err error) {
	file, text, err := m.mutant()
	if err != nil {
		return false, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, nil, err
	}
	mutant, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(mutant, []byte(text), 0o600); err != nil {
		return false, nil, err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutant}})
	if err != nil {
		return false, nil, err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return false, nil, err
	}
	if out, err := exec.Command("go", "test", "-overlay", overlay, "-run", "^$", m.pkg).CombinedOutput(); err != nil {
		return false, out, fmt.Errorf("the mutant does not compile: %s", out)
	}
	out, err = exec.Command("go", "test", "-overlay", overlay, "-count=1", "-run", "^"+strings.Replace(m.test, "/", "$/^", 1)+"$", m.pkg).CombinedOutput()
	return err != nil && strings.Contains(string(out), "--- FAIL: "), out, nil
}
