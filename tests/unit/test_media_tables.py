"""Tables: no value is damaged by its column's type, and another program reads the same rows by the shape we keep."""

import csv
import datetime as dt
import gzip
import io
import json
import random
import re
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Identity
from lakewatchd.core.table import JSON_CHARS, Column, Dialect, TableSchema, Type, from_json
from lakewatchd.media import tabular
from lakewatchd.media.original import Original
from lakewatchd.media.table import columnar, database, delimited, records
from lakewatchd.media.table.described import Described, to_content
from lakewatchd.media.table.values import type_of
from tests import duck

T = Type


# --- types -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-20", "0"], T.INTEGER),
        (["01234", "80331"], T.TEXT),
        (["+49 170 123", "+1"], T.TEXT),
        (["1,234", "5"], T.TEXT),
        (["1.234,50"], T.TEXT),
        (["12345678901234567"], T.TEXT),
        (["1e5", "3e7"], T.TEXT),
        (["1e-07", "2.5E+10"], T.NUMBER),
        (["0.5", ".28", "12"], T.NUMBER),
        (["10.970438003540039"], T.NUMBER),
        (["0.12345678901234567890123"], T.TEXT),
        (["1e-400", "1.0"], T.TEXT),
        (["1.9", "1.10"], T.TEXT),
        (["12.50", "3.00"], T.NUMBER),
        (["1.0", "2.25"], T.NUMBER),
        (["1", "NA", ""], T.INTEGER),
        (["NA", "DE"], T.TEXT),
        (["", ""], T.TEXT),
        (["NA", "NULL"], T.TEXT),
        (["true", "false", "null"], T.BOOLEAN),
        (["yes", "no"], T.TEXT),
        (["0", "1"], T.INTEGER),
        (["2024-02-29", ""], T.DATE),
        (["2024-02-30"], T.TEXT),
        (["03/04/2024"], T.TEXT),
        (["2024-01-01", "01.02.2024"], T.TEXT),
        (["2024-01-01 10:00", "2024-01-01T10:00:01.5"], T.TIMESTAMP),
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:00+02:00"], T.MOMENT),
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:00"], T.TEXT),
        (["٣", "٤"], T.TEXT),
        (["1_000"], T.TEXT),
        (["inf", "1"], T.TEXT),
        (["0x1F"], T.TEXT),
    ],
)
def test_in_doubt_it_is_text(cells: list[str], expected: Type) -> None:
    assert type_of(cells) is expected


ODD = ["1", "-1", "0", "007", "1.5", "1.50", "1e5", "1e+5", ".5", "-.0", "NA", "", "true", "2024-02-29", "1,5", "x",
       " 3", "2024-01-01 00:00", "123456789012345678", "0.1234567890123456789", "-0", "+1", "1.", "00",
       "1e-320"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(ODD), st.from_regex(r"-?\d{1,20}(\.\d{0,20})?", fullmatch=True)), max_size=6))
def test_typed_numbers_are_those_of_the_text(cells: list[str]) -> None:
    from fractions import Fraction

    kind = type_of(cells)
    values = [cell.strip() for cell in cells if cell.strip() not in ("", "NA")]
    if kind is T.INTEGER:
        assert [str(int(value)) for value in values] == values
    if kind is T.NUMBER:
        # equal as far as the text goes, and no two texts that mean different numbers are one
        exact = {Fraction(value) for value in values}
        assert len({float(value) for value in values}) == len(exact)
        assert all(abs(Fraction(float(v)) - Fraction(v)) <= abs(Fraction(v)) / 10**15 for v in values)


def test_a_column_named_as_codes_are_is_text() -> None:
    found = described_csv(b"zip,amount\n12345,12345\n")
    assert [column.type for column in found.schema.columns] == [T.TEXT, T.INTEGER]


# --- delimited text ----------------------------------------------------------------------------------------


