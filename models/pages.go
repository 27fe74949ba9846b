package models

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// PageSize is how many recipients one page, and so one task, carries. 1,000,000 recipients are 1,000 tasks.
const PageSize = 1000

// Leases, in milliseconds. A worker's lease must outlast the longest request (8 s) and three renewals; see ADR 9.
const (
	WorkLease  Millis = 10_000 // of a running page; renewed every 2 s
	QueueLease Millis = 5_000  // of a queued page, before the reconciler looks its task up
	PlanLease  Millis = 5_000  // of a plan, renewed with every batch of pages
)

// firstWindow is how many pages a POST queues itself; the reconciler and the workers fill the rest.
const firstWindow = 4

// maxInboxSmall: campaigns of up to so many recipients add a row per recipient to inbox_small.
const maxInboxSmall = 1000

// PageState is where a page stands.
type PageState int

const (
	// PageNew is outside the window and may enter it from due_at on. Either nobody has visited the page yet (due_at is then
	// 0, or the start of its time zone), or all of its pending recipients wait for their next attempt.
	PageNew     PageState = iota
	PageQueued            // a task carries it; from due_at on the reconciler looks the task up
	PageRunning           // a worker holds it until due_at
	PageWaiting           // it may be queued again at due_at
	PageDone              // cursor at the end, nothing pending
	PageOpen              // the planner still adds members of its zone
	PageParked            // a worker holds it until due_at and waits for a few late answers; it is outside the window
)

// Page is the row of one page; its members stand in page_members.
type Page struct {
	CampaignID  int64 `gorm:"primaryKey;autoIncrement:false"`
	No          int   `gorm:"primaryKey;autoIncrement:false"`
	State       PageState
	DueAt       Millis
	Epoch       int // counts the enqueues; a task of an older epoch is stale
	Rev         int // counts the updates; the fence of every write
	Size        int
	Pos         int             // the cursor: members before it have a row
	MaybeSentTo int             // members before this place may have been sent to, though they have no row; see TakeOver
	PendingRows int             // of those, how many are still pending
	AheadStatus RecipientStatus `gorm:"column:rest"` // of the members ahead of the cursor: pending until the page is closed
	FirstID     string
	Zone        string // of all its members; empty = it does not matter
	Sent        int
	Failed      int
	Skipped     int
	Expired     int
	Cancelled   int
	Unknown     int
	lost        bool // whoever has no outcome in this page may have been sent to; see Campaign.lost
}

type pageMembers struct {
	CampaignID int64 `gorm:"primaryKey;autoIncrement:false"`
	No         int   `gorm:"primaryKey;autoIncrement:false"`
	Members    []byte
}

func (pageMembers) TableName() string { return "page_members" }

// listed is a piece of the recipients that a POST named.
type listed struct {
	CampaignID int64  `gorm:"primaryKey;autoIncrement:false"`
	LastID     string `gorm:"primaryKey"`
	Members    []byte
}

func (listed) TableName() string { return "listed" }

// PageTask names the visit to one page that is to be enqueued.
type PageTask struct {
	Campaign int64
	Page     int
	Epoch    int
	Priority Priority
}

// PlanTask names the planning of one campaign that is to be enqueued.
type PlanTask struct {
	Campaign int64
	Epoch    int
	Priority Priority
}

// ErrFenced is returned to a worker whose page has been given to another: it must write nothing more.
var ErrFenced = errors.New("the page was taken over")

// ErrNotYet: the database does not know of a task yet that Redis has already.
var ErrNotYet = errors.New("the database does not know of the task yet")

func sortedUnique(ids []string) []string {
	out := slices.Clone(ids)
	slices.Sort(out)
	return slices.Compact(out)
}

// packer compresses IDs as lines; IDs hold no control characters. One packer serves many pages, because a compressor takes
// more memory than a page. The zero value is ready.
type packer struct{ w *flate.Writer }

func (p *packer) pack(ids []string) []byte {
	var buf bytes.Buffer
	if p.w == nil {
		p.w, _ = flate.NewWriter(&buf, flate.BestSpeed) // fails on an unknown level only; writes to memory do not fail
	} else {
		p.w.Reset(&buf)
	}
	_, _ = io.WriteString(p.w, strings.Join(ids, "\n"))
	_ = p.w.Close()
	return buf.Bytes()
}

