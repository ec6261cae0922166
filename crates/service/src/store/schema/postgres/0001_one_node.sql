-- Times are milliseconds since the Unix epoch. A `version` is the revision of the change that wrote the row. Accounts are
-- compared byte for byte. Text that may hold U+0000 is bytea.

-- The one row that says which history this is.
CREATE TABLE meta (
    id           smallint NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch        bigint   NOT NULL, -- 64 random bits, held as a signed number
    identity     text     NOT NULL, -- server, database, schema and timeline that this epoch is written on
    floor        bigint   NOT NULL, -- tombstones up to this revision may have been dropped
    visibility   text     NOT NULL, -- which fields whom may see, in one line; under other rules the epoch is another
    schema       integer  NOT NULL, -- the number of the last migration
    format       integer  NOT NULL, -- the form of the rows of `feed` that every node can read
    history      bigint   NOT NULL, -- the identity of the change log for followers; 0: they have none
    feed_floor   bigint   NOT NULL, -- followers are given changes after this revision
    seen         bigint   NOT NULL, -- the number of the last presence transition
    numbers_seen boolean  NOT NULL, -- whether transitions get numbers
    audit_salt   bytea    NOT NULL  -- for the hashes of erased accounts
);

-- Locked from before the first revision of a batch until its commit is visible, and never written.
CREATE TABLE sequencer (id smallint NOT NULL PRIMARY KEY CHECK (id = 1));
INSERT INTO sequencer (id) VALUES (1);

-- The change log: a row for the changes of one batch, or for a part of many, in commit order. The newest row is never
-- deleted: its `last` is the last revision, and its `nonce` tells this batch from another that took the same revisions.
CREATE TABLE feed (
    first   bigint   NOT NULL PRIMARY KEY,
    last    bigint   NOT NULL,
    epoch   bigint   NOT NULL,
    writer  bigint   NOT NULL,
    nonce   bigint   NOT NULL,
    time    bigint   NOT NULL,
    format  smallint NOT NULL, -- 1: `rosterd.feed.v1.Changes`, 2: the same compressed with LZ4
    size    integer  NOT NULL, -- bytes of `changes`
    changes bytea    NOT NULL
);
ALTER TABLE feed ALTER changes SET STORAGE EXTERNAL;
INSERT INTO feed (first, last, epoch, writer, nonce, time, format, size, changes) VALUES (0, 0, 0, 0, 0, 0, 1, 0, '');

-- The accounts whose personal data is to be taken out of changes below a revision, because they were deleted.
CREATE TABLE feed_erase (
    account text COLLATE "C" NOT NULL PRIMARY KEY,
    below   bigint           NOT NULL
);

CREATE TABLE users (
    account           text COLLATE "C" NOT NULL PRIMARY KEY,
    nick              text     NOT NULL,
    avatar            text     NOT NULL,
    sign              text     NOT NULL,
    gender            smallint NOT NULL CHECK (gender BETWEEN 0 AND 2), -- unknown, male, female
    email             text     NOT NULL,
    birth             text     NOT NULL,
    tel               text     NOT NULL,
    custom            bytea    NOT NULL,
    create_time       bigint   NOT NULL,
    update_time       bigint   NOT NULL,
    version           bigint   NOT NULL,
    friends_version   bigint   NOT NULL,
    friends_time      bigint   NOT NULL,
    everyone_version  bigint   NOT NULL,
    everyone_time     bigint   NOT NULL,
    invisible         boolean  NOT NULL,
    invisible_version bigint   NOT NULL,
    online            boolean  NOT NULL,
    last_seen         bigint   NOT NULL,
    seen_stamp        bigint   NOT NULL DEFAULT 0 -- the number of the last presence transition
) WITH (fillfactor = 80);
CREATE INDEX user_online ON users (account) WHERE online;
CREATE INDEX user_seen ON users (seen_stamp) WHERE seen_stamp > 0;

-- "owner lists peer".
CREATE TABLE edge (
    owner       text COLLATE "C" NOT NULL,
    peer        text COLLATE "C" NOT NULL,
    removed     boolean NOT NULL,
    alias       text    NOT NULL,
    custom      bytea   NOT NULL,
    create_time bigint  NOT NULL,
    update_time bigint  NOT NULL,
    version     bigint  NOT NULL,
    PRIMARY KEY (owner, peer)
);
CREATE INDEX edge_tombstone ON edge (update_time) WHERE removed;