def described_csv(data: bytes) -> Described:
    found = delimited.describe(io.BytesIO(data))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "names", "rows", "dialect"),
    [
        ("a,b\n1,2\n3,4\n", ["a", "b"], 2, Dialect(skip_lines=1)),
        ("a;b\n1,5;2,5\n3,5;4\n", ["a", "b"], 2, Dialect(";", skip_lines=1)),
        ("1,5;2,5\n3,5;4,5\n", ["column 1", "column 2"], 2, Dialect(";", header=False)),
        ("a\tb, c\n1\tx, y\n", ["a", "b, c"], 1, Dialect("\t", skip_lines=1)),
        ("a|b\n1|2\n", ["a", "b"], 1, Dialect("|", skip_lines=1)),
        ("a b\n1 2\n3 4\n", ["a", "b"], 2, Dialect(" ", skip_lines=1)),
        ("a,b\n'x, y',1\n'z',2\n", ["a", "b"], 2, Dialect(",", "'", "'", skip_lines=1)),
        ('a,b\n"say ""hi, you""",1\n', ["a", "b"], 1, Dialect(skip_lines=1)),
        ('a,b\n"say \\"hi, you\\"",1\n"x",2\n', ["a", "b"], 2, Dialect(escape="\\", skip_lines=1)),
        ('a,b\n"two\nlines",1\n"x",2\n', ["a", "b"], 2, Dialect(skip_lines=1)),
        ("size,of\n3\" pipe,x\n5\" pipe,y\n", ["size", "of"], 2, Dialect(skip_lines=1)),
        ("Konto;12\n\nstand\nDatum;Betrag;Text\n2024-01-01;5;x\n2024-01-02;6;y\n", ["Datum", "Betrag", "Text"], 2,
         Dialect(";", skip_lines=4)),
        ("sep=;\na;b\n1;2\n", ["a", "b"], 1, Dialect(";", skip_lines=2)),
        ("name,name,\nx,y,1\n", ["name", "name 2", "column 3"], 1, Dialect(skip_lines=1)),
        ("Ann,Berlin\nBob,Rome\nAnn,Oslo\n", ["column 1", "column 2"], 3, Dialect(header=False)),
        ("value\n1\n2\n", ["value"], 2, Dialect(skip_lines=1)),
        ("a,b\n\n1,2\n\n3,4\n\n", ["a", "b"], 2, Dialect(skip_lines=1)),
        ("a,b\r\n1,2\r\n", ["a", "b"], 1, Dialect(skip_lines=1)),
    ],
)  # fmt: skip
def test_dialects(text: str, names: list[str], rows: int, dialect: Dialect, tmp_path: Path) -> None:
    found = described_csv(text.encode())
    assert [column.name for column in found.schema.columns] == names
    assert (found.schema.rows, found.schema.dialect) == (rows, dialect)
    assert_duckdb_agrees(tmp_path, "t.csv", text.encode(), found)


@pytest.mark.parametrize(
    "text",
    ["", "Dear all,\nthis is prose, and no table.\nBest wishes\n", "one word\n", "a\nb\nc\n", "x\n" * 5, "\n\n\n"],
)
def test_what_is_no_table_is_none(text: str) -> None:
    assert delimited.describe(io.BytesIO(text.encode())) is None


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(codec: str) -> None:
    found = described_csv("name;Größe\nJürgen;5\n".encode(codec))
    assert [column.name for column in found.schema.columns] == ["name", "Größe"]
    assert found.rows == [["Jürgen", "5"]]
    assert found.schema.dialect is not None
    assert found.schema.dialect.encoding == {"utf-8-sig": "utf-8"}.get(codec, codec)


def test_a_byte_of_another_encoding_far_behind_the_beginning() -> None:
    data = b"a,b\n" + b"x,1\n" * 50_000 + "Grüße,2\n".encode("cp1252")
    found = described_csv(data)
    assert found.schema.rows == 50_001
    assert found.warnings == ["not UTF-8: read as Windows-1252"]


