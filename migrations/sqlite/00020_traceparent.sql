-- The span under which a campaign's work stands, so that work which is queued later goes on with the same trace.

-- +goose Up
ALTER TABLE campaigns ADD COLUMN traceparent TEXT NOT NULL DEFAULT ''; -- W3C Trace Context; empty = no trace

-- +goose Down
ALTER TABLE campaigns DROP COLUMN traceparent;