-- "sender asks receiver", as each of the two knows it.
CREATE TABLE request (
    sender      text COLLATE "C" NOT NULL,
    receiver    text COLLATE "C" NOT NULL,
    side        smallint NOT NULL CHECK (side IN (0, 1)), -- whose copy: the sender's, the receiver's
    message     bytea    NOT NULL,
    state       smallint NOT NULL CHECK (state BETWEEN 0 AND 4), -- open, accepted, rejected, cancelled, expired
    create_time bigint   NOT NULL,
    update_time bigint   NOT NULL,
    version     bigint   NOT NULL,
    PRIMARY KEY (sender, receiver, side)
);
CREATE INDEX request_receiver ON request (receiver, sender);
CREATE INDEX request_open ON request (create_time) WHERE state = 0;
CREATE INDEX request_closed ON request (update_time) WHERE state <> 0;

-- "owner blocks peer".
CREATE TABLE block (
    owner            text COLLATE "C" NOT NULL,
    peer             text COLLATE "C" NOT NULL,
    removed          boolean  NOT NULL,
    last_seen        bigint   NOT NULL,
    create_time      bigint   NOT NULL,
    update_time      bigint   NOT NULL,
    version          bigint   NOT NULL,
    shown            smallint NOT NULL CHECK (shown BETWEEN 0 AND 2), -- what others see; offline at `last_seen`; online
    friends_version  bigint   NOT NULL,
    friends_time     bigint   NOT NULL,
    everyone_version bigint   NOT NULL,
    everyone_time    bigint   NOT NULL,
    PRIMARY KEY (owner, peer)
);
CREATE INDEX block_peer ON block (peer) WHERE NOT removed;
CREATE INDEX block_tombstone ON block (update_time) WHERE removed;
CREATE INDEX block_shown ON block (owner) WHERE shown = 2;
CREATE INDEX block_ended ON block (owner) WHERE removed AND (shown <> 0 OR friends_version <> 0);

-- The profile of `account` as it was when it blocked `viewer`.
CREATE TABLE frozen (
    viewer           text COLLATE "C" NOT NULL,
    account          text COLLATE "C" NOT NULL,
    nick             text     NOT NULL,
    avatar           text     NOT NULL,
    sign             text     NOT NULL,
    gender           smallint NOT NULL,
    email            text     NOT NULL,
    birth            text     NOT NULL,
    tel              text     NOT NULL,
    custom           bytea    NOT NULL,
    create_time      bigint   NOT NULL,
    update_time      bigint   NOT NULL,
    version          bigint   NOT NULL,
    friends_version  bigint   NOT NULL,
    friends_time     bigint   NOT NULL,
    everyone_version bigint   NOT NULL,
    everyone_time    bigint   NOT NULL,
    PRIMARY KEY (viewer, account)
);
CREATE INDEX frozen_account ON frozen (account);

-- What is known of an account's tokens. A revocation outlives the account.
CREATE TABLE credential (
    account        text COLLATE "C" NOT NULL PRIMARY KEY,
    revoked_before bigint NOT NULL,
    salt           bytea  CHECK (length(salt) = 16),
    hash           bytea  CHECK (length(hash) = 32),
    issued         bigint NOT NULL,
    CHECK ((salt IS NULL) = (hash IS NULL))
);

