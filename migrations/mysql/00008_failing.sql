-- When a recipient's tries began to fail.

-- +goose Up
ALTER TABLE recipients ADD COLUMN failing_since BIGINT NULL; -- of a pending row: its first try that failed; NULL = none did

-- +goose Down
ALTER TABLE recipients DROP COLUMN failing_since;
