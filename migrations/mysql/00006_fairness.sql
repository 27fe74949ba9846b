-- Schedules take turns, deadlines by local time, and member lists that are being written.

-- +goose Up
ALTER TABLE schedules
  ADD COLUMN fired_at BIGINT NOT NULL DEFAULT 0, -- when it was acted upon last: of all that are due, the longest ago comes first
  DROP KEY schedules_due,
  ADD KEY schedules_due (status, next_fire, fired_at);

ALTER TABLE campaigns
  ADD COLUMN expire_after BIGINT NOT NULL DEFAULT 0; -- by local time: milliseconds from each zone's time to its end; 0 = none

-- A PUT of a group writes its members under a version that nobody reads before it is whole.
CREATE TABLE group_writes (
  version BIGINT NOT NULL PRIMARY KEY,
  due_at  BIGINT NOT NULL -- end of the writer's lease
) ENGINE=InnoDB;

-- +goose Down
DROP TABLE group_writes;
ALTER TABLE campaigns DROP COLUMN expire_after;
ALTER TABLE schedules DROP KEY schedules_due, DROP COLUMN fired_at, ADD KEY schedules_due (status, next_fire);
