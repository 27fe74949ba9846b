-- Campaigns and schedules are looked up by what their name begins with.

-- +goose Up
ALTER TABLE campaigns ADD KEY campaigns_name (name);
ALTER TABLE schedules ADD KEY schedules_name (name);

-- +goose Down
ALTER TABLE schedules DROP KEY schedules_name;
ALTER TABLE campaigns DROP KEY campaigns_name;
