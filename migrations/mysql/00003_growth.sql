-- Counts of campaigns that have finished, and the purge of their recipients.

-- +goose Up
ALTER TABLE campaigns
  ADD COLUMN final_sent      BIGINT NOT NULL DEFAULT 0, -- the pages' sums from finished_at on; 0 until then
  ADD COLUMN final_failed    BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN final_skipped   BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN final_expired   BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN final_cancelled BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN final_unknown   BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN purged_at       BIGINT NOT NULL DEFAULT 0, -- from when on its recipients are gone; 0 = they stand
  ADD COLUMN purge_due       BIGINT NOT NULL DEFAULT 0, -- while some are still to be deleted: end of the purger's lease
  ADD KEY campaigns_purge (purged_at, finished_at),
  ADD KEY campaigns_purging (purge_due);

UPDATE campaigns c JOIN (SELECT campaign_id, SUM(sent) AS sent, SUM(failed) AS failed, SUM(skipped) AS skipped, SUM(expired) AS expired,
  SUM(cancelled) AS cancelled, SUM(unknown) AS unknown FROM pages GROUP BY campaign_id) p ON p.campaign_id=c.id
SET c.final_sent=p.sent, c.final_failed=p.failed, c.final_skipped=p.skipped, c.final_expired=p.expired, c.final_cancelled=p.cancelled, c.final_unknown=p.unknown
WHERE c.finished_at<>0;

-- +goose Down
ALTER TABLE campaigns DROP KEY campaigns_purge, DROP KEY campaigns_purging,
  DROP COLUMN final_sent, DROP COLUMN final_failed, DROP COLUMN final_skipped, DROP COLUMN final_expired, DROP COLUMN final_cancelled, DROP COLUMN final_unknown,
  DROP COLUMN purged_at, DROP COLUMN purge_due;
