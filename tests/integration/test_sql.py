"""SQL over a real lake, in a real confined process: what it answers, and what it must not do whatever is asked."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import dataclasses
import datetime as dt
import itertools
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from lakewatchd.cli.main import main
from lakewatchd.cli.rows import writing
from lakewatchd.config import Config, parse
from lakewatchd.errors import BadQuery, TimedOut, TooLarge
from lakewatchd.lake.reader import LakeReader
from lakewatchd.testing import config_text, make_tree
from lakewatchd.views.sql.named import named_in
from lakewatchd.views.sql.session import Sql
from tests.integration.test_films_indexed import run
from tests.integration.test_stages_histories import SETTINGS, built
from tests.integration.test_tables_indexed import ROWS, fill

LIMITS = "[sql]\ntimeout_s = 100.0\nmemory_mb = 128\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of a lake with tables, two files of one name, a file that is no table, and one that hopes to be run."""
    base = tmp_path_factory.mktemp("sql")

    async def index() -> None:
        async with built(base) as daemon:
            fill(base / "nas")
            make_tree(base / "nas", {
                "old/paid.csv": "plz;who;amount\n99999;Eve;1.5\n",
                "only/one.csv": "a,b\n1,x\n2,y\n",
                "reports/paid.csv": "plz;who;amount;day\n01234;Ann;12.5;2024-01-05\n10115;Cem;210.75;2024-02-20\n",
                "second/one.csv": "c,d\n1,2\n",
                "only/two.csv": "a,b\n1,x\n2,z\n",
                "o'hare \"x\".csv": "a,b\n3,z\n",
                "notes.txt": "drop table gold_assets; --",
            })  # fmt: skip
            await run(daemon, *(str(path.relative_to(base / "nas")) for path in (base / "nas").rglob("*.*")))

    asyncio.run(index())
    file = base / "lakewatchd.toml"
    file.write_text(config_text(base, settings=SETTINGS) + LIMITS)
    return parse(file.read_text(), file)


async def ask(config: Config, query: str) -> list[tuple[Any, ...]]:
    async with Sql(config).ask(query) as rows:
        found: list[tuple[Any, ...]] = []
        async for batch in rows.batches():
            found += zip(*(column.to_pylist() for column in batch.columns), strict=True)
            assert len(found) < 100_000
        return found


async def test_tables_of_the_lake_and_of_files_answer_together(config: Config) -> None:
    query = """
        SELECT t.path, p.who, p.amount, (SELECT count(*) FROM gold WHERE kind = 'table') AS n FROM 'nas:paid.csv' AS p
        JOIN tables AS t ON t.path = 'paid.csv' JOIN gold_assets USING (asset_id)
        WHERE plz = '01234' AND list_contains(t.columns, 'plz')
    """
    async with Sql(config).ask(query) as rows:
        layers, batches = rows.layers, [batch async for batch in rows.batches()]
    assert {layer.name for layer in layers if layer.holds} == {"landlock", "seccomp"}
    assert batches[0].to_pylist() == [{"path": "paid.csv", "who": "Ann", "amount": 12.5, "n": 13}]


async def test_gold_is_asked_by_the_words_that_people_use(config: Config) -> None:
    told = "SELECT DISTINCT captured_at = dated_at, place = trim(concat(city, ', ', country), ', ') FROM gold"
    assert await ask(config, told) == [(True, True)]
    assert await ask(config, "SELECT count(*) FROM gold WHERE place LIKE '%, %'") == [(0,)], "not a comma alone"


async def test_a_table_is_named_by_its_path_whatever_its_format(config: Config) -> None:
    """And by a short, a whole and an odd one."""
    names = ("nas:paid.csv", "paid.csv.gz", "paid.json", "paid.jsonl", "paid.parquet")
    short = ("two.csv", "only/two.csv", "nas:only/two.csv", f"{config.roots[0].path}/only/two.csv")
    parts = [f'FROM "{name}"' for name in names]
    parts += [f"SELECT 'x', '', sum(a) FROM '{name}'" for name in short]
    parts.append("""SELECT 'x', '', a FROM 'o''hare "x".csv'""")
    assert await ask(config, " UNION ALL ".join(parts)) == [*ROWS * len(names), *[("x", "", 3.0)] * (len(short) + 1)]


async def test_a_file_that_is_no_table_is_told_with_the_reason(config: Config) -> None:
    with pytest.raises(BadQuery, match=r"at-all\.csv: the lake holds no such table") as told:
        await ask(config, "FROM 'nowhere/at-all.csv'")
    assert told.value.hint and "FROM tables" in told.value.hint
    with pytest.raises(BadQuery, match="means several tables") as told:
        await ask(config, "FROM 'one.csv'")
    assert told.value.hint and "nas:only/one.csv, nas:second/one.csv" in told.value.hint
    with contextlib.closing(LakeReader(config.lake_dir)) as reader:
        named = await named_in("FROM 'paid.db', 'settings.json', '../nas/paid.csv', '/etc/passwd.d'", reader, config)
    assert not named.tables and named.problems["paid.db"].startswith("SQL does not read sqlite")
    assert list(named.problems) == ["paid.db", "settings.json", "/etc/passwd.d"]


