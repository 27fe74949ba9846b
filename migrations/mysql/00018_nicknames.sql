-- Users are looked up by what their nickname begins with.

-- +goose Up
ALTER TABLE users ADD KEY users_nickname (nickname);

-- +goose Down
ALTER TABLE users DROP KEY users_nickname;