-- How many friends, open requests and blocks each account has, so that a limit costs one row to check. Triggers keep the
-- counts in the transaction that writes the rows. Removed and closed rows are dropped without changing them.
CREATE TABLE relation_count (
    account  text COLLATE "C" NOT NULL PRIMARY KEY,
    friends  bigint NOT NULL DEFAULT 0,
    sent     bigint NOT NULL DEFAULT 0,
    received bigint NOT NULL DEFAULT 0,
    blocks   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

CREATE FUNCTION count_edges() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO relation_count AS kept (account, friends)
            SELECT owner, count(*) FROM now_rows WHERE NOT removed GROUP BY owner
            ON CONFLICT (account) DO UPDATE SET friends = kept.friends + excluded.friends;
    ELSE
        INSERT INTO relation_count AS kept (account, friends)
            SELECT owner, sum(n) FROM (
                SELECT owner, 1 AS n FROM now_rows WHERE NOT removed
                UNION ALL SELECT owner, -1 FROM old_rows WHERE NOT removed) AS live
            GROUP BY owner HAVING sum(n) <> 0
            ON CONFLICT (account) DO UPDATE SET friends = kept.friends + excluded.friends;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER edge_made AFTER INSERT ON edge REFERENCING NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_edges();
CREATE TRIGGER edge_changed AFTER UPDATE ON edge REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_edges();

CREATE FUNCTION count_blocks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO relation_count AS kept (account, blocks)
            SELECT owner, count(*) FROM now_rows WHERE NOT removed GROUP BY owner
            ON CONFLICT (account) DO UPDATE SET blocks = kept.blocks + excluded.blocks;
    ELSE
        INSERT INTO relation_count AS kept (account, blocks)
            SELECT owner, sum(n) FROM (
                SELECT owner, 1 AS n FROM now_rows WHERE NOT removed
                UNION ALL SELECT owner, -1 FROM old_rows WHERE NOT removed) AS live
            GROUP BY owner HAVING sum(n) <> 0
            ON CONFLICT (account) DO UPDATE SET blocks = kept.blocks + excluded.blocks;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER block_made AFTER INSERT ON block REFERENCING NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_blocks();
CREATE TRIGGER block_changed AFTER UPDATE ON block REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_blocks();

-- By the copies of the senders.
CREATE FUNCTION count_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO relation_count AS kept (account, sent, received)
            SELECT account, sum(s), sum(r) FROM (
                SELECT sender AS account, 1 AS s, 0 AS r FROM now_rows WHERE side = 0 AND state = 0
                UNION ALL SELECT receiver, 0, 1 FROM now_rows WHERE side = 0 AND state = 0) AS open
            GROUP BY account
            ON CONFLICT (account) DO UPDATE
                SET sent = kept.sent + excluded.sent, received = kept.received + excluded.received;
    ELSE
        INSERT INTO relation_count AS kept (account, sent, received)
            SELECT account, sum(s), sum(r) FROM (
                SELECT sender AS account, 1 AS s, 0 AS r FROM now_rows WHERE side = 0 AND state = 0
                UNION ALL SELECT receiver, 0, 1 FROM now_rows WHERE side = 0 AND state = 0
                UNION ALL SELECT sender, -1, 0 FROM old_rows WHERE side = 0 AND state = 0
                UNION ALL SELECT receiver, 0, -1 FROM old_rows WHERE side = 0 AND state = 0) AS open
            GROUP BY account HAVING sum(s) <> 0 OR sum(r) <> 0
            ON CONFLICT (account) DO UPDATE
                SET sent = kept.sent + excluded.sent, received = kept.received + excluded.received;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER request_made AFTER INSERT ON request REFERENCING NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_requests();
CREATE TRIGGER request_changed AFTER UPDATE ON request REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_requests();

-- What operators did to accounts, oldest first. Old rows are dropped by `ops.audit_retention`. A reader's position is a
-- number; a row that was never committed leaves a gap.
CREATE TABLE audit (
    number  bigint NOT NULL PRIMARY KEY,
    time    bigint NOT NULL,
    caller  text   NOT NULL,
    action  text   NOT NULL,
    subject text COLLATE "C" NOT NULL, -- the account, or a salted hash once it was erased
    detail  text   NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject);
CREATE INDEX audit_by_caller ON audit (caller);

-- The last number; none is used twice. Written under the sequencer's lock.
CREATE TABLE audit_last (id smallint NOT NULL PRIMARY KEY CHECK (id = 1), number bigint NOT NULL);
INSERT INTO audit_last (id, number) VALUES (1, 0);

-- The deliveries to endpoints, by the names in the settings.
CREATE TABLE webhook (
    name          text     NOT NULL PRIMARY KEY,
    history       bigint   NOT NULL,
    stamp         bigint   NOT NULL,
    idx           bigint   NOT NULL,
    seen          bigint   NOT NULL,
    state         smallint NOT NULL,
    since         bigint   NOT NULL,
    failures      bigint   NOT NULL,
    failing_since bigint   NOT NULL,
    fence         bigint   NOT NULL,
    kept          bigint   NOT NULL
);

-- The events that an endpoint refused, as references into the change log.
CREATE TABLE dead (
    name   text    NOT NULL,
    stamp  bigint  NOT NULL,
    idx    bigint  NOT NULL,
    time   bigint  NOT NULL,
    status integer NOT NULL,
    PRIMARY KEY (name, stamp, idx)
);
