-- Counts of campaigns that have finished, and the purge of their recipients.

-- +goose Up
ALTER TABLE campaigns ADD COLUMN final_sent INTEGER NOT NULL DEFAULT 0; -- the pages' sums from finished_at on; 0 until then
ALTER TABLE campaigns ADD COLUMN final_failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE campaigns ADD COLUMN final_skipped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE campaigns ADD COLUMN final_expired INTEGER NOT NULL DEFAULT 0;
ALTER TABLE campaigns ADD COLUMN final_cancelled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE campaigns ADD COLUMN final_unknown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE campaigns ADD COLUMN purged_at INTEGER NOT NULL DEFAULT 0; -- from when on its recipients are gone; 0 = they stand
ALTER TABLE campaigns ADD COLUMN purge_due INTEGER NOT NULL DEFAULT 0; -- while some are still to be deleted: end of the purger's lease
CREATE INDEX campaigns_purge ON campaigns (purged_at, finished_at);
CREATE INDEX campaigns_purging ON campaigns (purge_due);

UPDATE campaigns SET (final_sent, final_failed, final_skipped, final_expired, final_cancelled, final_unknown) =
  (SELECT COALESCE(SUM(sent),0), COALESCE(SUM(failed),0), COALESCE(SUM(skipped),0), COALESCE(SUM(expired),0), COALESCE(SUM(cancelled),0), COALESCE(SUM(unknown),0)
   FROM pages WHERE campaign_id=campaigns.id)
WHERE finished_at<>0;

-- +goose Down
DROP INDEX campaigns_purging;
DROP INDEX campaigns_purge;
ALTER TABLE campaigns DROP COLUMN final_sent;
ALTER TABLE campaigns DROP COLUMN final_failed;
ALTER TABLE campaigns DROP COLUMN final_skipped;
ALTER TABLE campaigns DROP COLUMN final_expired;
ALTER TABLE campaigns DROP COLUMN final_cancelled;
ALTER TABLE campaigns DROP COLUMN final_unknown;
ALTER TABLE campaigns DROP COLUMN purged_at;
ALTER TABLE campaigns DROP COLUMN purge_due;
