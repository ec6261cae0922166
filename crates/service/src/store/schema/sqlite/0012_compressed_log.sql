-- Rows of the change log are smaller from here on: compressed, with `feed.format` 2, and without what their changes say
-- already. Rows of before stay as they are. Releases that cannot read the new ones refuse this version.
SELECT 1;
