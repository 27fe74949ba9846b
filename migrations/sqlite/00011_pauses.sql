-- Which pause of everything has paused a campaign or a schedule, so that those and no others are resumed by it.

-- +goose Up
CREATE TABLE pauses (
  id   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  what TEXT    NOT NULL -- campaigns or schedules
);
CREATE INDEX pauses_what ON pauses (what, id);
ALTER TABLE campaigns ADD COLUMN pause_id INTEGER NOT NULL DEFAULT 0; -- pauses.id; 0 = not paused, or paused for itself
ALTER TABLE schedules ADD COLUMN pause_id INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE schedules DROP COLUMN pause_id;
ALTER TABLE campaigns DROP COLUMN pause_id;
DROP INDEX pauses_what;
DROP TABLE pauses;
