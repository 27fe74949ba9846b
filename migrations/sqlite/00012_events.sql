-- What happened to campaigns, schedules, users and groups, who did it and why: rows are added and purged, and never changed.

-- +goose Up
CREATE TABLE events (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL, -- by the database's clock
  kind TEXT NOT NULL,
  campaign_id TEXT NOT NULL, -- campaigns.public_id; empty = about none
  schedule_id TEXT NOT NULL, -- schedules.public_id; empty = about none
  from_status TEXT NOT NULL, -- the state before; empty = none, or it did not change
  to_status TEXT NOT NULL,
  reason_code TEXT NOT NULL, -- empty = nothing is to be said
  reason TEXT NOT NULL,
  actor TEXT NOT NULL, -- empty = the program itself
  via TEXT NOT NULL,
  operation_id TEXT NOT NULL,
  data TEXT NOT NULL -- JSON; empty = none
);
CREATE INDEX events_campaign ON events (campaign_id, id);
CREATE INDEX events_schedule ON events (schedule_id, id);
CREATE INDEX events_kind ON events (kind, id);
CREATE INDEX events_actor ON events (actor, id);
ALTER TABLE campaigns ADD COLUMN status_reason_code TEXT NOT NULL DEFAULT ''; -- beside status_reason, for programs

-- +goose Down
ALTER TABLE campaigns DROP COLUMN status_reason_code;
DROP TABLE events;
