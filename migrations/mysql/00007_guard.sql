-- What the guard of a campaign lets pass, by kind of failure, and from when on it counts.

-- +goose Up
ALTER TABLE campaigns
  ADD COLUMN guard_allows VARBINARY(1024) NOT NULL DEFAULT '', -- kinds of failure it has paused for: errCode/HTTP status, …; -1/0 = all
  ADD COLUMN guard_run    INT    NOT NULL DEFAULT 0, -- raised by each retry; outcomes of another run do not count
  ADD COLUMN guard_base   BIGINT NOT NULL DEFAULT 0; -- sent before this run
UPDATE campaigns SET guard_allows='-1/0' WHERE guard=0;
ALTER TABLE campaigns DROP COLUMN guard;

-- +goose Down
ALTER TABLE campaigns ADD COLUMN guard BOOLEAN NOT NULL DEFAULT 1;
UPDATE campaigns SET guard=0 WHERE guard_allows<>'';
ALTER TABLE campaigns DROP COLUMN guard_allows, DROP COLUMN guard_run, DROP COLUMN guard_base;
