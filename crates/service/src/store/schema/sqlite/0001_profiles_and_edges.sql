-- The one row that says which history this is and how far it has come.
CREATE TABLE meta (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL, -- 64 random bits, held as a signed number
    stamp INTEGER NOT NULL, -- the last one given out
    floor INTEGER NOT NULL  -- tombstones up to this stamp may have been dropped
) STRICT;

-- Times are milliseconds since the Unix epoch. `version` is the stamp of the change that wrote the row.
CREATE TABLE user (
    account     TEXT    NOT NULL PRIMARY KEY,
    nick        TEXT    NOT NULL,
    avatar      TEXT    NOT NULL,
    sign        TEXT    NOT NULL,
    gender      INTEGER NOT NULL CHECK (gender BETWEEN 0 AND 2), -- unknown, male, female
    email       TEXT    NOT NULL,
    birth       TEXT    NOT NULL,
    tel         TEXT    NOT NULL,
    custom      BLOB    NOT NULL, -- UTF-8 that may hold U+0000, which ends a TEXT for some readers
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    version     INTEGER NOT NULL
) STRICT;

-- "owner lists peer". Clustered by owner, so that a page of friends is one stretch of the file.
CREATE TABLE edge (
    owner       TEXT    NOT NULL,
    peer        TEXT    NOT NULL,
    removed     INTEGER NOT NULL CHECK (removed IN (0, 1)),
    alias       TEXT    NOT NULL,
    custom      BLOB    NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (owner, peer)
) STRICT, WITHOUT ROWID;

-- For compaction, which takes the oldest first.
CREATE INDEX edge_tombstone ON edge (update_time) WHERE removed = 1;