def test_the_last_row_decides_as_much_as_the_first() -> None:
    found = described_csv(b"id,n\n" + b"1,2\n" * 20_000 + b"007,x\n")
    assert [column.type for column in found.schema.columns] == [T.TEXT, T.TEXT]


def test_whole_numbers_before_the_first_fraction_count_too() -> None:
    found = described_csv(b"id,n\n" + b"1,-7\n2,1000\n" * 60_000 + b"3,0.5\n")
    assert (found.schema.columns[1].type, found.facts[1].low, found.facts[1].high) == (T.NUMBER, "-7", "1000")


def test_rows_that_are_too_long_or_short_are_told() -> None:
    found = described_csv(b"a,b\n" + b"1,2\n" * 50 + b"1\n1,2,3\n")
    assert (found.schema.rows, found.warnings) == (52, ["2 rows have more or fewer cells than the others"])


def test_of_a_long_table_only_the_beginning_is_read_and_its_types_are_no_promise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(delimited, "AT_MOST_BYTES", 100_000)
    data = b"a,b\n" + b"1000,2\n" * 100_000 + b"x,y\n"
    found = described_csv(data)
    assert not found.schema.is_whole
    assert found.schema.rows == pytest.approx(100_001, rel=0.01)
    (tmp_path / "t.csv").write_bytes(data)
    assert duck.rows(tmp_path / "t.csv", found.schema)[-1] == ("x", "y")


def test_packed(tmp_path: Path) -> None:
    data = gzip.compress(b"a,b\n1,x\n2,y\n")
    found = delimited.describe(io.BytesIO(data), is_gzip=True)
    assert found is not None and found.schema.compression == "gzip"
    (tmp_path / "t.csv.gz").write_bytes(data)
    assert duck.rows(tmp_path / "t.csv.gz", found.schema) == [(1, "x"), (2, "y")]
    with pytest.raises(errors.DamagedMedia):
        delimited.describe(io.BytesIO(data[:-12]), is_gzip=True)


