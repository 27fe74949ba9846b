-- What happened to campaigns, schedules, users and groups, who did it and why: rows are added and purged, and never changed.

-- +goose Up
CREATE TABLE events (
  id           BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at           BIGINT        NOT NULL, -- by the database's clock
  kind         VARCHAR(32)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  campaign_id  VARCHAR(26)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- campaigns.public_id; empty = about none
  schedule_id  VARCHAR(26)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- schedules.public_id; empty = about none
  from_status  VARCHAR(16)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- the state before; empty = none, or it did not change
  to_status    VARCHAR(16)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reason_code  VARCHAR(32)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- empty = nothing is to be said
  reason       VARCHAR(255)  NOT NULL,
  actor        VARBINARY(64) NOT NULL, -- empty = the program itself
  via          VARCHAR(16)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  operation_id VARCHAR(128)  NOT NULL,
  data         MEDIUMTEXT    NOT NULL, -- JSON; empty = none
  KEY events_campaign (campaign_id, id),
  KEY events_schedule (schedule_id, id),
  KEY events_kind (kind, id),
  KEY events_actor (actor, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
ALTER TABLE campaigns ADD COLUMN status_reason_code VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT ''; -- beside status_reason, for programs

-- +goose Down
ALTER TABLE campaigns DROP COLUMN status_reason_code;
DROP TABLE events;
