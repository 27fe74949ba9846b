-- How far campaigns were, and how much all of them sent, over time: for charts. The counts that hold
-- are elsewhere.

-- +goose Up
CREATE TABLE campaign_samples (
  campaign_id INTEGER NOT NULL, -- campaigns.id
  at INTEGER NOT NULL, -- unix milliseconds, a multiple of ten seconds
  sent INTEGER NOT NULL, -- recipients until then
  failed INTEGER NOT NULL,
  PRIMARY KEY (campaign_id, at)
) WITHOUT ROWID;

CREATE TABLE send_minutes (
  at INTEGER NOT NULL PRIMARY KEY, -- unix milliseconds, the minute's begin
  sent INTEGER NOT NULL, -- recipients within the minute
  failed INTEGER NOT NULL
);

-- +goose Down
DROP TABLE send_minutes;
DROP TABLE campaign_samples;
