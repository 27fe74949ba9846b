-- How far the ledger is, to be compared with what Redis knows; and what operators did from the command line, to be logged.

-- +goose Up
CREATE TABLE ledger_mark (
  id INTEGER NOT NULL PRIMARY KEY, -- 1
  mark INTEGER NOT NULL, -- moves on with the time, and never back
  lost_until INTEGER NOT NULL -- slots of schedules up to then may have fired in a ledger that was lost; 0 = none was
);
INSERT INTO ledger_mark (id, mark, lost_until) VALUES (1, 0, 0);
CREATE TABLE notices (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  what TEXT NOT NULL,
  campaign TEXT NOT NULL, -- its public ID; empty = several
  campaigns INTEGER NOT NULL
);

-- +goose Down
DROP TABLE notices;
DROP TABLE ledger_mark;