func unpackMembers(blob []byte) ([]string, error) {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(blob)))
	if err != nil {
		return nil, fmt.Errorf("the members of a page cannot be read: %w", err)
	}
	return strings.Split(string(raw), "\n"), nil
}

type packedPage struct {
	Page
	members []byte
}

// cutPages cuts sorted members into new pages numbered from first.
func cutPages(campaignID int64, first int, members []string) []packedPage {
	var pages []packedPage
	var p packer
	for ids := range slices.Chunk(members, PageSize) {
		pages = append(pages, packedPage{
			Page:    Page{CampaignID: campaignID, No: first + len(pages), Size: len(ids), FirstID: ids[0]},
			members: p.pack(ids),
		})
	}
	return pages
}

// insertListed stores the sorted recipients that a POST named, for planning to cut into pages.
func insertListed(tx *gorm.DB, campaignID int64, members []string) error {
	var rows []listed
	var p packer
	for ids := range slices.Chunk(members, PageSize) {
		rows = append(rows, listed{campaignID, ids[len(ids)-1], p.pack(ids)})
	}
	if len(rows) == 0 {
		return nil
	}
	return tx.CreateInBatches(rows, 100).Error
}

func insertPages(tx *gorm.DB, cut []packedPage) error {
	if len(cut) == 0 {
		return nil
	}
	pages, members := make([]Page, len(cut)), make([]pageMembers, len(cut))
	for i, c := range cut {
		pages[i], members[i] = c.Page, pageMembers{c.CampaignID, c.No, c.members}
	}
	if err := tx.CreateInBatches(pages, 100).Error; err != nil {
		return err
	}
	return tx.CreateInBatches(members, 100).Error
}

// LateRetry is how late a retry may be before it goes first:
//
//   - Up to LateRetry, pages that nobody has visited go before pages with retries, and members that nobody has tried
//     before retries. So a few retries do not slow a fast campaign.
//   - After LateRetry it is the other way round. So retries do not wait for the end of a slow campaign.
const LateRetry Millis = 10_000

// readyPages reads up to n new pages of a campaign whose time has come, in the order in which they are let in.
func (s *Store) readyPages(ctx context.Context, campaignID int64, n int) ([]Page, error) {
	pages, err := s.latePages(ctx, campaignID, n)
	if err != nil || len(pages) > 0 {
		return pages, err
	}
	return s.newPages(ctx, campaignID, n, "due_at <= "+s.d.now)
}

// latePages reads those of the ready pages that are LateRetry late.
func (s *Store) latePages(ctx context.Context, campaignID int64, n int) ([]Page, error) {
	return s.newPages(ctx, campaignID, n, fmt.Sprintf("due_at > 0 AND due_at <= %s-%d", s.d.now, LateRetry))
}

func (s *Store) newPages(ctx context.Context, campaignID int64, n int, due string) (pages []Page, err error) {
	err = s.db.WithContext(ctx).Where("campaign_id = ? AND state = ? AND "+due, campaignID, PageNew).Order("due_at, no").Limit(n).Find(&pages).Error
	return pages, err
}

// QueuePages moves up to n new pages of a running campaign whose time has come into the window and returns their tasks.
func (s *Store) QueuePages(ctx context.Context, c Campaign, n int) ([]PageTask, error) {
	pages, err := s.readyPages(ctx, c.ID, n)
	if err != nil {
		return nil, err
	}
	return s.queueAll(ctx, pages, c.Priority)
}

func (s *Store) queueAll(ctx context.Context, pages []Page, priority Priority) ([]PageTask, error) {
	var tasks []PageTask
	for _, p := range pages {
		task, ok, err := s.QueuePage(ctx, p, priority)
		if err != nil {
			return tasks, err
		}
		if ok {
			tasks = append(tasks, task)
		}
	}
	return tasks, nil
}

