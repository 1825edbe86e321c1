-- The queue database as it is now: what is to be done (job), what was seen where (seen), and two small notes.
-- For readers only. Files are made by migrations/, and a test proves that these lead to exactly what is written here.
-- Everything here can be rebuilt by a rescan. States: 0 ready, 1 later, 2 leased, 3 parked (core/job.py draws them).

CREATE TABLE job (
    id          INTEGER PRIMARY KEY,         -- order of arrival; may be used again, which is why a lease is checked too
    stage       TEXT    NOT NULL,            -- which step of the plan works on it
    key         BLOB    NOT NULL,            -- what it works on, unique per stage; bytes, as names need not be UTF-8
    payload     TEXT    NOT NULL,            -- JSON with sorted keys, so that equal payloads are equal text
    priority    INTEGER NOT NULL,            -- core.job.Priority: smaller is sooner
    lane        TEXT    NOT NULL,            -- core.job.Lane: who runs it
    state       INTEGER NOT NULL,            -- 0 ready, 1 later, 2 leased, 3 parked
    generation  INTEGER NOT NULL DEFAULT 0,  -- raised by every put; an ack of an older one is out of date
    attempts    INTEGER NOT NULL DEFAULT 0,  -- failed tries of this payload
    crashes     INTEGER NOT NULL DEFAULT 0,  -- times in a row its lease ended with the daemon; a suspect from 2 on
    queued_at   REAL    NOT NULL,            -- wall clock of the first put, seconds since the epoch
    not_before  REAL,                        -- wall clock; set while later, and while leased if put again with a delay
    lease       TEXT,                        -- token of the claim that holds it; NULL unless leased
    lease_until REAL,                        -- MONOTONIC clock of the process that holds it; NULL unless leased
    reason      TEXT,                        -- of the last failure, in words to filter by
    message     TEXT,                        -- of the last failure, for people
    hint        TEXT,                        -- what a person can do about it
    parked_at   REAL,                        -- wall clock; NULL unless parked
    tried_with  TEXT,                        -- of a parked job: the code and settings that could not do it
    UNIQUE (stage, key)                      -- one job per stage and key: puts coalesce
);

-- One partial index per state. A claim reads only job_ready, in its order, so its cost does not grow with the queue;
-- with the stage in front a paused stage is stepped over, not waded through. Delayed jobs live in another index,
-- because random times in this one made every claim ten times dearer at a million jobs. Suspects of crashes wait
-- outside of it, because they run one at a time. Stage and priority are where many jobs may have to be counted.
CREATE INDEX job_ready   ON job (lane, stage, priority, id) WHERE state = 0 AND crashes < 2;
CREATE INDEX job_later   ON job (not_before, stage, priority) WHERE state = 1;
CREATE INDEX job_leased  ON job (lease_until) WHERE state = 2;
CREATE INDEX job_parked  ON job (parked_at, stage, priority, reason) WHERE state = 3;
CREATE INDEX job_suspect ON job (state) WHERE crashes >= 2;

CREATE TABLE pause (
    scope  TEXT PRIMARY KEY,                 -- a stage, or * for everything
    since  REAL NOT NULL,                    -- wall clock
    reason TEXT NOT NULL                     -- why, for people
) WITHOUT ROWID;

-- Numbers have no declared type: those beyond 64 bits signed (an inode of 2^63, a date in the year 40000) are kept
-- as decimal text, which a declared type would round.
CREATE TABLE seen (
    root     TEXT NOT NULL,                  -- name of the root
    dir      BLOB NOT NULL,                  -- directory relative to the root, empty for the root itself; bytes
    name     BLOB NOT NULL,                  -- file name; bytes
    size     NOT NULL,                       -- bytes
    mtime_ns NOT NULL,                       -- st_mtime_ns
    inode    NOT NULL,                       -- st_ino; 0 for an object in a bucket
    device   NOT NULL,                       -- st_dev; 0 for an object
    asset_id TEXT NOT NULL,                  -- the content that lay there
    ctime_ns NOT NULL DEFAULT 0,             -- st_ctime_ns, or what stands for an object's labels; 0 while unknown
    calm     INTEGER NOT NULL DEFAULT 0,     -- how often in a row only the ctime had moved
    sample   BLOB NOT NULL DEFAULT x'',      -- hash of head, middle and tail of a large file
    etag     TEXT NOT NULL DEFAULT '',       -- what the bucket calls the content; empty for a file
    PRIMARY KEY (root, dir, name)
) WITHOUT ROWID;

CREATE INDEX seen_inode ON seen (root, inode) WHERE inode <> 0;   -- a renamed file is recognised by its inode

-- Directories that held just what is known of them. Whoever changes seen takes away what is about that directory and
-- those above it, in the same transaction.
CREATE TABLE directory (
    root    TEXT    NOT NULL,                -- name of the root
    parent  BLOB    NOT NULL,                -- directory it lies in, relative to the root; bytes
    name    BLOB    NOT NULL,                -- its name; empty, in an empty parent, for the root itself
    digest  BLOB    NOT NULL,                -- hash of its listing and of its ignore rules
    files   INTEGER NOT NULL,                -- files directly in it that no rule leaves out
    ignored TEXT    NOT NULL,                -- JSON: [[rule, count], ...] of what is left out
    PRIMARY KEY (root, parent, name)
) WITHOUT ROWID;

CREATE TABLE root_state (
    root     TEXT PRIMARY KEY,               -- name of the root
    identity TEXT NOT NULL                   -- JSON: what proves that the same file system is mounted there
) WITHOUT ROWID;

-- Directories that are polled, because events do not tell of all that changes there.
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
