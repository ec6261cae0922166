-- The own fields of a profile and whom it mutes, as `rosterd.v1.User` with nothing else in it; empty if none has a value.
ALTER TABLE user ADD COLUMN fields BLOB NOT NULL DEFAULT x'';
ALTER TABLE frozen ADD COLUMN fields BLOB NOT NULL DEFAULT x'';