// QueuePage makes a page queued, under a new epoch. ok is false when the page has changed since it was read.
func (s *Store) QueuePage(ctx context.Context, p Page, priority Priority) (task PageTask, ok bool, err error) {
	task, query, args := s.queuePageSQL(p, priority)
	n, err := s.exec(ctx, query, args...)
	return task, n == 1, err
}

// queuePageSQL is the statement of QueuePage, for a transaction that does more.
func (s *Store) queuePageSQL(p Page, priority Priority) (task PageTask, query string, args []any) {
	query = "UPDATE " + s.d.onePage + " SET rev=rev+1, epoch=epoch+1, state=?, due_at=" + s.d.now + "+? WHERE campaign_id=? AND no=? AND epoch=? AND state=? AND rev=? AND due_at=?"
	args = []any{PageQueued, QueueLease, p.CampaignID, p.No, p.Epoch, p.State, p.Rev, p.DueAt}
	return PageTask{Campaign: p.CampaignID, Page: p.No, Epoch: p.Epoch + 1, Priority: priority}, query, args
}

// ExtendQueued gives a queued page another QueueLease, because its task was seen in the queue.
func (s *Store) ExtendQueued(ctx context.Context, p Page) error {
	_, err := s.exec(ctx, "UPDATE "+s.d.onePage+" SET due_at="+s.d.now+"+? WHERE campaign_id=? AND no=? AND epoch=? AND state=?",
		QueueLease, p.CampaignID, p.No, p.Epoch, PageQueued)
	return err
}

// DuePages reads up to 200 pages of running campaigns in the given state whose time has come, oldest first.
func (s *Store) DuePages(ctx context.Context, state PageState) ([]Page, error) {
	var pages []Page
	err := s.db.WithContext(ctx).Raw("SELECT p.* FROM pages p JOIN campaigns c ON c.id=p.campaign_id AND c.status=? WHERE p.state=? AND p.due_at<="+s.d.now+" ORDER BY p.due_at LIMIT 200",
		StatusRunning, state).Scan(&pages).Error
	return pages, err
}

// Window counts the pages of one running campaign by what may happen to them next.
type Window struct {
	Campaign
	New     int // pages that may be let in now (0 or 1: whether there are any)
	Later   int // pages outside the window whose time is still to come, or that are being filled (0 or 1)
	Queued  int
	Running int
	Parked  int // pages whose workers wait for a few late answers
	DueBack int // waiting pages that come back within WindowWait
	Waiting int // all waiting pages
}

// WindowWait is how long a waiting page stays in its campaign's window, in milliseconds. A page that waits longer leaves the
// window, and others come in.
const WindowWait Millis = 2_000

// windowBy is SQL: the latest due time of a waiting page in the window.
func windowBy(now string) string { return fmt.Sprintf("%s+%d", now, WindowWait) }

// Inside is how many pages are in the window.
func (w Window) Inside() int { return w.Queued + w.Running + w.DueBack }

// Open says whether any page is not done.
func (w Window) Unfinished() bool { return w.New+w.Later+w.Queued+w.Running+w.Parked+w.Waiting > 0 }

// AllLater says that nobody of the campaign can be sent to now: all who are left wait for a time to come.
func (w Window) AllLater() bool {
	return w.Planned && w.Later > 0 && w.Inside() == 0 && w.Waiting == 0 && w.New == 0 && w.Parked == 0
}

// Windows reads the windows of all running campaigns, without their messages.
func (s *Store) Windows(ctx context.Context) ([]Window, error) {
	return s.windows(ctx, "status = ?", StatusRunning)
}

// WindowOf reads the window of one campaign; nil when it is not running.
func (s *Store) WindowOf(ctx context.Context, campaignID int64) (*Window, error) {
	w, err := s.windows(ctx, "id = ? AND status = ?", campaignID, StatusRunning)
	if err != nil || len(w) == 0 {
		return nil, err
	}
	return &w[0], nil
}

// Inside is Window.Inside of one campaign and nothing else.
func (s *Store) Inside(ctx context.Context, campaignID int64) (n int, err error) {
	err = s.db.Statement.ConnPool.QueryRowContext(ctx, "SELECT COUNT(*) FROM pages WHERE campaign_id=? AND (state IN (?,?) OR state=? AND due_at<="+windowBy(s.d.now)+")",
		campaignID, int(PageQueued), int(PageRunning), int(PageWaiting)).Scan(&n)
	return n, err
}

