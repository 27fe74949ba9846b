-- Schedules take turns, deadlines by local time, and member lists that are being written.

-- +goose Up
ALTER TABLE schedules ADD COLUMN fired_at INTEGER NOT NULL DEFAULT 0; -- when it was acted upon last: of all that are due, the longest ago comes first
DROP INDEX schedules_due;
CREATE INDEX schedules_due ON schedules (status, next_fire, fired_at);

ALTER TABLE campaigns ADD COLUMN expire_after INTEGER NOT NULL DEFAULT 0; -- by local time: milliseconds from each zone's time to its end; 0 = none

-- A PUT of a group writes its members under a version that nobody reads before it is whole.
CREATE TABLE group_writes (
  version INTEGER NOT NULL PRIMARY KEY,
  due_at  INTEGER NOT NULL -- end of the writer's lease
);

-- +goose Down
DROP TABLE group_writes;
ALTER TABLE campaigns DROP COLUMN expire_after;
DROP INDEX schedules_due;
ALTER TABLE schedules DROP COLUMN fired_at;
CREATE INDEX schedules_due ON schedules (status, next_fire);
