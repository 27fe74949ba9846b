-- Campaigns are listed by when they were made.

-- +goose Up
ALTER TABLE campaigns ADD KEY campaigns_created (created_at), ALGORITHM=INPLACE, LOCK=NONE;

-- +goose Down
ALTER TABLE campaigns DROP KEY campaigns_created;
