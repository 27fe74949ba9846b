-- How far the ledger is, to be compared with what Redis knows; and what operators did from the command line, to be logged.

-- +goose Up
CREATE TABLE ledger_mark (
  id INT NOT NULL PRIMARY KEY, -- 1
  mark BIGINT NOT NULL, -- moves on with the time, and never back
  lost_until BIGINT NOT NULL -- slots of schedules up to then may have fired in a ledger that was lost; 0 = none was
) ENGINE=InnoDB;
INSERT INTO ledger_mark (id, mark, lost_until) VALUES (1, 0, 0);
CREATE TABLE notices (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  what VARCHAR(64) NOT NULL,
  campaign VARCHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- its public ID; empty = several
  campaigns BIGINT NOT NULL
) ENGINE=InnoDB;

-- +goose Down
DROP TABLE notices;
DROP TABLE ledger_mark;
