-- The coming slots of schedules that somebody leaves out. A row goes when its slot has passed.

-- +goose Up
CREATE TABLE schedule_skips (
  schedule_id BIGINT NOT NULL, -- schedules.id
  slot        BIGINT NOT NULL, -- as schedules.next_slot
  PRIMARY KEY (schedule_id, slot)
) ENGINE=InnoDB;

-- +goose Down
DROP TABLE schedule_skips;
