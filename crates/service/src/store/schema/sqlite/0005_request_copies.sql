-- "sender asks receiver", as each of the two knows it: a copy for either side, with a version of its own. While the
-- receiver blocks the sender, only the sender's copy is written.
CREATE TABLE request_copy (
    sender      TEXT    NOT NULL,
    receiver    TEXT    NOT NULL,
    side        INTEGER NOT NULL CHECK (side IN (0, 1)), -- whose copy: the sender's, the receiver's
    message     BLOB    NOT NULL,
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4), -- open, accepted, rejected, cancelled, expired
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (sender, receiver, side)
) STRICT, WITHOUT ROWID;

INSERT INTO request_copy
    SELECT sender, receiver, 0, message, state, create_time, update_time, version FROM request;
INSERT INTO request_copy
    SELECT sender, receiver, 1, message, state, create_time, update_time, version FROM request WHERE hidden = 0;
-- A request that was hidden by a block which has ended reaches its receiver now, as a change of its own.
INSERT INTO request_copy
    SELECT sender, receiver, 1, message, state, create_time, update_time, (SELECT stamp + 1 FROM meta)
    FROM request WHERE hidden = 1 AND state = 0 AND NOT EXISTS (
        SELECT * FROM block WHERE owner = receiver AND peer = sender AND removed = 0);
UPDATE meta SET stamp = stamp + 1 WHERE EXISTS (SELECT * FROM request_copy WHERE version > stamp);

DROP TABLE request;
ALTER TABLE request_copy RENAME TO request;
CREATE INDEX request_receiver ON request (receiver, sender);
CREATE INDEX request_open ON request (create_time) WHERE state = 0;
CREATE INDEX request_closed ON request (update_time) WHERE state <> 0;

-- The counts of open requests, as in 0004, by the copies of the senders: those that a block hides count like any other.
CREATE TRIGGER request_made AFTER INSERT ON request WHEN new.state = 0 AND new.side = 0 BEGIN
    INSERT INTO relation_count (account, sent) VALUES (new.sender, 1)
        ON CONFLICT (account) DO UPDATE SET sent = sent + 1;
    INSERT INTO relation_count (account, received) VALUES (new.receiver, 1)
        ON CONFLICT (account) DO UPDATE SET received = received + 1;
END;
CREATE TRIGGER request_changed AFTER UPDATE ON request
WHEN new.side = 0 AND (old.state = 0) <> (new.state = 0) BEGIN
    INSERT INTO relation_count (account, sent) VALUES (new.sender, (new.state = 0) - (old.state = 0))
        ON CONFLICT (account) DO UPDATE SET sent = sent + excluded.sent;
    INSERT INTO relation_count (account, received) VALUES (new.receiver, (new.state = 0) - (old.state = 0))
        ON CONFLICT (account) DO UPDATE SET received = received + excluded.received;
    DELETE FROM relation_count
        WHERE account IN (new.sender, new.receiver) AND friends + sent + received + blocks = 0;
END;
INSERT INTO relation_count (account, received)
    SELECT receiver, count(*) FROM request WHERE state = 0 AND side = 0 GROUP BY receiver
    ON CONFLICT (account) DO UPDATE SET received = excluded.received;
