-- The own fields of a profile and whom it mutes, as `rosterd.v1.User` with nothing else in it; empty if none has a value.
ALTER TABLE users ADD COLUMN fields bytea NOT NULL DEFAULT '';
ALTER TABLE frozen ADD COLUMN fields bytea NOT NULL DEFAULT '';
