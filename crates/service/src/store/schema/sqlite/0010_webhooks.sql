-- The deliveries to endpoints, by the names in the settings.
CREATE TABLE webhook (
    name          TEXT    NOT NULL PRIMARY KEY,
    history       INTEGER NOT NULL, -- the change log that the position is in
    stamp         INTEGER NOT NULL, -- the endpoint has the changes up to it
    idx           INTEGER NOT NULL, -- -1, or the last event that it has of that change
    seen          INTEGER NOT NULL, -- 0: the position in presence, which is not delivered yet
    state         INTEGER NOT NULL, -- 0 runs, 1 paused by an operator, 2 stopped (410), 3 held (too many dead letters)
    since         INTEGER NOT NULL, -- the time of that state
    failures      INTEGER NOT NULL, -- since the last success
    failing_since INTEGER NOT NULL,
    fence         INTEGER NOT NULL, -- 0: a file has one writer
    kept          INTEGER NOT NULL  -- when this row was written
) STRICT, WITHOUT ROWID;

-- The events that an endpoint refused, as references into the change log.
CREATE TABLE dead (
    name   TEXT    NOT NULL,
    stamp  INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    time   INTEGER NOT NULL,
    status INTEGER NOT NULL,
    PRIMARY KEY (name, stamp, idx)
) STRICT, WITHOUT ROWID;
