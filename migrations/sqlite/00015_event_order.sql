-- The event log has an order in which nothing appears behind a reader's back, and is posted to a receiver. See docs/adr/0020-events-in-order.md.

-- +goose Up
CREATE TABLE event_order (
  id INTEGER NOT NULL PRIMARY KEY, -- 1
  base INTEGER NOT NULL, -- events up to this id are older than the order: their place is their id
  seq INTEGER NOT NULL -- the highest place that is taken
);
INSERT INTO event_order (id, base, seq) SELECT 1, COALESCE(MAX(id),0), COALESCE(MAX(id),0) FROM events;
ALTER TABLE events ADD COLUMN seq INTEGER; -- the event's place in the order; NULL = has none yet
CREATE INDEX events_seq ON events (seq);
CREATE TABLE event_webhook (
  id INTEGER NOT NULL PRIMARY KEY, -- 1
  epoch INTEGER NOT NULL, -- raised by whoever takes the lease
  due_at INTEGER NOT NULL, -- end of the lease; 0 = nothing was ever posted
  pos INTEGER NOT NULL, -- events up to this place are posted, given up, or in event_deliveries
  failures INTEGER NOT NULL, -- posts in a row that found the receiver away; 0 = the receiver is not away
  failing_since INTEGER NOT NULL,
  probe_at INTEGER NOT NULL, -- when to try again
  error TEXT NOT NULL, -- of the last failure
  given_up INTEGER NOT NULL, -- how many events were given up, ever
  given_up_at INTEGER NOT NULL,
  given_up_last TEXT NOT NULL -- the public ID of the last one; '' = it was one of many
);
INSERT INTO event_webhook VALUES (1, 0, 0, 0, 0, 0, 0, '', 0, 0, '');
CREATE TABLE event_deliveries (
  seq INTEGER NOT NULL PRIMARY KEY, -- events.seq
  event_id INTEGER NOT NULL, -- events.id
  stream TEXT NOT NULL, -- what is posted in order
  state INTEGER NOT NULL, -- 0 waits behind another of its stream, 1 to be posted, 2 has failed and is to be posted again
  attempts INTEGER NOT NULL,
  first_at INTEGER NOT NULL, -- when it was taken out of the log
  next_at INTEGER NOT NULL -- when it is to be posted
);
CREATE INDEX event_deliveries_stream ON event_deliveries (stream, seq);
CREATE INDEX event_deliveries_due ON event_deliveries (state, next_at);

-- +goose Down
DROP TABLE event_deliveries;
DROP TABLE event_webhook;
DROP INDEX events_seq;
ALTER TABLE events DROP COLUMN seq;
DROP TABLE event_order;
