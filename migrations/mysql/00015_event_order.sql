-- The event log has an order in which nothing appears behind a reader's back, and is posted to a receiver. See docs/adr/0020-events-in-order.md.

-- +goose Up
CREATE TABLE event_order (
  id   TINYINT NOT NULL PRIMARY KEY, -- 1
  base BIGINT  NOT NULL, -- events up to this id are older than the order: their place is their id
  seq  BIGINT  NOT NULL  -- the highest place that is taken
) ENGINE=InnoDB;
INSERT INTO event_order (id, base, seq) SELECT 1, COALESCE(MAX(id),0), COALESCE(MAX(id),0) FROM events;
-- It waits for every transaction that has stored an event: those up to base have ended when the table has changed.
ALTER TABLE events
  ADD COLUMN seq BIGINT NULL, -- the event's place in the order; NULL = has none yet
  ADD KEY events_seq (seq);
CREATE TABLE event_webhook (
  id            TINYINT      NOT NULL PRIMARY KEY, -- 1
  epoch         BIGINT       NOT NULL, -- raised by whoever takes the lease
  due_at        BIGINT       NOT NULL, -- end of the lease; 0 = nothing was ever posted
  pos           BIGINT       NOT NULL, -- events up to this place are posted, given up, or in event_deliveries
  failures      INT          NOT NULL, -- posts in a row that found the receiver away; 0 = the receiver is not away
  failing_since BIGINT       NOT NULL,
  probe_at      BIGINT       NOT NULL, -- when to try again
  error         VARCHAR(255) NOT NULL, -- of the last failure
  given_up      BIGINT       NOT NULL, -- how many events were given up, ever
  given_up_at   BIGINT       NOT NULL,
  given_up_last VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL -- the public ID of the last one; '' = it was one of many
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO event_webhook VALUES (1, 0, 0, 0, 0, 0, 0, '', 0, 0, '');
CREATE TABLE event_deliveries (
  seq      BIGINT      NOT NULL PRIMARY KEY, -- events.seq
  event_id BIGINT      NOT NULL, -- events.id
  stream   VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- what is posted in order
  state    TINYINT     NOT NULL, -- 0 waits behind another of its stream, 1 to be posted, 2 has failed and is to be posted again
  attempts INT         NOT NULL,
  first_at BIGINT      NOT NULL, -- when it was taken out of the log
  next_at  BIGINT      NOT NULL, -- when it is to be posted
  KEY event_deliveries_stream (stream, seq),
  KEY event_deliveries_due (state, next_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

-- +goose Down
DROP TABLE event_deliveries;
DROP TABLE event_webhook;
ALTER TABLE events DROP KEY events_seq, DROP COLUMN seq;
DROP TABLE event_order;
