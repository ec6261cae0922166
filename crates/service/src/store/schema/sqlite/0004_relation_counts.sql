-- How many friends, open requests and blocks each account has, so that a limit costs one row to check. An account
-- without any has no row. The triggers keep the counts in the transaction that writes the rows.
CREATE TABLE relation_count (
    account  TEXT    NOT NULL PRIMARY KEY,
    friends  INTEGER NOT NULL DEFAULT 0, -- live edges it owns
    sent     INTEGER NOT NULL DEFAULT 0, -- open requests it made
    received INTEGER NOT NULL DEFAULT 0, -- open requests it may answer, without hidden ones
    blocks   INTEGER NOT NULL DEFAULT 0  -- live blocks it owns
) STRICT, WITHOUT ROWID;

INSERT INTO relation_count (account, friends)
    SELECT owner, count(*) FROM edge WHERE removed = 0 GROUP BY owner;
INSERT INTO relation_count (account, sent)
    SELECT sender, count(*) FROM request WHERE state = 0 GROUP BY sender
    ON CONFLICT (account) DO UPDATE SET sent = excluded.sent;
INSERT INTO relation_count (account, received)
    SELECT receiver, count(*) FROM request WHERE state = 0 AND hidden = 0 GROUP BY receiver
    ON CONFLICT (account) DO UPDATE SET received = excluded.received;
INSERT INTO relation_count (account, blocks)
    SELECT owner, count(*) FROM block WHERE removed = 0 GROUP BY owner
    ON CONFLICT (account) DO UPDATE SET blocks = excluded.blocks;

CREATE TRIGGER edge_made AFTER INSERT ON edge WHEN new.removed = 0 BEGIN
    INSERT INTO relation_count (account, friends) VALUES (new.owner, 1)
        ON CONFLICT (account) DO UPDATE SET friends = friends + 1;
END;
CREATE TRIGGER edge_changed AFTER UPDATE ON edge WHEN old.removed <> new.removed BEGIN
    INSERT INTO relation_count (account, friends) VALUES (new.owner, old.removed - new.removed)
        ON CONFLICT (account) DO UPDATE SET friends = friends + excluded.friends;
    DELETE FROM relation_count WHERE account = new.owner AND friends + sent + received + blocks = 0;
END;

CREATE TRIGGER request_made AFTER INSERT ON request WHEN new.state = 0 BEGIN
    INSERT INTO relation_count (account, sent) VALUES (new.sender, 1)
        ON CONFLICT (account) DO UPDATE SET sent = sent + 1;
    INSERT INTO relation_count (account, received) SELECT new.receiver, 1 WHERE new.hidden = 0
        ON CONFLICT (account) DO UPDATE SET received = received + 1;
END;
CREATE TRIGGER request_changed AFTER UPDATE ON request
WHEN (old.state = 0, old.hidden) <> (new.state = 0, new.hidden) BEGIN
    INSERT INTO relation_count (account, sent) VALUES (new.sender, (new.state = 0) - (old.state = 0))
        ON CONFLICT (account) DO UPDATE SET sent = sent + excluded.sent;
    INSERT INTO relation_count (account, received)
        VALUES (new.receiver, (new.state = 0 AND new.hidden = 0) - (old.state = 0 AND old.hidden = 0))
        ON CONFLICT (account) DO UPDATE SET received = received + excluded.received;
    DELETE FROM relation_count
        WHERE account IN (new.sender, new.receiver) AND friends + sent + received + blocks = 0;
END;

CREATE TRIGGER block_made AFTER INSERT ON block WHEN new.removed = 0 BEGIN
    INSERT INTO relation_count (account, blocks) VALUES (new.owner, 1)
        ON CONFLICT (account) DO UPDATE SET blocks = blocks + 1;
END;
CREATE TRIGGER block_changed AFTER UPDATE ON block WHEN old.removed <> new.removed BEGIN
    INSERT INTO relation_count (account, blocks) VALUES (new.owner, old.removed - new.removed)
        ON CONFLICT (account) DO UPDATE SET blocks = blocks + excluded.blocks;
    DELETE FROM relation_count WHERE account = new.owner AND friends + sent + received + blocks = 0;
END;
