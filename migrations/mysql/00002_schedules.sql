-- Campaigns that start later, pages by time zone, and schedules.

-- +goose Up
ALTER TABLE campaigns
  ADD COLUMN send_at      BIGINT      NOT NULL DEFAULT 0,  -- when it starts; 0 = when it was posted
  ADD COLUMN wall_at      BIGINT      NOT NULL DEFAULT 0,  -- the local date and clock of a local-time campaign, as if in UTC; 0 = none
  ADD COLUMN missed       VARCHAR(8)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', -- of zones that are past
  ADD COLUMN missed_grace BIGINT      NOT NULL DEFAULT 0,  -- milliseconds
  ADD COLUMN quiet_from   SMALLINT    NOT NULL DEFAULT 0,  -- minutes of the local day; equal to quiet_to = no quiet hours
  ADD COLUMN quiet_to     SMALLINT    NOT NULL DEFAULT 0,
  ADD COLUMN zone         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', -- of users who have none
  ADD COLUMN schedule_id  VARCHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', -- schedules.public_id
  ADD COLUMN slot         BIGINT      NOT NULL DEFAULT 0,  -- of the schedule; 0 = run by hand
  ADD KEY campaigns_schedule (schedule_id, id),
  ADD KEY campaigns_send_at (status, send_at);

-- The window takes new pages in the order of their time.
ALTER TABLE pages
  ADD COLUMN zone VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', -- of all its members; empty = it does not matter
  DROP KEY pages_state,
  ADD KEY pages_state (campaign_id, state, due_at, no),
  DROP KEY pages_first,
  ADD KEY pages_first (campaign_id, zone, first_id);

-- The recipients that a POST named, until planning cuts them into pages by zone.
CREATE TABLE listed (
  campaign_id BIGINT        NOT NULL,
  last_id     VARBINARY(64) NOT NULL,
  members     MEDIUMBLOB    NOT NULL, -- as in page_members
  PRIMARY KEY (campaign_id, last_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE schedules (
  id           BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  public_id    CHAR(26)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- ULID
  name         VARCHAR(255) NOT NULL,
  cron         VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  timezone     VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  local_time   BOOLEAN      NOT NULL, -- slots are local dates and clocks, as if in UTC
  anchor       BIGINT       NOT NULL, -- the phase of @every
  start_at     BIGINT       NOT NULL, -- 0 = since ever
  end_at       BIGINT       NOT NULL, -- 0 = for ever
  missed       VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  missed_grace BIGINT       NOT NULL, -- milliseconds
  overlap      VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  campaign     MEDIUMBLOB   NOT NULL, -- the template, JSON
  status       VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version      INT          NOT NULL, -- counts the changes: the fence of every firing
  next_slot    BIGINT       NOT NULL, -- 0 = none
  next_fire    BIGINT       NOT NULL, -- the instant at which next_slot is acted upon
  operation_id VARCHAR(128) NOT NULL,
  created_by   VARBINARY(64) NOT NULL,
  created_at   BIGINT       NOT NULL,
  UNIQUE KEY schedules_public_id (public_id),
  KEY schedules_due (status, next_fire)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What became of each slot: one row, whoever saw it first. NULL slots were run by hand.
CREATE TABLE occurrences (
  id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  schedule_id BIGINT       NOT NULL,
  slot        BIGINT       NULL,
  last_slot   BIGINT       NOT NULL, -- of a run of missed ones; else 0
  slots       INT          NOT NULL, -- how many this row stands for
  outcome     VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reason      VARCHAR(255) NOT NULL,
  campaign_id VARCHAR(26)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- campaigns.public_id; empty = none
  created_at  BIGINT       NOT NULL,
  UNIQUE KEY occurrences_slot (schedule_id, slot),
  KEY occurrences_schedule (schedule_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- +goose Down
DROP TABLE occurrences, schedules, listed;
ALTER TABLE pages DROP KEY pages_state, ADD KEY pages_state (campaign_id, state, no), DROP KEY pages_first, ADD KEY pages_first (campaign_id, first_id), DROP COLUMN zone;
ALTER TABLE campaigns DROP KEY campaigns_schedule, DROP KEY campaigns_send_at,
  DROP COLUMN send_at, DROP COLUMN wall_at, DROP COLUMN missed, DROP COLUMN missed_grace, DROP COLUMN quiet_from, DROP COLUMN quiet_to,
  DROP COLUMN zone, DROP COLUMN schedule_id, DROP COLUMN slot;
