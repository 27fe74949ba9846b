-- Times are unix milliseconds by the database's clock. Keys that hold IDs from outside are TEXT with the
-- default collation BINARY: they compare byte for byte, so 'Bob', 'bob', 'bób' and 'bob ' are four users.

-- +goose Up
-- One row. Every write to users updates it first, so rev follows commit order and live is exact.
CREATE TABLE directory (
  id INTEGER NOT NULL PRIMARY KEY,
  rev INTEGER NOT NULL,
  live INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO directory (id, rev, live) VALUES (1, 0, 0);

CREATE TABLE users (
  user_id TEXT NOT NULL PRIMARY KEY,
  added_rev INTEGER NOT NULL, -- directory.rev of the insert; an upsert leaves it
  nickname TEXT NOT NULL,
  face_url TEXT NOT NULL,
  timezone TEXT NOT NULL,
  ex TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE chat_groups (
  group_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  version INTEGER NOT NULL, -- the member list that counts now
  size INTEGER NOT NULL
) WITHOUT ROWID;

-- A PUT writes a new version beside the old one, so a campaign can expand the version it froze.
CREATE TABLE group_members (
  group_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  user_id TEXT NOT NULL,
  PRIMARY KEY (group_id, version, user_id)
) WITHOUT ROWID;
CREATE INDEX group_members_user ON group_members (user_id, group_id, version);

CREATE TABLE campaigns (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  public_id TEXT NOT NULL, -- ULID
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  status_reason TEXT NOT NULL,
  channel TEXT NOT NULL,
  message BLOB NOT NULL, -- JSON
  audience_type TEXT NOT NULL,
  group_id TEXT NOT NULL,
  group_version INTEGER NOT NULL,
  kind INTEGER NOT NULL, -- 0 recipients are users, 1 the recipient is a group
  inbox INTEGER NOT NULL, -- 0 in no inbox, 1 found by inbox_small, 2 found by primary key
  mark INTEGER NOT NULL, -- directory.rev that froze an all-users audience
  total INTEGER NOT NULL,
  planned INTEGER NOT NULL,
  plan_cursor TEXT NOT NULL,
  plan_epoch INTEGER NOT NULL,
  plan_due INTEGER NOT NULL, -- when the reconciler looks after an unfinished plan
  pages INTEGER NOT NULL, -- cut so far
  rate_per_second INTEGER NOT NULL,
  delivery TEXT NOT NULL,
  guard INTEGER NOT NULL, -- pauses itself when too many fail; off once an operator resumed it
  retry TEXT NOT NULL, -- what a retry under way takes up again, JSON; empty = none
  retry_page INTEGER NOT NULL, -- the page it has come to
  priority TEXT NOT NULL,
  operation_id TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expire_at INTEGER NOT NULL, -- 0 = never
  started_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL -- 0 until finished
);
CREATE UNIQUE INDEX campaigns_public_id ON campaigns (public_id);
CREATE INDEX campaigns_status ON campaigns (status, id);
CREATE INDEX campaigns_inbox ON campaigns (inbox, started_at, id, finished_at);
CREATE INDEX campaigns_inbox_end ON campaigns (inbox, finished_at, started_at);

CREATE TABLE pages (
  campaign_id INTEGER NOT NULL,
  no INTEGER NOT NULL,
  state INTEGER NOT NULL, -- 0 new, 1 queued, 2 running, 3 waiting, 4 done
  due_at INTEGER NOT NULL, -- queued and running: end of the lease; waiting: when it is ready
  epoch INTEGER NOT NULL,
  rev INTEGER NOT NULL,
  size INTEGER NOT NULL,
  pos INTEGER NOT NULL, -- the cursor: members before it have a row
  pending_rows INTEGER NOT NULL, -- of those, how many are still pending
  rest INTEGER NOT NULL, -- the status of the members ahead of the cursor: pending until the page is closed
  first_id TEXT NOT NULL,
  sent INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  skipped INTEGER NOT NULL,
  expired INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  unknown INTEGER NOT NULL,
  PRIMARY KEY (campaign_id, no)
) WITHOUT ROWID;
CREATE INDEX pages_state ON pages (campaign_id, state, no);
CREATE INDEX pages_due ON pages (state, due_at);
CREATE INDEX pages_first ON pages (campaign_id, first_id);

-- The member IDs of a page, apart from it so that counters and states stay in small rows.
CREATE TABLE page_members (
  campaign_id INTEGER NOT NULL,
  no INTEGER NOT NULL,
  members BLOB NOT NULL,
  PRIMARY KEY (campaign_id, no)
) WITHOUT ROWID;

-- Written once with the outcome; a row is pending only while a retry waits.
CREATE TABLE recipients (
  campaign_id INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  user_id TEXT NOT NULL, -- or the group's ID, by kind
  status INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  sent_at INTEGER NULL,
  next_attempt_at INTEGER NULL,
  err_code INTEGER NULL,
  err_msg TEXT NULL,
  server_msg_id TEXT NULL,
  PRIMARY KEY (campaign_id, kind, user_id)
) WITHOUT ROWID;

-- The inbox's way to the messages of small campaigns; large ones are looked up by primary key.
CREATE TABLE inbox_small (
  kind INTEGER NOT NULL,
  user_id TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  campaign_id INTEGER NOT NULL,
  PRIMARY KEY (kind, user_id, sent_at, campaign_id)
) WITHOUT ROWID;

CREATE TABLE idempotency (
  caller TEXT NOT NULL,
  route TEXT NOT NULL,
  idem_key TEXT NOT NULL,
  body_hash BLOB NOT NULL,
  public_id TEXT NOT NULL,
  answer BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (caller, route, idem_key)
) WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE inbox_small;
DROP TABLE recipients;
DROP TABLE page_members;
DROP TABLE pages;
DROP TABLE campaigns;
DROP TABLE group_members;
DROP TABLE chat_groups;
DROP TABLE users;
DROP TABLE directory;
