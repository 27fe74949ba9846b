-- Users are looked up by what their nickname begins with.

-- +goose Up
CREATE INDEX users_nickname ON users (nickname);

-- +goose Down
DROP INDEX users_nickname;
