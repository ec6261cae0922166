-- The kinds of devices on which friends see an account online, with blanks between; for those who follow presence.
ALTER TABLE users ADD COLUMN devices text NOT NULL DEFAULT '';
