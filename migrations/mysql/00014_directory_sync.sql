-- The directory is synced from a provider's users. directory_sync has one row: the pass under way, and who works on it.

-- +goose Up
ALTER TABLE users
  ADD COLUMN refuses   BOOLEAN NOT NULL DEFAULT FALSE, -- takes no messages, as the provider says
  ADD COLUMN seen_pass BIGINT  NOT NULL DEFAULT 0;     -- the last pass that saw the user; 0 = none, and no pass takes the user away
ALTER TABLE directory ADD COLUMN refusing BIGINT NOT NULL DEFAULT 0; -- how many users refuse
CREATE TABLE directory_sync (
  id           TINYINT      NOT NULL PRIMARY KEY,
  epoch        BIGINT       NOT NULL, -- raised by whoever takes the lease
  due_at       BIGINT       NOT NULL, -- end of the lease; 0 = nobody works on it
  asked        BOOLEAN      NOT NULL, -- a complete pass is wanted, until there is one
  fewer        BOOLEAN      NOT NULL, -- it is complete however few users it saw
  wait_until   BIGINT       NOT NULL, -- after a failure: when to try again
  failures     INT          NOT NULL, -- in a row
  error        VARCHAR(255) NOT NULL, -- of the last one
  phase        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- of the pass under way; empty = there is none
  pass         BIGINT       NOT NULL, -- its number, or the last one's
  round        INT          NOT NULL, -- how often it reads the list
  page         INT          NOT NULL, -- the next one to read
  begun_at     BIGINT       NOT NULL,
  moved_at     BIGINT       NOT NULL, -- its last step
  total        BIGINT       NOT NULL, -- how many users the provider says it has
  created      BIGINT       NOT NULL,
  changed      BIGINT       NOT NULL,
  unchanged    BIGINT       NOT NULL,
  repeated     BIGINT       NOT NULL,
  refused      BIGINT       NOT NULL,
  shortened    BIGINT       NOT NULL,
  vanished     BIGINT       NOT NULL,
  last_pass    BIGINT       NOT NULL, -- the last complete one
  last_seen    BIGINT       NOT NULL, -- how many users it saw
  completed_at BIGINT       NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO directory_sync VALUES (1, 0, 0, FALSE, FALSE, 0, 0, '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- +goose Down
DROP TABLE directory_sync;
ALTER TABLE directory DROP COLUMN refusing;
ALTER TABLE users DROP COLUMN seen_pass, DROP COLUMN refuses;
