-- Times are unix milliseconds by the database's clock. Keys that hold IDs from outside are VARBINARY: they
-- compare byte for byte, so 'Bob', 'bob', 'bób' and 'bob ' are four users.

-- +goose Up
-- One row. Every write to users updates it first, so rev follows commit order and live is exact.
CREATE TABLE directory (
  id   TINYINT NOT NULL PRIMARY KEY,
  rev  BIGINT  NOT NULL,
  live BIGINT  NOT NULL
) ENGINE=InnoDB;
INSERT INTO directory (id, rev, live) VALUES (1, 0, 0);

CREATE TABLE users (
  user_id   VARBINARY(64) NOT NULL PRIMARY KEY,
  added_rev BIGINT        NOT NULL, -- directory.rev of the insert; an upsert leaves it
  nickname  VARCHAR(255)  NOT NULL,
  face_url  VARCHAR(1024) NOT NULL,
  timezone  VARCHAR(64)   NOT NULL,
  ex        TEXT          NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE chat_groups (
  group_id VARBINARY(64) NOT NULL PRIMARY KEY,
  name     VARCHAR(255)  NOT NULL,
  version  BIGINT        NOT NULL, -- the member list that counts now
  size     INT           NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- A PUT writes a new version beside the old one, so a campaign can expand the version it froze.
CREATE TABLE group_members (
  group_id VARBINARY(64) NOT NULL,
  version  BIGINT        NOT NULL,
  user_id  VARBINARY(64) NOT NULL,
  PRIMARY KEY (group_id, version, user_id),
  KEY group_members_user (user_id, group_id, version)
) ENGINE=InnoDB;

CREATE TABLE campaigns (
  id              BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  public_id       CHAR(26)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- ULID
  name            VARCHAR(255) NOT NULL,
  status          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status_reason   VARCHAR(255) NOT NULL,
  channel         VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  message         MEDIUMBLOB   NOT NULL, -- JSON
  audience_type   VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  group_id        VARBINARY(64) NOT NULL,
  group_version   BIGINT       NOT NULL,
  kind            TINYINT      NOT NULL, -- 0 recipients are users, 1 the recipient is a group
  inbox           TINYINT      NOT NULL, -- 0 in no inbox, 1 found by inbox_small, 2 found by primary key
  mark            BIGINT       NOT NULL, -- directory.rev that froze an all-users audience
  total           BIGINT       NOT NULL,
  planned         BOOLEAN      NOT NULL,
  plan_cursor     VARBINARY(64) NOT NULL,
  plan_epoch      INT          NOT NULL,
  plan_due        BIGINT       NOT NULL, -- when the reconciler looks after an unfinished plan
  pages           INT          NOT NULL, -- cut so far
  rate_per_second INT          NOT NULL,
  delivery        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  guard           BOOLEAN      NOT NULL, -- pauses itself when too many fail; off once an operator resumed it
  retry           VARBINARY(1024) NOT NULL, -- what a retry under way takes up again, JSON; empty = none
  retry_page      INT          NOT NULL, -- the page it has come to
  priority        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  operation_id    VARCHAR(128) NOT NULL,
  created_by      VARBINARY(64) NOT NULL,
  created_at      BIGINT       NOT NULL,
  expire_at       BIGINT       NOT NULL, -- 0 = never
  started_at      BIGINT       NOT NULL,
  finished_at     BIGINT       NOT NULL, -- 0 until finished
  UNIQUE KEY campaigns_public_id (public_id),
  KEY campaigns_status (status, id),
  KEY campaigns_inbox (inbox, started_at, id, finished_at),
  KEY campaigns_inbox_end (inbox, finished_at, started_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE pages (
  campaign_id  BIGINT        NOT NULL,
  no           INT           NOT NULL,
  state        TINYINT       NOT NULL, -- 0 new, 1 queued, 2 running, 3 waiting, 4 done
  due_at       BIGINT        NOT NULL, -- queued and running: end of the lease; waiting: when it is ready
  epoch        INT           NOT NULL,
  rev          INT           NOT NULL,
  size         INT           NOT NULL,
  pos          INT           NOT NULL, -- the cursor: members before it have a row
  pending_rows INT           NOT NULL, -- of those, how many are still pending
  rest         TINYINT       NOT NULL, -- the status of the members ahead of the cursor: pending until the page is closed
  first_id     VARBINARY(64) NOT NULL,
  sent         INT           NOT NULL,
  failed       INT           NOT NULL,
  skipped      INT           NOT NULL,
  expired      INT           NOT NULL,
  cancelled    INT           NOT NULL,
  unknown      INT           NOT NULL,
  PRIMARY KEY (campaign_id, no),
  KEY pages_state (campaign_id, state, no),
  KEY pages_due (state, due_at),
  KEY pages_first (campaign_id, first_id)
) ENGINE=InnoDB;

-- The member IDs of a page, apart from it so that counters and states stay in small rows.
CREATE TABLE page_members (
  campaign_id BIGINT     NOT NULL,
  no          INT        NOT NULL,
  members     MEDIUMBLOB NOT NULL,
  PRIMARY KEY (campaign_id, no)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

-- Written once with the outcome; a row is pending only while a retry waits.
CREATE TABLE recipients (
  campaign_id     BIGINT        NOT NULL,
  kind            TINYINT       NOT NULL,
  user_id         VARBINARY(64) NOT NULL, -- or the group's ID, by kind
  status          TINYINT       NOT NULL,
  attempts        TINYINT       NOT NULL,
  sent_at         BIGINT        NULL,
  next_attempt_at BIGINT        NULL,
  err_code        INT           NULL,
  err_msg         VARCHAR(255)  NULL,
  server_msg_id   VARBINARY(64) NULL,
  PRIMARY KEY (campaign_id, kind, user_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The inbox's way to the messages of small campaigns; large ones are looked up by primary key.
CREATE TABLE inbox_small (
  kind        TINYINT       NOT NULL,
  user_id     VARBINARY(64) NOT NULL,
  sent_at     BIGINT        NOT NULL,
  campaign_id BIGINT        NOT NULL,
  PRIMARY KEY (kind, user_id, sent_at, campaign_id)
) ENGINE=InnoDB;

CREATE TABLE idempotency (
  caller     VARBINARY(64)  NOT NULL,
  route      VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  idem_key   VARBINARY(255) NOT NULL,
  body_hash  BINARY(32)     NOT NULL,
  public_id  CHAR(26)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  answer     BLOB           NOT NULL,
  created_at BIGINT         NOT NULL,
  PRIMARY KEY (caller, route, idem_key),
  KEY idempotency_created (created_at)
) ENGINE=InnoDB;

-- +goose Down
DROP TABLE idempotency, inbox_small, recipients, page_members, pages, campaigns, group_members, chat_groups, users, directory;
