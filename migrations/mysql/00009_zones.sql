-- How many users a campaign by local time comes too late for is asked when it is posted.

-- +goose Up
ALTER TABLE users ADD KEY users_timezone (timezone);

-- +goose Down
ALTER TABLE users DROP KEY users_timezone;
