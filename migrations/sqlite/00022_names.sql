-- Campaigns and schedules are looked up by what their name begins with.

-- +goose Up
CREATE INDEX campaigns_name ON campaigns (name);
CREATE INDEX schedules_name ON schedules (name);

-- +goose Down
DROP INDEX schedules_name;
DROP INDEX campaigns_name;
