-- How many users a campaign by local time comes too late for is asked when it is posted.

-- +goose Up
CREATE INDEX users_timezone ON users (timezone);

-- +goose Down
DROP INDEX users_timezone;