MISTAKES = [
    ("SELECT nix FROM gold", 'column "nix" not found', 'did you mean.*"kind"'),
    ("SELECT titel FROM gold", 'column "titel" not found', 'did you mean "title"'),
    ("FROM golb", "no table golb", "did you mean gold"),
    ("FROM nowhere", "no table nowhere", "tables"),
    ("SELEC 1", r'^syntax error at or near "SELEC" \(in line 1: SELEC 1\)$', ""),
    ("", "one statement is expected", "such as"),
    ("SELECT 1; SELECT 2", "one statement is expected", ""),
    ("SELECT $1", "parameters", ""),
    ("FROM read_csv('/etc/passwd')", "no table /etc/passwd: a query opens nothing", "FROM tables"),
]


async def test_a_mistake_is_told_with_what_was_meant(config: Config) -> None:
    async with Sql(config).ask("SELECT 1 LIMIT 0") as rows:
        assert [batch async for batch in rows.batches()] == []
        for query, message, hint in MISTAKES:
            with pytest.raises(BadQuery) as told:
                await rows.asking.call("ask", {"query": query})
            assert re.search(message, told.value.message), told.value.message
            assert re.search(hint, told.value.hint or ""), told.value.hint


EXAMPLES = Path(__file__).parents[2] / "docs/howto/sql.md"


async def test_examples_of_the_howto_run(config: Config) -> None:
    queries = [
        shlex.split(line)[3] for line in EXAMPLES.read_text().splitlines() if line.startswith("$ lakewatchd sql")
    ]
    assert len(queries) > 8
    names = {name for query in queries for name in re.findall(r"'[^']*[.]csv'", query)}
    async with Sql(config).ask(f"SELECT {', '.join(names)} LIMIT 0") as rows:  # one process for all
        assert [batch async for batch in rows.batches()] == []
        for query in queries:
            await rows.asking.call("ask", {"query": query})
            while blobs := await rows.asking.call("rows", {}):
                last = pyarrow.ipc.open_stream(blobs[0]).read_all().to_pylist()
    assert "asset_id" in last[0]["plan"], "the condition of the last one goes down to the lake"


async def test_of_a_root_that_is_away_the_places_are(config: Config) -> None:
    query = "SELECT DISTINCT root, presence FROM occurrences"
    async with Sql(config).ask(query, away=("it's away", "nas")) as rows:
        assert [batch.to_pylist() async for batch in rows.batches()] == [[{"root": "nas", "presence": "away"}]]


HOSTILE = {
    "files": [
        "FROM read_csv('/etc/passwd')", "FROM read_text('/etc/passwd')", "FROM read_blob('/etc/passwd')",
        "FROM '/etc/passwd'", "FROM glob('/etc/*')", "FROM sniff_csv('/etc/passwd')", "FROM read_json('/etc/passwd')",
        "FROM parquet_metadata('/etc/passwd')", "FROM read_csv('/proc/self/environ')", "FROM read_duckdb('/tmp/x')",
        "FROM read_csv('{root}/notes.txt')", "FROM read_text('{root}/../state/queue.db')",
        "FROM query_table('/etc/passwd')",
        "FROM read_csv('https://example.org/x.csv')", "FROM 's3://bucket/x.parquet'",
        "FROM query('COPY (SELECT 1) TO ''{root}/x.csv''')", "SELECT getenv('HOME')",
    ],
    "changes": [
        "COPY (SELECT 1) TO '{root}/out.csv'", "COPY gold TO '{root}/out.parquet'", "EXPORT DATABASE '{root}/out'",
        "COPY (SELECT 1) TO 'only/two.csv'", "ATTACH '{root}/x.db'", "ATTACH ':memory:' AS y", "INSTALL httpfs",
        "LOAD httpfs",
        "FORCE INSTALL httpfs FROM 'http://localhost:1'", "CREATE TABLE t AS SELECT 1", "CREATE VIEW gold AS SELECT 1",
        "CREATE OR REPLACE MACRO count(x) AS 1", "DROP VIEW gold", "INSERT INTO gold_assets SELECT * FROM gold_assets",
        "DELETE FROM gold_assets", "UPDATE gold_assets SET title = ''", "TRUNCATE gold_assets", "VACUUM", "CHECKPOINT",
        "WITH x AS (INSERT INTO gold_assets VALUES (1) RETURNING *) FROM x", "BEGIN", "PREPARE a AS SELECT 1",
        "SELECT 1; DROP VIEW gold", "CALL enable_logging(storage_path = '{root}/log')", "IMPORT DATABASE '{root}'",
        "CREATE SECRET s (TYPE s3)", "CREATE PERSISTENT SECRET s (TYPE s3)", "COMMENT ON VIEW gold IS 'x'",
    ],
    "settings": [
        "SET enable_external_access = true", "RESET memory_limit", "SET memory_limit = '100GB'", "SET threads = 64",
        "PRAGMA memory_limit = '100GB'", "SET lock_configuration = false", "SET temp_directory = '/tmp'", "USE temp",
        "SET GLOBAL allowed_paths = ['/etc/passwd']", "SET VARIABLE x = 1", "PRAGMA enable_profiling = 'json'",
        "SET profiling_output = '/tmp/x'", "SET allowed_directories = ['/']", "SET python_enable_replacements = true",
        "FROM enable_logging()", "FROM duckdb_secrets(redact = false)",
    ],
}  # fmt: skip


