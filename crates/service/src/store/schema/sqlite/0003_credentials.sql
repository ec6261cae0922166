-- What is known of an account's tokens. A revocation outlives the account: it may be made again. A static token does not.
CREATE TABLE credential (
    account        TEXT    NOT NULL PRIMARY KEY,
    revoked_before INTEGER NOT NULL, -- tokens issued before this time are not accepted; 0: none was revoked
    salt           BLOB    CHECK (length(salt) = 16),
    hash           BLOB    CHECK (length(hash) = 32), -- SHA-256 of salt and secret; null: no static token
    issued         INTEGER NOT NULL, -- when the static token was set
    CHECK ((salt IS NULL) = (hash IS NULL))
) STRICT, WITHOUT ROWID;
