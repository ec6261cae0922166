-- The rules about who sees and who writes which field, for all gateways of the database.
ALTER TABLE meta ADD COLUMN rules bigint NOT NULL DEFAULT 1;       -- the number of the rules, raised by every change of them
ALTER TABLE meta ADD COLUMN rules_since bigint NOT NULL DEFAULT 0; -- the last revision before they were changed
ALTER TABLE meta ADD COLUMN own_fields bytea;                      -- NULL until a gateway has kept them
ALTER TABLE meta ADD COLUMN write_rights text;                     -- likewise

-- The number of the rules by which a gateway shows profiles; 0 for one that cannot take over others.
ALTER TABLE node ADD COLUMN shows bigint NOT NULL DEFAULT 0;
