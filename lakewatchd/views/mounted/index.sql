-- The view's index. A cache of what gold and bronze say, made again when it is lost or of another schema (store.py).
-- "item": 37 bits. An asset by 16 bits of its id and 20 of a hash, a place likewise and with bit 36 set (numbers.py).

CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE asset (
  item INTEGER PRIMARY KEY,
  hex TEXT NOT NULL,
  shown_at REAL,      -- when the place that is shown was first seen; NULL: it is shown only where it lies
  facts TEXT          -- JSON, the tags first; NULL: nobody has said what it is
);
CREATE INDEX asset_shown ON asset (shown_at, hex) WHERE shown_at IS NOT NULL;

CREATE TABLE place (
  item INTEGER PRIMARY KEY,
  asset INTEGER NOT NULL,
  key INTEGER NOT NULL,        -- of root and path
  name INTEGER NOT NULL,       -- hash of the file's name
  root TEXT NOT NULL,
  path BLOB NOT NULL,
  size INTEGER NOT NULL,
  mtime INTEGER NOT NULL,
  first_seen REAL NOT NULL,
  is_away INTEGER NOT NULL,
  etag TEXT NOT NULL
);
CREATE INDEX place_key ON place (key);
CREATE INDEX place_asset ON place (asset, is_away, first_seen);
CREATE INDEX place_name ON place (name, first_seen);

-- Folders that stand, whatever anybody looks at.
CREATE TABLE folder (
  id INTEGER PRIMARY KEY,
  parent INTEGER NOT NULL,
  name BLOB NOT NULL,
  newest INTEGER               -- of all below; NULL: the newest has left, look again
);
CREATE UNIQUE INDEX folder_name ON folder (parent, name);

-- What is in a folder by its unique name, so that listing is reading. "plain": the name it would have alone, if it has
-- another; then "age" says since when it is there. Item -1: a subfolder has this name.
CREATE TABLE member (
  folder INTEGER NOT NULL,
  name BLOB NOT NULL,
  plain BLOB,
  item INTEGER NOT NULL,
  size INTEGER NOT NULL,
  mtime INTEGER NOT NULL,
  age REAL,
  PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE INDEX member_suffixed ON member (folder, plain, item) WHERE plain IS NOT NULL;
CREATE INDEX member_heirs ON member (folder, plain, age, item) WHERE plain IS NOT NULL;

-- A suffixed name that was left to a real file, and whose it would be.
CREATE TABLE avoided (
  folder INTEGER NOT NULL,
  name BLOB NOT NULL,
  plain BLOB NOT NULL,
  item INTEGER NOT NULL,
  PRIMARY KEY (folder, name)
) WITHOUT ROWID;

-- Of the files in a folder of a tag, those that have a further one: its subfolders.
CREATE TABLE narrowed (
  folder INTEGER NOT NULL,
  tag BLOB NOT NULL,
  files INTEGER NOT NULL,
  newest INTEGER,
  PRIMARY KEY (folder, tag)
) WITHOUT ROWID;
