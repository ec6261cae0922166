-- Presence for those who follow it from outside. Each transition that friends see takes the next number, and so does whether
-- an account hides; of an account only the last one is kept, because presence is state.
ALTER TABLE user ADD COLUMN seen_stamp INTEGER NOT NULL DEFAULT 0; -- the number of the last one, 0 if there was none
CREATE INDEX user_seen ON user (seen_stamp) WHERE seen_stamp > 0;

ALTER TABLE meta ADD COLUMN seen         INTEGER NOT NULL DEFAULT 0; -- the last number
ALTER TABLE meta ADD COLUMN numbers_seen INTEGER NOT NULL DEFAULT 0; -- 1: transitions get numbers (`feed.presence`)
