-- Objects in buckets: they have an etag, and no inode to be found by.
ALTER TABLE seen ADD COLUMN etag TEXT NOT NULL DEFAULT '';       -- what the bucket calls the content; empty for a file

DROP INDEX seen_inode;
CREATE INDEX seen_inode ON seen (root, inode) WHERE inode <> 0;
