"""DuckDB in the child: views over the lake and over files that were handed in, then locked for good.

:meth:`Database.lock` comes before any query. From then on DuckDB opens nothing but the files it was given and the
lake's own, keeps all in a memory it cannot raise, and takes one statement that only reads. What the process may do at
all is bounded once more by :mod:`lakewatchd.confine`. Invariant: nothing that is asked can change what is served.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lakewatchd.core.nearest import nearest
from lakewatchd.core.table import TableSchema
from lakewatchd.errors import BadQuery, LakewatchError, TooLarge
from lakewatchd.lake.schema import ASSETS, GOLD, LINEAGE, OCCURRENCES, SPANS, WORDS, TableSpec
from lakewatchd.views.sql import shapes
from lakewatchd.views.sql.shapes import name, text

LAKE = (GOLD, ASSETS, SPANS, OCCURRENCES, LINEAGE, WORDS)
SHORT = {"gold": GOLD, "assets": ASSETS, "spans": SPANS, "occurrences": OCCURRENCES}
"""Short names; such a view leaves out what is for machines."""
_SAID = {GOLD: {"captured_at": "dated_at", "place": "trim(concat(city, ', ', country), ', ')"}}
"""More columns of such a view: what people call what stands in others."""
_FOR_MACHINES = frozenset(("vector", "image_vector", "text_vector", "signature", "phash", "revision", "tag_names"))
TABLES = """
CREATE VIEW tables AS
SELECT best_root AS root, best_path AS path, shape ->> 'name' AS part, shape ->> 'format' AS format,
       CAST(shape ->> 'rows' AS BIGINT) AS rows, [c ->> 0 FOR c IN CAST(shape -> 'columns' AS JSON[])] AS columns,
       [c ->> 1 FOR c IN CAST(shape -> 'columns' AS JSON[])] AS types, asset_id
FROM (SELECT asset_id, TRY_CAST(pair.v AS JSON) AS shape
      FROM (SELECT asset_id, unnest(exif) AS pair FROM silver_assets WHERE kind = 'table')
      WHERE pair.k = 'table' OR pair.k LIKE 'table.%')
