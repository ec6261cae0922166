-- What friends and everyone see of a profile changes on its own: version and time of the last change each could see.
ALTER TABLE user ADD COLUMN friends_version  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user ADD COLUMN friends_time     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user ADD COLUMN everyone_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user ADD COLUMN everyone_time    INTEGER NOT NULL DEFAULT 0;
UPDATE user SET friends_version = version, friends_time = update_time,
                everyone_version = version, everyone_time = update_time;

-- Presence: not part of the history, so it has no version.
ALTER TABLE user ADD COLUMN invisible INTEGER NOT NULL DEFAULT 0 CHECK (invisible IN (0, 1));
ALTER TABLE user ADD COLUMN online    INTEGER NOT NULL DEFAULT 0 CHECK (online IN (0, 1));
ALTER TABLE user ADD COLUMN last_seen INTEGER NOT NULL DEFAULT 0; -- when it came or went last
CREATE INDEX user_online ON user (account) WHERE online = 1;

-- "sender asks receiver". Read from both sides.
CREATE TABLE request (
    sender      TEXT    NOT NULL,
    receiver    TEXT    NOT NULL,
    message     BLOB    NOT NULL,
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4), -- open, accepted, rejected, cancelled, expired
    hidden      INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (sender, receiver)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_receiver ON request (receiver, sender);
CREATE INDEX request_open ON request (create_time) WHERE state = 0;
CREATE INDEX request_closed ON request (update_time) WHERE state <> 0;

-- "owner blocks peer".
CREATE TABLE block (
    owner       TEXT    NOT NULL,
    peer        TEXT    NOT NULL,
    removed     INTEGER NOT NULL CHECK (removed IN (0, 1)),
    last_seen   INTEGER NOT NULL, -- when the peer saw the owner last
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (owner, peer)
) STRICT, WITHOUT ROWID;

CREATE INDEX block_peer ON block (peer) WHERE removed = 0;
CREATE INDEX block_tombstone ON block (update_time) WHERE removed = 1;

-- The profile of `account` as it was when it blocked `viewer`: all that one sees of it until the block ends.
CREATE TABLE frozen (
    viewer           TEXT    NOT NULL,
    account          TEXT    NOT NULL,
    nick             TEXT    NOT NULL,
    avatar           TEXT    NOT NULL,
    sign             TEXT    NOT NULL,
    gender           INTEGER NOT NULL,
    email            TEXT    NOT NULL,
    birth            TEXT    NOT NULL,
    tel              TEXT    NOT NULL,
    custom           BLOB    NOT NULL,
    create_time      INTEGER NOT NULL,
    update_time      INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    friends_version  INTEGER NOT NULL,
    friends_time     INTEGER NOT NULL,
    everyone_version INTEGER NOT NULL,
    everyone_time    INTEGER NOT NULL,
    PRIMARY KEY (viewer, account)
) STRICT, WITHOUT ROWID;

CREATE INDEX frozen_account ON frozen (account);

-- Which fields whom may see, in one line; under other rules the history is another.
ALTER TABLE meta ADD COLUMN visibility TEXT NOT NULL DEFAULT '';
