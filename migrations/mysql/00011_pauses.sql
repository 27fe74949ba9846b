-- Which pause of everything has paused a campaign or a schedule, so that those and no others are resumed by it.

-- +goose Up
CREATE TABLE pauses (
  id   BIGINT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
  what VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- campaigns or schedules
  KEY pauses_what (what, id)
) ENGINE=InnoDB;
ALTER TABLE campaigns ADD COLUMN pause_id BIGINT NOT NULL DEFAULT 0; -- pauses.id; 0 = not paused, or paused for itself
ALTER TABLE schedules ADD COLUMN pause_id BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE schedules DROP COLUMN pause_id;
ALTER TABLE campaigns DROP COLUMN pause_id;
DROP TABLE pauses;
