"""The process of one query: ``python -m lakewatchd.views.sql.child_main``, started by :mod:`.session` only.

It opens the lake and the files it was handed, confines itself to reading just these, and only then sees the query. It
ends with it: nothing of one query is there for the next. A lake in a bucket is read over the network, so there the
kernel's layers cannot hold, and the lock of DuckDB stands alone.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence

from lakewatchd.child import Blob, Json, Operation, Parent, serve
from lakewatchd.confine import confine
from lakewatchd.core.table import from_json as shape_of
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import ConfigError
from lakewatchd.views.sql.database import Database
from lakewatchd.views.sql.session import Opening

Answer = tuple[Json, Sequence[Blob]]


def operations(parent: Parent) -> dict[str, Operation]:
    try:
        import duckdb  # noqa: F401
    except ImportError as exc:
        raise ConfigError("SQL needs DuckDB, which is not installed", "pip install 'lakewatchd[sql]'") from exc
    import lance  # noqa: F401
    import pyarrow.dataset
    import pyarrow.ipc  # noqa: F401

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # what libraries say of a query would be forged lines in a log
    os.close(silence)
    databases: list[Database] = []

    def open_all(args: Json, blobs: tuple[bytes, ...]) -> Answer:
        opening = from_json(Opening, args)
        database = Database(opening.memory_mb, opening.threads)
        database.add_lake(opening.uri, opening.options, opening.away)
        for file in opening.files:
            database.add_file(file.called, file.path, shape_of(file.shape))
        database.lock()
        databases.append(database)
        if opening.options is not None:
            return {"layers": []}, ()
        layers = confine([opening.uri, *(file.path for file in opening.files)], is_server=True)
        if not all(layer.holds for layer in layers):  # the next best: no more processes, nor threads, except for root
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        return {"layers": [to_json(layer) for layer in layers]}, ()

    def ask(args: Json, blobs: tuple[bytes, ...]) -> Answer:
        (database,) = databases
        return {}, (database.ask(str(args["query"])).serialize(),)

    def rows(args: Json, blobs: tuple[bytes, ...]) -> Answer:
        (database,) = databases
        found = database.rows()
        return {}, () if found is None else (found,)

    return {"open": open_all, "ask": ask, "rows": rows}


if __name__ == "__main__":
    sys.exit(serve(operations))
