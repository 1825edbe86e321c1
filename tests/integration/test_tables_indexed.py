"""Tables and archives through the whole line: found by their columns and members, kept so that others can read them."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from lakewatchd.core.asset import Kind
from lakewatchd.core.table import KEY, from_json
from lakewatchd.daemon.parts import Daemon
from lakewatchd.lake.schema import LINEAGE
from tests import duck
from tests.hostile.cases import zipped
from tests.integration.test_films_indexed import gold, run
from tests.integration.test_stages_histories import built
from tests.sheets import xlsx

ROWS = [("01234", "Ann", 12.5), ("80331", "Bob", 3.0)]


def fill(folder: Path) -> None:
    (folder / "paid.csv").write_text("plz;who;amount\n01234;Ann;12.5\n80331;Bob;3.0\n")
    (folder / "paid.csv.gz").write_bytes(gzip.compress(b"plz,who,amount\n01234,Ann,12.5\n80331,Bob,3.0\n", mtime=0))
    records = [dict(zip(("plz", "who", "amount"), row, strict=True)) for row in ROWS]
    (folder / "paid.json").write_text(json.dumps(records))
    (folder / "paid.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), folder / "paid.parquet")
    with sqlite3.connect(folder / "paid.db") as made:
        made.execute("CREATE TABLE paid (plz TEXT, who TEXT, amount REAL)")
        made.executemany("INSERT INTO paid VALUES (?, ?, ?)", ROWS)
    (folder / "paid.xlsx").write_bytes(xlsx({"paid": [["plz", "who", "amount"], *ROWS]}))
    (folder / "photos.zip").write_bytes(zipped({"rome/colosseum.jpg": b"1", "oslo/fjord.jpg": b"2"}))
    (folder / "settings.json").write_text('{"theme": "dark", "font": {"size": 12}}')


async def spans(daemon: Daemon) -> dict[str, str]:
    rows = await gold(daemon)
    return {
        path: "\n".join(span.text or "" for span in await daemon.reader.spans(row.asset_id))
        for path, row in rows.items()
    }


async def test_tables_are_found_by_columns_and_read_where_they_lie(tmp_path: Path) -> None:
    async with built(tmp_path) as daemon:
        fill(tmp_path / "nas")
        names = sorted(path.name for path in (tmp_path / "nas").iterdir())
        await run(daemon, *names)
        rows, texts = await gold(daemon), await spans(daemon)
        assets = {row.asset_id: row async for row in daemon.reader.all_assets()}
        reads = await daemon.reader.count(LINEAGE, "stage = 'read'")
        shutil.copy(tmp_path / "nas/paid.csv", tmp_path / "nas/copy.csv")
        (tmp_path / "nas/paid.json").write_text((tmp_path / "nas/paid.json").read_text())
        await run(daemon, "copy.csv", "paid.json")
        assert {row.asset_id: row async for row in daemon.reader.all_assets()} == assets
        assert await daemon.reader.count(LINEAGE, "stage = 'read'") == reads == len(names), "the same content: no work"
    assert sorted(rows) == names
    tables = [name for name in names if name.startswith("paid")]
    assert {name: rows[name].kind for name in tables} == dict.fromkeys(tables, Kind.TABLE)
    for name in tables:
        assert "2 rows, 3 columns" in texts[name] and "who: Ann" in texts[name] and "01234" in texts[name], name
        assert "plz" in rows[name].text
        shape = from_json(dict(assets[rows[name].asset_id].exif)[KEY])
        assert [column.type for column in shape.columns] == ["text", "text", "number"], name
        if name not in ("paid.db", "paid.xlsx"):  # DuckDB needs an extension of its own for these
            assert duck.rows(tmp_path / "nas" / name, shape) == ROWS, name
    assert (rows["photos.zip"].kind, rows["settings.json"].kind) == (Kind.OTHER, Kind.DOCUMENT)
    assert "rome/colosseum.jpg" in texts["photos.zip"] and "dark" in texts["settings.json"]
