-- What the guard of a campaign lets pass, by kind of failure, and from when on it counts.

-- +goose Up
ALTER TABLE campaigns ADD COLUMN guard_allows TEXT NOT NULL DEFAULT ''; -- kinds of failure it has paused for: errCode/HTTP status, …; -1/0 = all
ALTER TABLE campaigns ADD COLUMN guard_run INTEGER NOT NULL DEFAULT 0; -- raised by each retry; outcomes of another run do not count
ALTER TABLE campaigns ADD COLUMN guard_base INTEGER NOT NULL DEFAULT 0; -- sent before this run
UPDATE campaigns SET guard_allows='-1/0' WHERE guard=0;
ALTER TABLE campaigns DROP COLUMN guard;

-- +goose Down
ALTER TABLE campaigns ADD COLUMN guard INTEGER NOT NULL DEFAULT 1;
UPDATE campaigns SET guard=0 WHERE guard_allows<>'';
ALTER TABLE campaigns DROP COLUMN guard_allows;
ALTER TABLE campaigns DROP COLUMN guard_run;
ALTER TABLE campaigns DROP COLUMN guard_base;
