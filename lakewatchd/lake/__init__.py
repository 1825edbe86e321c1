"""The Lance tables: bronze as seen, silver derived, gold served, lineage. One writer, many readers."""

import os

for _name in (
    "LANCE_LOG",
    "LANCEDB_LOG",
):  # read once, on import: they warn of every partition that new rows leave empty
    os.environ.setdefault(_name, "error")
