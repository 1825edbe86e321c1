-- What makes a rescan exact (the time no program can set back, a sample of large files) and cheap (a digest of each
-- directory that held just what was known).

ALTER TABLE seen ADD COLUMN ctime_ns NOT NULL DEFAULT 0;         -- st_ctime_ns; 0 while unknown
ALTER TABLE seen ADD COLUMN calm INTEGER NOT NULL DEFAULT 0;     -- how often in a row only the ctime had moved
ALTER TABLE seen ADD COLUMN sample BLOB NOT NULL DEFAULT x'';    -- hash of head, middle and tail of a large file

CREATE TABLE directory (
    root    TEXT    NOT NULL,                -- name of the root
    parent  BLOB    NOT NULL,                -- directory it lies in, relative to the root; bytes
    name    BLOB    NOT NULL,                -- its name; empty, in an empty parent, for the root itself
    digest  BLOB    NOT NULL,                -- hash of its listing and of its ignore rules
    files   INTEGER NOT NULL,                -- files directly in it that no rule leaves out
    ignored TEXT    NOT NULL,                -- JSON: [[rule, count], ...] of what is left out
    PRIMARY KEY (root, parent, name)
) WITHOUT ROWID;
