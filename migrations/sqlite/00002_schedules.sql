-- Campaigns that start later, pages by time zone, and schedules.

-- +goose Up
ALTER TABLE campaigns ADD COLUMN send_at INTEGER NOT NULL DEFAULT 0; -- when it starts; 0 = when it was posted
ALTER TABLE campaigns ADD COLUMN wall_at INTEGER NOT NULL DEFAULT 0; -- the local date and clock of a local-time campaign, as if in UTC; 0 = none
ALTER TABLE campaigns ADD COLUMN missed TEXT NOT NULL DEFAULT ''; -- of zones that are past
ALTER TABLE campaigns ADD COLUMN missed_grace INTEGER NOT NULL DEFAULT 0; -- milliseconds
ALTER TABLE campaigns ADD COLUMN quiet_from INTEGER NOT NULL DEFAULT 0; -- minutes of the local day; equal to quiet_to = no quiet hours
ALTER TABLE campaigns ADD COLUMN quiet_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE campaigns ADD COLUMN zone TEXT NOT NULL DEFAULT ''; -- of users who have none
ALTER TABLE campaigns ADD COLUMN schedule_id TEXT NOT NULL DEFAULT ''; -- schedules.public_id
ALTER TABLE campaigns ADD COLUMN slot INTEGER NOT NULL DEFAULT 0; -- of the schedule; 0 = run by hand
CREATE INDEX campaigns_schedule ON campaigns (schedule_id, id);
CREATE INDEX campaigns_send_at ON campaigns (status, send_at);

-- The window takes new pages in the order of their time.
ALTER TABLE pages ADD COLUMN zone TEXT NOT NULL DEFAULT ''; -- of all its members; empty = it does not matter
DROP INDEX pages_state;
CREATE INDEX pages_state ON pages (campaign_id, state, due_at, no);
DROP INDEX pages_first;
CREATE INDEX pages_first ON pages (campaign_id, zone, first_id);

-- The recipients that a POST named, until planning cuts them into pages by zone.
CREATE TABLE listed (
  campaign_id INTEGER NOT NULL,
  last_id TEXT NOT NULL,
  members BLOB NOT NULL, -- as in page_members
  PRIMARY KEY (campaign_id, last_id)
) WITHOUT ROWID;

CREATE TABLE schedules (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  public_id TEXT NOT NULL, -- ULID
  name TEXT NOT NULL,
  cron TEXT NOT NULL,
  timezone TEXT NOT NULL,
  local_time INTEGER NOT NULL, -- slots are local dates and clocks, as if in UTC
  anchor INTEGER NOT NULL, -- the phase of @every
  start_at INTEGER NOT NULL, -- 0 = since ever
  end_at INTEGER NOT NULL, -- 0 = for ever
  missed TEXT NOT NULL,
  missed_grace INTEGER NOT NULL, -- milliseconds
  overlap TEXT NOT NULL,
  campaign BLOB NOT NULL, -- the template, JSON
  status TEXT NOT NULL,
  version INTEGER NOT NULL, -- counts the changes: the fence of every firing
  next_slot INTEGER NOT NULL, -- 0 = none
  next_fire INTEGER NOT NULL, -- the instant at which next_slot is acted upon
  operation_id TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX schedules_public_id ON schedules (public_id);
CREATE INDEX schedules_due ON schedules (status, next_fire);

-- What became of each slot: one row, whoever saw it first. NULL slots were run by hand.
CREATE TABLE occurrences (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  schedule_id INTEGER NOT NULL,
  slot INTEGER NULL,
  last_slot INTEGER NOT NULL, -- of a run of missed ones; else 0
  slots INTEGER NOT NULL, -- how many this row stands for
  outcome TEXT NOT NULL,
  reason TEXT NOT NULL,
  campaign_id TEXT NOT NULL, -- campaigns.public_id; empty = none
  created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX occurrences_slot ON occurrences (schedule_id, slot);
CREATE INDEX occurrences_schedule ON occurrences (schedule_id, id);

-- +goose Down
DROP TABLE occurrences;
DROP TABLE schedules;
DROP TABLE listed;
DROP INDEX pages_first;
DROP INDEX pages_state;
ALTER TABLE pages DROP COLUMN zone;
CREATE INDEX pages_state ON pages (campaign_id, state, no);
CREATE INDEX pages_first ON pages (campaign_id, first_id);
DROP INDEX campaigns_schedule;
DROP INDEX campaigns_send_at;
ALTER TABLE campaigns DROP COLUMN send_at;
ALTER TABLE campaigns DROP COLUMN wall_at;
ALTER TABLE campaigns DROP COLUMN missed;
ALTER TABLE campaigns DROP COLUMN missed_grace;
ALTER TABLE campaigns DROP COLUMN quiet_from;
ALTER TABLE campaigns DROP COLUMN quiet_to;
ALTER TABLE campaigns DROP COLUMN zone;
ALTER TABLE campaigns DROP COLUMN schedule_id;
ALTER TABLE campaigns DROP COLUMN slot;