def seen(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Of everything below: what writing would change."""
    return {path: (stat.st_mode, stat.st_size, stat.st_mtime_ns) for path in folder.rglob("*") if (stat := path.stat())}


async def test_what_a_query_must_not_do_is_refused_and_leaves_nothing(config: Config) -> None:
    root = config.roots[0].path
    before = seen(root.parent)
    answered = []
    async with Sql(config).ask("SELECT 1 FROM 'only/two.csv' LIMIT 0") as rows:
        assert [batch async for batch in rows.batches()] == []
        for query in itertools.chain.from_iterable(
            HOSTILE.values()
        ):  # one process for all: what one of them changed would help the next
            try:
                await rows.asking.call("ask", {"query": query.format(root=root)})
                answered.append(query)
            except BadQuery as exc:
                assert exc.message
    assert not answered
    assert seen(root.parent) == before


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
        "SELECT repeat('x', 2000000000)",
        pytest.param("SELECT count(*) FROM range(1000000000) a, range(1000000000) b", marks=pytest.mark.long),
        pytest.param("SELECT * FROM range(100000000) a ORDER BY hash(a.range)", marks=pytest.mark.long),
        pytest.param("SELECT list(range) FROM range(100000000)", marks=pytest.mark.long),
    ],
)
async def test_a_query_without_bounds_is_ended(config: Config, query: str) -> None:
    hurried = dataclasses.replace(config, sql=dataclasses.replace(config.sql, timeout_s=1.0))
    with pytest.raises((TimedOut, TooLarge)) as told:
        await ask(hurried, query)
    assert told.value.hint and ("sql.timeout_s" in told.value.hint or "sql.memory_mb" in told.value.hint)


async def test_rows_without_end_come_as_they_are_made(config: Config) -> None:
    """The memory of neither process grows with them, and who has enough leaves."""
    count = 0
    async with Sql(config).ask("SELECT range AS n, repeat('x', 1000) AS filler FROM range(1000000000)") as rows:
        async for batch in rows.batches():
            count += batch.num_rows
            if count > 300_000:  # 300 MB of rows through 128 MB
                break
    assert count > 300_000


def test_the_command_shows_a_table_writes_a_file_and_tells_mistakes(
    config: Config, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    def run_sql(*arguments: str) -> tuple[int, str, str]:
        code = main(["--config", str(config.source), "sql", *arguments])
        captured = capsysbinary.readouterr()
        return code, captured.out.decode(), captured.err.decode()

    query = "SELECT plz, amount, NULL AS \"none\", {'a': [1, 2]} AS deep FROM 'nas:paid.csv' ORDER BY plz"
    code, out, _ = run_sql(query)
    assert code == 0 and ["01234", "12.5", '{"a":', "[1,", "2]}"] in [line.split() for line in out.splitlines()]
    code, out, err = run_sql(query, "--out", str(tmp_path / "x.parquet"))
    assert (code, out) == (0, "") and "2 rows" in err
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet")["amount"].to_pylist() == [12.5, 3.0]
    code, out, err = run_sql("SELECT nix FROM gold", "--out", str(tmp_path / "y.csv"))
    assert (code, out) == (2, "") and err.startswith("error: ") and "fix: " in err and "Traceback" not in err
    assert os.listdir(tmp_path) == ["x.parquet"]


def test_rows_as_text_lose_nothing(tmp_path: Path) -> None:
    day, odd = dt.datetime(2024, 2, 29, 1, 2, 3), 'a"b,\nc\x1b'  # noqa: DTZ001 (wall-clock time)
    columns = {"n": [1, None], "odd": [odd, ""], "deep": [{"a": [1.5, float("inf")]}, None], "at": [day, None]}
    batch = pa.RecordBatch.from_arrays([pa.array(values) for values in columns.values()], names=["n", "odd", "n", "at"])
    told = {}
    for form in ("csv", "json", "table", "parquet"):
        with writing(form, tmp_path / form, batch.schema) as writer:
            writer.write(batch)
            writer.write(batch)
        told[form] = (tmp_path / form).read_bytes()
    rows = list(csv.reader(told["csv"].decode().splitlines(keepends=True)))
    assert (
        rows[:2] == [["n", "odd", "n", "at"], ["1", odd, '{"a": [1.5, null]}', "2024-02-29 01:02:03"]]
        and len(rows) == 5
    )
    first, second, *_ = json.loads(told["json"])
    assert first == {"n": 1, "odd": odd, "n 2": {"a": [1.5, None]}, "at": "2024-02-29T01:02:03"}
    assert second == {"n": None, "odd": "", "n 2": None, "at": None}
    assert b"\x1b" not in told["table"] and pyarrow.parquet.read_table(tmp_path / "parquet").num_rows == 4
