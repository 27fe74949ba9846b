-- How far campaigns were, and how much all of them sent, over time: for charts. The counts that hold
-- are elsewhere.

-- +goose Up
CREATE TABLE campaign_samples (
  campaign_id BIGINT NOT NULL, -- campaigns.id
  at          BIGINT NOT NULL, -- unix milliseconds, a multiple of ten seconds
  sent        BIGINT NOT NULL, -- recipients until then
  failed      BIGINT NOT NULL,
  PRIMARY KEY (campaign_id, at)
) ENGINE=InnoDB;

CREATE TABLE send_minutes (
  at     BIGINT NOT NULL PRIMARY KEY, -- unix milliseconds, the minute's begin
  sent   BIGINT NOT NULL, -- recipients within the minute
  failed BIGINT NOT NULL
) ENGINE=InnoDB;

-- +goose Down
DROP TABLE send_minutes;
DROP TABLE campaign_samples;
