-- Version 3: what is remembered of directories that are polled, because events do not tell of all that changes there.

CREATE TABLE poll (
    root       TEXT NOT NULL,                -- name of the root
    dir        BLOB NOT NULL,                -- directory relative to the root, empty for the root itself; bytes
    due_at     REAL NOT NULL,                -- wall clock: when to come by again
    interval_s REAL NOT NULL,                -- how long it was left alone before
    mtime_ns   NOT NULL,                     -- of the directory when its names were compared; 0, -1: compare them anyway
    entries    INTEGER NOT NULL,             -- what lay in it then: the cost of comparing it
    PRIMARY KEY (root, dir)
) WITHOUT ROWID;

CREATE INDEX poll_due ON poll (root, due_at);
CREATE INDEX poll_hot ON poll (root, interval_s, due_at);   -- what changed lately goes first
