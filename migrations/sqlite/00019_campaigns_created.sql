-- Campaigns are listed by when they were made.

-- +goose Up
CREATE INDEX campaigns_created ON campaigns (created_at);

-- +goose Down
DROP INDEX campaigns_created;