func (s *Store) windows(ctx context.Context, where string, args ...any) ([]Window, error) {
	// Counted from the narrow (campaign_id, state, due_at) index, one state at a time: done pages are not touched.
	count := func(state PageState, and string) string {
		return fmt.Sprintf("(SELECT COUNT(*) FROM pages p WHERE p.campaign_id=c.id AND p.state=%d%s)", state, and)
	}
	exists := func(which string) string {
		return "EXISTS(SELECT 1 FROM pages p WHERE p.campaign_id=c.id AND " + which + ")"
	}
	var out []Window
	err := s.db.WithContext(ctx).Raw("SELECT "+listedColumns+", "+
		exists(fmt.Sprintf("p.state=%d AND p.due_at<=%s", PageNew, s.d.now))+" AS new, "+
		exists(fmt.Sprintf("p.state=%d AND p.due_at>%s", PageNew, s.d.now))+" OR "+exists(fmt.Sprintf("p.state=%d", PageOpen))+" AS later, "+
		count(PageQueued, "")+" AS queued, "+count(PageRunning, "")+" AS running, "+count(PageParked, "")+" AS parked, "+
		count(PageWaiting, " AND p.due_at<="+windowBy(s.d.now))+" AS due_back, "+count(PageWaiting, "")+" AS waiting FROM campaigns c WHERE "+where, args...).Scan(&out).Error
	return out, err
}

// RunningCampaigns reads, without their messages, the running campaigns that the pages belong to.
func (s *Store) RunningCampaigns(ctx context.Context, pages []Page) (map[int64]Campaign, error) {
	var ids []int64
	for _, p := range pages {
		ids = append(ids, p.CampaignID)
	}
	slices.Sort(ids)
	var rows []Campaign
	err := s.db.WithContext(ctx).Raw("SELECT "+listedColumns+" FROM campaigns WHERE id IN ? AND status = ?", slices.Compact(ids), StatusRunning).Scan(&rows).Error
	out := make(map[int64]Campaign, len(rows))
	for _, c := range rows {
		out[c.ID] = c
	}
	return out, err
}

// unpurged tells a read of recipients that has just ended whether it can be trusted: purged_at is set before the
// first of them is deleted, so what was read while it is 0 was whole.
func (s *Store) unpurged(ctx context.Context, campaignID int64) error {
	var c Campaign
	if err := s.db.WithContext(ctx).Select("purged_at").Where("id = ?", campaignID).Take(&c).Error; err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
		return err
	}
	return c.ErrPurged()
}

func (s *Store) members(db *gorm.DB, campaignID int64, no int) ([]string, error) {
	var blob pageMembers
	if err := db.Where("campaign_id = ? AND no = ?", campaignID, no).Take(&blob).Error; err != nil {
		return nil, err
	}
	return unpackMembers(blob.Members)
}

// planChanges is what a step of planning writes.
type planChanges struct {
	inserts []packedPage // to insert
	updates []packedPage // open ones that got members, or are released
}

// settled are the recipients who have their outcome by the plan alone: they missed their local time.
func (c *planChanges) settled() (n Counts) {
	for _, p := range slices.Concat(c.inserts, c.updates) {
		if p.State == PageDone {
			n.Skipped += int64(p.Skipped)
		}
	}
	return n
}

// growPage writes what a step of planning did to an open page. Nobody else touches one.
func growPage(tx *gorm.DB, p packedPage) error {
	err := tx.Exec("UPDATE pages SET rev=rev+1, state=?, due_at=?, size=?, rest=?, skipped=? WHERE campaign_id=? AND no=?",
		p.State, p.DueAt, p.Size, p.AheadStatus, p.Skipped, p.CampaignID, p.No).Error
	if err == nil && p.members != nil {
		err = tx.Exec("UPDATE page_members SET members=? WHERE campaign_id=? AND no=?", p.members, p.CampaignID, p.No).Error
	}
	return err
}
