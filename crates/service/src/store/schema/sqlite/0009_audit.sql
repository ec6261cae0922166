-- What operators did to accounts, oldest first. A row is committed before the action is answered; where the action is a
-- write, in its transaction. Old rows are dropped by `ops.audit_retention`.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT, -- a reader's position; none is used twice
    time    INTEGER NOT NULL,
    caller  TEXT    NOT NULL,    -- the name of the key
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,    -- the account, or a salted hash once it was erased
    detail  TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_by_subject ON audit (subject);
CREATE INDEX audit_by_caller ON audit (caller);

-- The salt of these hashes.
ALTER TABLE meta ADD COLUMN audit_salt BLOB;
UPDATE meta SET audit_salt = randomblob(32);
