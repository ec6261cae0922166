-- The change log: a row for the changes of one transaction, or for a part of many, in commit order. It is written in the
-- transaction of the changes themselves. Personal data in it is erased by `feed_erase`, old rows by `feed.retention`.
CREATE TABLE feed (
    first   INTEGER PRIMARY KEY, -- the stamp of the first change in it
    last    INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,    -- the epoch in which it was written
    writer  INTEGER NOT NULL,    -- 0: a file has one writer
    nonce   INTEGER NOT NULL,    -- 0: nobody else can have written the same stamps
    time    INTEGER NOT NULL,    -- of the commit
    format  INTEGER NOT NULL,    -- 1: `rosterd.feed.v1.Changes`
    size    INTEGER NOT NULL,    -- bytes of `changes`
    changes BLOB    NOT NULL
) STRICT;

-- The accounts whose personal data is to be taken out of changes below a stamp, because they were deleted.
CREATE TABLE feed_erase (
    account TEXT    NOT NULL PRIMARY KEY,
    below   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The identity of the log: another than before if changes may be missing in it. 0: it gets one at the next opening.
ALTER TABLE meta ADD COLUMN history    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN feed_bytes INTEGER NOT NULL DEFAULT 0; -- the sum of `feed.size`