JOIN gold_assets USING (asset_id) WHERE shape IS NOT NULL
"""
"""What lies in files, and can be named in a query."""

FILES = "SELECT root, path, part FROM tables lists those in files"
BATCH_ROWS = 4096
_MOST_BYTES = 200 << 20
"""Of one row: a frame between processes holds no more."""
_READING = frozenset(("SELECT", "EXPLAIN"))
_SETTINGS: Mapping[str, str] = {
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "allow_unsigned_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}


class Database:
    def __init__(self, memory_mb: int, threads: int) -> None:
        import duckdb

        bounds = {"memory_limit": f"{memory_mb}MiB", "threads": str(threads)}
        self._connection = duckdb.connect(":memory:", config={**_SETTINGS, **bounds})
        self._files: list[str] = []
        self._reader: Any = None

    def add_lake(self, uri: str, options: Mapping[str, str] | None, away: Collection[str] = ()) -> None:
        """Its tables, as of now. One that nobody made yet has no rows. ``away``: roots that cannot be read now."""
        import pyarrow as pa

        from lakewatchd.lake.schema import Dims

        for spec in LAKE:
            found = _dataset(spec, uri, options)
            self._connection.register(spec.name, found or pa.table(spec.arrow(Dims(0, 0)).empty_table().to_pydict(),
                                                                   schema=spec.arrow(Dims(0, 0))))  # fmt: skip
        for short, spec in SHORT.items():
            columns = [_told_away(column, away) for column in self._shown(spec)]
            columns += [f"{value} AS {word}" for word, value in _SAID.get(spec, {}).items()]
            self._connection.execute(f"CREATE VIEW {short} AS SELECT {', '.join(columns)} FROM {spec.name}")
        self._connection.execute(TABLES)

    def _shown(self, spec: TableSpec) -> list[str]:
        """The columns that it has, less those for machines: one of a later release may be missing yet."""
        described = self._connection.execute(f"DESCRIBE {spec.name}").fetchall()
        return [name(row[0]) for row in described if row[0] not in _FOR_MACHINES]

    def add_file(self, called: str, path: str, schema: TableSchema) -> None:
        """A table that lies in a file, under the name the query uses. Raises ``BadQuery`` where it cannot be read."""
        import duckdb

        self._files.append(path)
        try:
            self._connection.execute(f"CREATE OR REPLACE VIEW {name(called)} AS {shapes.query(path, schema)}")
        except duckdb.Error as exc:
            raise BadQuery(f"{called} cannot be read as the table it was: {told(exc)[0]}") from exc

    def lock(self) -> None:
        listed = ", ".join(text(path) for path in self._files)
        for setting in (f"allowed_paths = [{listed}]", "enable_external_access = false", "lock_configuration = true"):
            self._connection.execute(f"SET {setting}")

    def ask(self, query: str) -> Any:
        """Begin: the schema of the answer. Its rows are what :meth:`rows` gives. Raises ``BadQuery``."""
        with self._translated():
            statements = self._connection.extract_statements(query)
            if len(statements) != 1:
                hint = (
                    "write one, without a semicolon inside"
                    if statements
                    else "such as: SELECT kind, count(*) FROM gold GROUP BY 1"
                )
                raise BadQuery("one statement is expected", hint)
            kind = statements[0].type.name
            if kind not in _READING:
                raise BadQuery(
                    f"the lake can only be read: no {kind.replace('_', ' ')}",
                    "ask with SELECT, DESCRIBE, SUMMARIZE or EXPLAIN",
                )
            self._reader = self._explained(query) if kind == "EXPLAIN" else self._opened(query)
        return self._reader.schema

    def rows(self) -> bytes | None:
        """The next rows as a stream of Arrow IPC; None after the last. Raises ``BadQuery``, ``TooLarge``."""
        import pyarrow as pa

        with self._translated():
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                return None
        if batch.nbytes > _MOST_BYTES:
            raise TooLarge("a row of the answer is too large", "ask for less of it: substr(text, 1, 1000)")
        out = io.BytesIO()
        with pa.ipc.new_stream(out, batch.schema) as stream:
            stream.write_batch(batch)
        return out.getvalue()

    def _opened(self, query: str) -> Any:
        return self._connection.sql(query).to_arrow_reader(BATCH_ROWS)

    def _explained(self, query: str) -> Any:
        """A plan is text, and no relation."""
        import pyarrow as pa

        plan = pa.table({"plan": [row[1] for row in self._connection.execute(query).fetchall()]})
        return plan.to_reader()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import duckdb
        import pyarrow as pa

        try:
            yield
        except StopIteration:
            raise
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as exc:
            raise self._error(exc) from exc

    def _error(self, exc: Exception) -> LakewatchError:
        message, hint = told(exc)
        if type(exc).__name__ == "OutOfMemoryException" or "Out of Memory" in str(exc):
            return TooLarge(
                "the query needs more memory than it may use", "ask for less at once, or raise sql.memory_mb"
            )
        if refused := re.match(r'Cannot access \w+ "(.*)" - file system', message):
            return BadQuery(f"no table {refused[1]}: a query opens nothing but tables of the lake", FILES)
        if missing := re.match(r"Table with name (.*) does not exist", message):
            known = [*SHORT, "tables", *(spec.name for spec in LAKE)]
            near = nearest(missing[1], known)
            where = f"did you mean {near}?" if near else f"there are {', '.join(known)}; {FILES}"
            return BadQuery(f"no table {missing[1]}", where)
        return BadQuery(message, hint)


def _told_away(column: str, away: Collection[str]) -> str:
    """``presence`` as it is: while a root is away, its rows in the lake stay what they were."""
    if column != name("presence") or not away:
        return column
    roots = ", ".join(map(text, away))
    return f"CASE WHEN presence = 'present' AND root IN ({roots}) THEN 'away' ELSE presence END AS presence"


def _dataset(spec: TableSpec, uri: str, options: Mapping[str, str] | None) -> Any | None:
    import lance

    try:
        return lance.dataset(f"{uri}/{spec.name}.lance", storage_options=dict(options) if options else None)
    except ValueError as exc:
        if "not found" in str(exc):
            return None
        raise


def told(exc: Exception) -> tuple[str, str]:
    """DuckDB's message in one sentence with the place it is about, and what it suggests."""
    first, *rest = str(exc).strip().split("\n")
    message = re.sub(r"^(?:[A-Z]\w* )+Error: ", "", first)
    line = next((part for part in rest if re.match(r"LINE \d+: ", part)), "")
    if line:
        message += f" (in {line.replace('LINE', 'line', 1)[:200]})"
    near = next((part for part in rest if part.startswith(("Candidate", "Did you mean"))), "")
    return message, re.sub(r"^Candidate \w+: ", "did you mean ", near).rstrip("?") + "?" if near else ""
