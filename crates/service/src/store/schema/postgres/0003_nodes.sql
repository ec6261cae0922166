-- The gateways that share the database. Each counts its beats; one whose beat stands still is dead. Ids are random and new at
-- each start.
CREATE TABLE node (
    id          bigint   NOT NULL PRIMARY KEY,
    name        text     NOT NULL,
    version     text     NOT NULL,
    rules       text     NOT NULL, -- the settings that all of them must have alike
    started     bigint   NOT NULL,
    beat        bigint   NOT NULL,
    beat_time   bigint   NOT NULL, -- when the beat was counted last
    applied     bigint   NOT NULL, -- the last revision that its clients may have seen
    state       smallint NOT NULL CHECK (state BETWEEN 0 AND 2), -- serves; stops; was called dead, and may not come back
    state_since bigint   NOT NULL,
    grace       bigint   NOT NULL, -- how long after it began to stop its accounts count as being there
    status      text     NOT NULL  -- what it says of itself, in JSON
) WITH (fillfactor = 50);

-- The sessions of all gateways. Each gateway numbers the changes of its own, and the others read them in that order. Those that
-- have ended are kept for a while, for who has not read so far.
CREATE TABLE live_session (
    node         bigint   NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    id           bigint   NOT NULL, -- 64 bits, held as a signed number
    number       bigint   NOT NULL,
    account      text COLLATE "C" NOT NULL,
    device_id    text     NOT NULL,
    device_type  text     NOT NULL,
    device_tag   text     NOT NULL,
    connected_at bigint   NOT NULL,
    since        bigint   NOT NULL, -- when its account came online
    ended_at     bigint,            -- NULL while it is there
    PRIMARY KEY (node, id)
) WITH (fillfactor = 80);
CREATE INDEX live_session_number ON live_session (node, number);
CREATE INDEX live_session_account ON live_session (account) WHERE ended_at IS NULL;
CREATE INDEX live_session_ended ON live_session (node, ended_at) WHERE ended_at IS NOT NULL;

-- Messages from gateway to gateway. Nothing that matters is in them only.
CREATE UNLOGGED TABLE node_message (
    number bigserial NOT NULL PRIMARY KEY,
    node   bigint    NOT NULL,      -- to whom
    time   bigint    NOT NULL,
    body   bytea     NOT NULL
);
CREATE INDEX node_message_to ON node_message (node, number);
CREATE INDEX node_message_time ON node_message (time);

-- What one gateway at a time does for all, for as long as it says so again and again.
CREATE TABLE lease (
    name  text   NOT NULL PRIMARY KEY,
    node  bigint NOT NULL,
    until bigint NOT NULL
);
