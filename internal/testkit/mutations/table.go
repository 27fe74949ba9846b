package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// mutation is one guard taken out, and the test that must notice.
type mutation struct {
	promise string
	guard   string // the name in the comment that marks it
	what    string // in words
	change  change
	pkg     string
	test    string
}

// All tests named here run on the embedded stores, so that the table needs nothing installed.
var mutations = []mutation{
	{"R2, R3", "fence", "the fence: epoch and rev in the first statement of a chunk", anyValue("epoch", "rev"), "./jobs", "TestDeadWorkersPageMovesAgain/embedded"},
	{"R4", "lease-ended", "the reconciler: pages whose lease ended", always, "./jobs", "TestDeadWorkersPageMovesAgain/embedded"},
	{"R6", "task-lost", "the reconciler: queued pages whose task is gone", gone, "./jobs", "TestFlushallOfTheQueue/embedded"},
	{"R3", "claim-first", "the claim of an at-most-once send", never, "./jobs", "TestAtMostOnceClaimsFirst/embedded"},
	{"R3", "ambiguous-is-unknown", "ambiguous answers of an at-most-once send end as unknown", never, "./jobs", "TestAtMostOnce/embedded"},
	{"R3", "claims-of-the-gone", "claims of a worker that is gone become unknown", never, "./jobs", "TestAtMostOnceTakeOver/embedded"},
	{"R3", "maybe-sent", "the mark of whose request may have been accepted", never, "./jobs", "TestMaybeSentOutlivesARestart/embedded"},
	{"R3", "maybe-sent-to", "how far a worker that is gone may have sent", never, "./jobs", "TestMaybeSentByAWorkerThatIsGone/embedded"},
	{"R3", "lost-ledger", "whom a ledger that was lost may have sent to", never, "./jobs", "TestMaybeSentFromALostLedger/embedded"},
	{"R3", "failed-maybe-sent", "who waited and may have been sent to is not failed with the campaign", never, "./jobs", "TestMaybeSentWhenTheCampaignFails/taken_over/embedded"},
	{"R3", "failed-maybe-sent-to", "nor is who has no row yet", always, "./jobs", "TestMaybeSentWhenTheCampaignFails/taken_over/embedded"},
	{"R3", "openim-weak-no", "a no of OpenIM's is no leave to send again at most once", never, "./channels/openim", "TestTable"},
	{"R3", "openim-ask", "OpenIM is asked at once about a send without a clear answer", always, "./channels/openim", "TestTable"},
	{"R3", "openim-ask-first", "OpenIM is asked before a second send to who may have been sent to", never, "./channels/openim", "TestTable"},
	{"R3", "no-lease-no-send", "no request starts when the page's lease is over", always, "./jobs", "TestNoRequestStartsWithoutTheLease"},
	{"R3", "lease-renewed", "no request starts when the database does not renew the page's lease", always, "./jobs", "TestNoRequestStartsWithoutTheDatabase"},
	{"R3", "steady-contact", "pages are taken over in steady contact with the database only", always, "./jobs", "TestRescuerTakesOverInSteadyContactOnly/embedded"},
	{"R5", "drain", "no request starts when the worker ends", always, "./jobs", "TestStopStartsNoRequest/embedded"},
	{"cut-off worker", "no-contact-no-task", "a worker without its database puts its tasks back", never, "./jobs", "TestTaskIsPutBackWithoutTheDatabase/embedded"},
	{"R8", "control-before-chunk", "the control state before each chunk", never, "./jobs", "TestPauseAndResume/embedded"},
	{"R8", "pause-all-schedules", "the pause of all schedules", gone, "./models", "TestResumeAllSchedules/embedded"},
	{"R9", "rate", "the rate limiter", never, "./jobs", "TestRateHoldsOverWorkers/embedded"},
	{"R10", "missed-slots", "missed slots: what nobody was there for is no burst", never, "./jobs", "TestDownTime/skip/embedded"},
	{"R10", "schedule-version", "the version of a schedule: one of many takes its slot", anyValue("version", "next_slot"), "./jobs", "TestOneReadingFiresOnce/embedded"},
	{"local time", "zone-clock", "a zone's pages wait for its clock", never, "./jobs", "TestLocalTime/embedded"},
	{"dead provider", "excused", "its failures are nobody's attempt", never, "./jobs", "TestDeadProvider/refused/embedded"},
	{"dead provider", "breaker", "the breaker: few requests while it is away", never, "./jobs", "TestDeadProvider/refused/embedded"},
	{"poison", "own-503", "a 503 while others are served is its recipient's", never, "./internal/pacing", "TestOwn503/embedded"},
	{"stragglers", "window-left", "a page that waits for attempts leaves the window", calls("asWaiting"), "./jobs", "TestStragglersHoldUpNobody/embedded"},
	{"stragglers", "late-answers", "a chunk lets its late answers go", never, "./jobs", "TestLateAnswersHoldUpNobody/sent/embedded"},
	{"refused caller", "refused-counts", "the guard counts who is refused and tried again", never, "./jobs", "TestGuardRefusedToEverybody/embedded"},
	{"R11", "idempotency-key", "the idempotency key in the campaign's transaction", never, "./models", "TestFiftyParallelPostsWithOneKey/embedded"},
	{"R11", "another-body", "another body under the same key is refused", never, "./handlers", "TestIdempotentPost/embedded"},
	{"R2", "mark", "the mark: users added later are not in the audience", anyValue("added_rev"), "./jobs", "TestAllUsersUpToTheMark/embedded"},
	{"directory sync", "two-passes", "the generation rule: a user whom one pass missed stays", gone, "./models", "TestUsersVanishAfterTwoPasses/embedded"},
	{"directory sync", "half-seen", "a pass that saw fewer than half of the users ends nothing", never, "./jobs", "TestSyncOfAProviderThatLies/embedded"},
	{"directory sync", "vanished-at-the-provider", "nobody is taken away whom the provider still has", always, "./jobs", "TestLivingUsersWhomNoPassSees/embedded"},
	{"openim", "refused-as-a-whole", "a campaign that is refused as a whole starts no request", always, "./jobs", "TestOpenIMRefusalStopsTheChunk/embedded"},
	{"openim", "openim-token-read", "OpenIM is asked for no token that another process has stored", always, "./channels/openim", "TestTokenStoredBeforeTheLock"},
	{"tokens", "token-tries", "guesses of one address count as tries", never, "./handlers", "TestGuessesDoNotReachOpenIM/embedded"},
	{"tokens", "token-age", "what OpenIM said of a token counts no longer than a minute", always, "./handlers/web", "TestAnAnswerCountsForAMinute"},
	{"restored", "ledger-behind", "a ledger that is behind what Redis knows of it is held", always, "./jobs", "TestRestoredLedgerIsHeld/embedded"},
	{"watching", "one-reader", "all who watch a campaign share one reader of the ledger", always, "./handlers", "TestWatchersShareOneReader"},
	{"contract", "contract", "a refusal without findings has no list of them", always, "./handlers", "TestContractHoldsRefusals/embedded"},
	{"events", "webhook-fence", "the epoch of who posts events", anyValue("epoch"), "./models", "TestOneProcessPostsEvents/embedded"},
	{"events", "metadata", "link-local and metadata addresses are refused when connecting", never, "./internal/outbound", "TestWhichAddressesMayBeReached"},
	{"one door", "one-door", "no second statement writes a campaign's state", sets("status='expired'"), "./models", "TestModel/embedded"},
}

const tableHead = "| Promise | Taken out | Test | It |\n| --- | --- | --- | --- |"

// line is the mutation's line in a table of tableHead.
func (m mutation) line(noticed bool) string {
	verdict := "fails"
	if !noticed {
		verdict = "**PASSES**"
	}
	return fmt.Sprintf("| %s | %s | `%s` | %s |", m.promise, m.what, m.function(), verdict)
}

// function is the test's function: the test without its subtests.
func (m mutation) function() string {
	name, _, _ := strings.Cut(m.test, "/")
	return name
}

// testExists looks for the test's function. A test that is not there would not fail.
func (m mutation) testExists(root string) error {
	files, err := filepath.Glob(filepath.Join(root, m.pkg, "*_test.go"))
	if err != nil {
		return err
	}
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(m.function()) + `\(`)
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil || declared.Match(code) {
			return err
		}
	}
	return fmt.Errorf("%s has no test %s", m.pkg, m.function())
}
