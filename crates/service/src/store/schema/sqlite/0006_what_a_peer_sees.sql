-- What the peer of a block sees of the owner's presence: what other friends see, only once the block has ended (0); that
-- it went offline at `last_seen` (1), or came online then (2).
ALTER TABLE block ADD COLUMN shown INTEGER NOT NULL DEFAULT 0 CHECK (shown BETWEEN 0 AND 2);
UPDATE block SET shown = 1 WHERE removed = 0;
CREATE INDEX block_shown ON block (owner) WHERE shown = 2;

-- After a block: the last changes of the owner's views that the peer sees, until there are later ones; 0 if they are those
-- that everybody sees.
ALTER TABLE block ADD COLUMN friends_version  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN friends_time     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN everyone_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN everyone_time    INTEGER NOT NULL DEFAULT 0;
CREATE INDEX block_ended ON block (owner) WHERE removed = 1 AND (shown <> 0 OR friends_version <> 0);
