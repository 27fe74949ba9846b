-- Who may have been sent a message without anybody knowing. Besides the column below, recipients.sent_at says so: it is
-- set in a row that is not sent when a request for it may have been accepted.

-- +goose Up
ALTER TABLE pages ADD COLUMN maybe_sent_to INTEGER NOT NULL DEFAULT 0; -- members before this place may have been sent to by a worker that is gone

-- +goose Down
ALTER TABLE pages DROP COLUMN maybe_sent_to;
