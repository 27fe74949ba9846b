-- The directory is synced from a provider's users. directory_sync has one row: the pass under way, and who works on it.

-- +goose Up
ALTER TABLE users ADD COLUMN refuses INTEGER NOT NULL DEFAULT 0; -- takes no messages, as the provider says
ALTER TABLE users ADD COLUMN seen_pass INTEGER NOT NULL DEFAULT 0; -- the last pass that saw the user; 0 = none, and no pass takes the user away
ALTER TABLE directory ADD COLUMN refusing INTEGER NOT NULL DEFAULT 0; -- how many users refuse
CREATE TABLE directory_sync (
  id INTEGER NOT NULL PRIMARY KEY,
  epoch INTEGER NOT NULL, -- raised by whoever takes the lease
  due_at INTEGER NOT NULL, -- end of the lease; 0 = nobody works on it
  asked INTEGER NOT NULL, -- a complete pass is wanted, until there is one
  fewer INTEGER NOT NULL, -- it is complete however few users it saw
  wait_until INTEGER NOT NULL, -- after a failure: when to try again
  failures INTEGER NOT NULL, -- in a row
  error TEXT NOT NULL, -- of the last one
  phase TEXT NOT NULL, -- of the pass under way; empty = there is none
  pass INTEGER NOT NULL, -- its number, or the last one's
  round INTEGER NOT NULL, -- how often it reads the list
  page INTEGER NOT NULL, -- the next one to read
  begun_at INTEGER NOT NULL,
  moved_at INTEGER NOT NULL, -- its last step
  total INTEGER NOT NULL, -- how many users the provider says it has
  created INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  unchanged INTEGER NOT NULL,
  repeated INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  shortened INTEGER NOT NULL,
  vanished INTEGER NOT NULL,
  last_pass INTEGER NOT NULL, -- the last complete one
  last_seen INTEGER NOT NULL, -- how many users it saw
  completed_at INTEGER NOT NULL
);
INSERT INTO directory_sync VALUES (1, 0, 0, 0, 0, 0, 0, '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- +goose Down
DROP TABLE directory_sync;
ALTER TABLE directory DROP COLUMN refusing;
ALTER TABLE users DROP COLUMN seen_pass;
ALTER TABLE users DROP COLUMN refuses;