CELL = st.text(alphabet=st.sampled_from("ab1,;\"' \n\té0.-"), max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=2, max_size=6)))
def test_what_csv_writes_is_never_read_as_other_values(rows: list[list[str]]) -> None:
    """Whatever dialect is found for such rubbish: a value that is typed is the value that was written."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["first", "second", "third", "fourth"][: len(rows[0])], *rows])
    found = delimited.describe(io.BytesIO(out.getvalue().encode()))
    if (
        found is None
        or [column.name for column in found.schema.columns] != ["first", "second", "third", "fourth"][: len(rows[0])]
    ):
        return
    for at, column in enumerate(found.schema.columns):
        if column.type is T.INTEGER:
            cells = {row[at].strip(" ") for row in rows} - {""}
            if found.schema.dialect.quote == "'":  # which the writer does not know: what it wrote is between them
                cells = {re.sub("^'(.*)'$", r"\1", cell).strip(" ") for cell in cells} - {""}
            assert {str(int(cell)) for cell in cells} == cells


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    found = delimited.describe(io.BytesIO(data))
    if found is not None:
        assert_fits(found)
    for reader in (records.describe, records.describe_lines):
        if (told := reader(io.BytesIO(data))) is not None:
            assert_fits(told)


def assert_fits(found: Described) -> None:
    """What is told of it can travel and be kept."""
    content, text = to_content([found], "x.csv", 800, 120)
    assert all(len(key) + len(value) <= 4096 for key, value in content.exif) and len(content.exif) < 100
    text.encode()
    assert from_json(found.schema.to_json()).format == found.schema.format


def assert_duckdb_agrees(folder: Path, name: str, data: bytes, found: Described) -> list[tuple[object, ...]]:
    (folder / name).write_bytes(data)
    kept = from_json(found.schema.to_json())
    assert kept == found.schema
    rows = duck.rows(folder / name, kept)
    assert len(rows) == found.schema.rows
    return rows


# --- JSON --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "names", "expected"),
    [
        ([{"id": 1, "x": "007"}, {"id": 2, "x": None, "y": True}], ["id", "x", "y"],
         [(1, "007", None), (2, None, True)]),
        ([{"a": {"b": {"c": 1}}, "d.e": 2}], ["a.b.c", "d.e"], [(1, 2)]),
        ([{"a": {"b": 1}}, {"a": 5}], ["a.b", "a"], [(1, '{"b":1}'), (None, "5")]),
        ({"a": [1, 2], "b": ["2024-01-01", "2024-01-02"]}, ["a", "b"],
         [(1, dt.date(2024, 1, 1)), (2, dt.date(2024, 1, 2))]),
        ({"count": 3, "results": [{"n": 1}, {"n": 2.5}, {"n": 3}]}, ["n"], [(1.0,), (2.5,), (3.0,)]),
        ({"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "Rome"}}]},
         ["type", "properties.name"], [("Feature", "Rome")]),
        ([{"mixed": 1}, {"mixed": "one"}], ["mixed"], [("1",), ("one",)]),
    ],
)  # fmt: skip
def test_records(value: object, names: list[str], expected: list[tuple[object, ...]], tmp_path: Path) -> None:
    data = json.dumps(value).encode()
    found = records.describe(io.BytesIO(data))
    assert found is not None
    assert [column.name for column in found.schema.columns] == names
    assert assert_duckdb_agrees(tmp_path, "t.json", data, found) == expected


def test_records_in_lines(tmp_path: Path) -> None:
    data = b'{"a": 1, "at": "2024-01-01T10:00:00Z"}\n\n{"a": 2.5}\n'
    found = records.describe_lines(io.BytesIO(data))
    assert found is not None
    assert [column.type for column in found.schema.columns] == [T.NUMBER, T.MOMENT]
    assert [row[0] for row in assert_duckdb_agrees(tmp_path, "t.jsonl", data, found)] == [1.0, 2.5]


@pytest.mark.parametrize(
    "text",
    ['{"theme": "dark"}', "[1, 2, 3]", '{"a": [1, 2], "b": 3}', "[]", "{}", '"x"', "[" * 100_000, '{"a":' * 100_000,
     '{"people": [{"name": "Ann"}], "title": "x"}', "[{}]", "not json", '[{"a": 1} {"b": 2}'],
)  # fmt: skip
def test_json_without_records_is_no_table(text: str) -> None:
    found = records.describe(io.BytesIO(text.encode()))
    assert found is None or not found.schema.is_whole


def test_a_dictionary_of_a_thousand_keys_is_no_record() -> None:
    assert records.describe(io.BytesIO(json.dumps([{str(i): i for i in range(2000)}]).encode())) is None


# --- what declares its columns -----------------------------------------------------------------------------

TABLE = pa.table(
    {
        "id": [1, 2, None],
        "day": [dt.date(2020, 1, 1), dt.date(2020, 1, 3), None],
        "seen": pa.array([dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)] * 3, pa.timestamp("us", "Europe/Berlin")),
        "list": [[1], [], None],
        "blob": [b"x"] * 3,
        "words": ["x", "y", "z"],
    }
)
KINDS = [T.INTEGER, T.DATE, T.MOMENT, T.NESTED, T.BINARY, T.TEXT]


def test_parquet(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(TABLE, tmp_path / "t.parquet")
    with (tmp_path / "t.parquet").open("rb") as stream:
        found = columnar.describe_parquet(stream)
    assert [column.type for column in found.schema.columns] == KINDS
    assert (found.schema.rows, found.facts[0].nulls, found.facts[1].high) == (3, 1, "2020-01-03")
    assert found.rows[0] == ["1", "2020-01-01", "2020-01-01 12:00:00", "[1]", "", "x"]
    assert len(duck.rows(tmp_path / "t.parquet", from_json(found.schema.to_json()))) == 3


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_arrow(tmp_path: Path, compression: str) -> None:
    pyarrow.feather.write_feather(TABLE, tmp_path / "t.feather", compression=compression)
    with (tmp_path / "t.feather").open("rb") as stream:
        found = columnar.describe_arrow(stream)
    assert [column.type for column in found.schema.columns] == KINDS
    assert (found.schema.rows, len(found.rows)) == (3, 3)


@pytest.mark.parametrize("reader", [columnar.describe_parquet, columnar.describe_arrow])
def test_damaged_columnar_files_are_told_so(tmp_path: Path, reader: object) -> None:
    pyarrow.parquet.write_table(TABLE, tmp_path / "t.parquet")
    pyarrow.feather.write_feather(TABLE, tmp_path / "t.feather")
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert callable(reader)
        with pytest.raises(errors.DamagedMedia):
            reader(io.BytesIO(data[: len(data) // 2]))


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, born DATE, zip INTEGER, photo BLOB)")
        made.execute("CREATE VIEW everything AS SELECT * FROM people")
        made.execute('CREATE TABLE "odd ""name" (x)')
        made.executemany(
            "INSERT INTO people (name, born, zip, photo) VALUES (?, ?, ?, ?)",
            [("Ann", "1990-01-01", "A1", b"\xff" * 9), ("Bob", None, 5, None)] * 500,
        )
    before = path.stat()
    with path.open("rb") as file:
        tables, others = database.describe(file.fileno())
    assert [table.schema.name for table in tables] == ["people", 'odd "name'] and others == []
    people = tables[0]
    assert [column.type for column in people.schema.columns] == [T.INTEGER, T.TEXT, T.DATE, T.TEXT, T.BINARY]
    assert people.schema.rows == 1000 and people.rows[0] == ["1", "Ann", "1990-01-01", "A1", ""]
    assert sorted(tmp_path.iterdir()) == [path] and path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_database_in_a_bucket_is_fetched_whole_before_sqlite_reads_it(tmp_path: Path) -> None:
    path, asked = tmp_path / "t.db", bytearray()
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE t (a)")
        made.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 2000)
    size = path.stat().st_size

    def need(start: int, end: int) -> bool:
        assert start == len(asked)
        asked.extend(bytes(end - start))
        return True

    identity = Identity("0" * 64, Version(size, 0, 0), Kind.TABLE, "application/vnd.sqlite3")
    with path.open("rb") as file:
        content, _ = tabular.describe(Original(file.fileno(), identity, "", DecodeConfig(), need))
    assert len(asked) == size and content.passages[0].text.startswith("Table t: 2000 rows")


def test_damaged_databases(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE t (a, b)")
        made.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x" * 200) for n in range(500)])
    whole, rng = path.read_bytes(), random.Random(1)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 10, 100))):
            data[rng.randrange(16, len(data))] = rng.randrange(256)
        path.write_bytes(data)
        with path.open("rb") as file:
            try:
                tables, _ = database.describe(file.fileno())
            except errors.DamagedMedia:
                continue
            for table in tables:
                assert_fits(table)


# --- the shape ---------------------------------------------------------------------------------------------


def test_a_shape_too_long_to_keep_is_cut_and_says_so() -> None:
    schema = TableSchema("csv", tuple(Column(f"the column number {n}") for n in range(1000)), 5, dialect=Dialect())
    words = schema.to_json()
    kept = from_json(words)
    assert len(words) <= JSON_CHARS
    assert kept.columns == schema.columns[: len(kept.columns)]
    assert len(kept.columns) + kept.left_out == 1000


@pytest.mark.parametrize("words", ["", "[]", "{}", '{"format": "csv", "columns": [[1]]}', "[" * 10_000])
def test_what_is_no_shape_is_refused(words: str) -> None:
    with pytest.raises(ValueError):
        from_json(words)
