-- From when on a user or a group stands: whoever comes again under an ID of old does not read what came before.

-- +goose Up
ALTER TABLE users ADD COLUMN added_at INTEGER NOT NULL DEFAULT 0; -- 0 = before there was this column
ALTER TABLE chat_groups ADD COLUMN added_at INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE users DROP COLUMN added_at;
ALTER TABLE chat_groups DROP COLUMN added_at;
