"""``python -m tests.quality.tables``: do columns get the type that a person would give them, and is any value damaged?

Each case is a column of a small CSV file that hurts programs which guess. The same file is read by lakewatchd, by
DuckDB's sniffer and, where it is installed, by pandas. A value is damaged when the text in the file cannot be told from
what was made of it: a zero in front that is gone, a country that became nothing, two versions that became one number.
Real tables of installed packages follow, read by the shape that lakewatchd keeps of them.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lakewatchd.core.table import Type
from lakewatchd.media.table import delimited
from tests import duck

T = Type


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    """Of the column."""
    cells: tuple[str, ...]
    expected: Type
    why: str


CASES = (
    Case("plz", ("01067", "10115", "80331"), T.TEXT, "postal codes"),
    Case("zip", ("10115", "80331", "60311"), T.TEXT, "postal codes, none with a zero in front"),
    Case("id", ("000123", "000124", "000125"), T.TEXT, "numbers with zeros in front"),
    Case("phone", ("+4930123456", "+498912345", "+43123456"), T.TEXT, "a plus in front"),
    Case("mobile", ("01701234567", "01717654321", "01601112223"), T.TEXT, "phone numbers"),
    Case("commit", ("12e4567", "1e10", "77e9"), T.TEXT, "hashes that look like powers of ten"),
    Case("part", ("1E5", "2E5", "3E7"), T.TEXT, "part numbers"),
    Case("card", ("4111111111111111", "5500000000000004", "6011000990139424"), T.TEXT, "16 digits"),
    Case("tweet", ("1212092628029698048", "1212092628029698049", "1212092628029698050"), T.TEXT, "19 digits"),
    Case("serial", ("123456789012345678901", "123456789012345678902", "3"), T.TEXT, "more than 64 bits"),
    Case("release", ("1.9", "1.10", "1.11"), T.TEXT, "versions: 1.10 is not 1.1"),
    Case("country", ("NA", "DE", "FR"), T.TEXT, "Namibia"),
    Case("surname", ("Null", "Nan", "None"), T.TEXT, "families with such names"),
    Case("price", ("1,234.50", "12.00", "999.99"), T.TEXT, "thousands separators"),
    Case("betrag", ("1,50", "2,75", "3,00"), T.TEXT, "a decimal comma"),
    Case("day", ("03/04/2024", "05/06/2024", "07/08/2024"), T.TEXT, "day or month first?"),
    Case("when", ("2024-01-31", "31.01.2024", "Jan 31, 2024"), T.TEXT, "mixed dates"),
    Case("leap", ("2023-02-28", "2023-02-29", "2023-02-30"), T.TEXT, "days that are none"),
    Case("gene", ("SEPT2", "MARCH1", "DEC1"), T.TEXT, "genes that sheets made dates of"),
    Case("answer", ("yes", "no", "yes"), T.TEXT, "yes and no"),
    Case("grade", ("T", "F", "T"), T.TEXT, "letters"),
    Case("hex", ("0x1F", "0x20", "0x21"), T.TEXT, "hexadecimal"),
    Case("time", ("12:30", "08:15", "23:59"), T.TEXT, "times of day, or scores"),
    Case("share", ("12%", "8%", "100%"), T.TEXT, "per cent"),
    Case("mass", ("0.1234567890123456789", "0.1234567890123456780", "1"), T.TEXT, "more digits than a double"),
    Case("tiny", ("1e-400", "1e-401", "1"), T.TEXT, "below a double"),
    Case("underscore", ("1_000", "2_000", "3_000"), T.TEXT, "names that Python reads as numbers"),
    Case("infinity", ("inf", "nan", "1"), T.TEXT, "words that are numbers in C"),
    Case("count", ("1", "-20", "300"), T.INTEGER, ""),
    Case("measured", ("1", "NA", "3"), T.INTEGER, "R's missing values, among numbers"),
    Case("ratio", ("0.5", ".25", "12"), T.NUMBER, ""),
    Case("amount", ("12.50", "3.00", "1200.00"), T.NUMBER, ""),
    Case("printed", ("10.970438003540039", "0.24251236021518707", "2.0"), T.NUMBER, "doubles as Python prints them"),
    Case("saved", ("1.510000000000000000e+02", "7.500000000000000000e+01", "1.410000000000000000e+02"), T.NUMBER,
         "as numpy.savetxt writes"),
    Case("flag", ("true", "false", "true"), T.BOOLEAN, ""),
    Case("born", ("1990-01-31", "", "2000-02-29"), T.DATE, ""),
    Case("seen", ("2024-01-31 10:00:00", "2024-01-31T10:00:01", ""), T.TIMESTAMP, ""),
    Case("sent", ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00+01:00", "2024-02-01T00:00:00Z"), T.MOMENT, ""),
)  # fmt: skip

Reader = Callable[[Path, str], tuple[str, Sequence[object]]]
"""``(file, column)`` -> the type it is given, and the values."""


def by_us(path: Path, column: str) -> tuple[str, Sequence[object]]:
    with path.open("rb") as stream:
        found = delimited.describe(stream)
    assert found is not None
    names = [known.name for known in found.schema.columns]
    at = names.index(column)
    return found.schema.columns[at].type, [row[at] for row in duck.rows(path, found.schema)]


def by_duckdb(path: Path, column: str) -> tuple[str, Sequence[object]]:
    with duckdb.connect() as connection:
        table = connection.sql(f"SELECT * FROM read_csv('{path}')").to_arrow_table()
    found = table.column(column)
    return str(found.type), found.to_pylist()


def by_pandas(path: Path, column: str) -> tuple[str, Sequence[object]]:
    import pandas as pd

    found = pd.read_csv(path)[column]
    values = [None if value is None or value != value else value for value in found.tolist()]
    return str(found.dtype), values


def is_damaged(cell: str, value: object, expected: Type) -> bool:
    """Whether ``value`` no longer says what the person meant who wrote ``cell``. Another type alone is no damage."""
    if value == cell:
        return False
    if expected is T.TEXT:
        return value is None or not str(value).startswith(cell)  # 12:30:00 still says 12:30
    if cell in ("", "NA"):
        return value is not None
    if expected in (T.INTEGER, T.NUMBER):
        return not isinstance(value, (int, float)) or not math.isclose(float(cell), value, rel_tol=1e-15)
    return value is None


def main() -> int:
    readers: dict[str, Reader] = {"lakewatchd": by_us, "DuckDB": by_duckdb}
    if importlib.util.find_spec("pandas"):
        readers["pandas"] = by_pandas
    damaged, wrong = dict.fromkeys(readers, 0), 0
    print(f"{'column':<12}{'first value':<26}{'meant':<11}" + "".join(f"{name:<24}" for name in readers))
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            path = Path(folder) / f"{case.name}.csv"
            path.write_text(f"row,{case.name}\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(case.cells)))
            told = []
            for name, read in readers.items():
                kind, values = read(path, case.name)
                hurts = any(is_damaged(*pair, case.expected) for pair in zip(case.cells, values, strict=True))
                damaged[name] += hurts
                wrong += name == "lakewatchd" and kind != case.expected
                told.append(f"{kind + (' DAMAGED' if hurts else ''):<24}")
            print(f"{case.name:<12}{case.cells[0]:<26}{case.expected:<11}{''.join(told)}{case.why}")
    print(f"\ndamaged of {len(CASES)} columns: " + ", ".join(f"{name} {count}" for name, count in damaged.items()))
    print(f"types that are not as meant, of lakewatchd: {wrong}\n")
    return (damaged["lakewatchd"] + wrong + real_tables()) and 1


def real_tables() -> int:
    """How many of them DuckDB does not read back whole by the shape that is kept."""
    folders = [importlib.util.find_spec(name) for name in ("sklearn", "matplotlib", "skimage")]
    places = [Path(spec.origin).parent for spec in folders if spec and spec.origin]
    failed = 0
    for path in sorted(path for place in places for end in ("*.csv", "*.csv.gz") for path in place.rglob(end)):
        is_gzip = path.suffix == ".gz"
        data = path.read_bytes()
        found = delimited.describe(io.BytesIO(data), is_gzip=is_gzip)
        if found is None:
            print(f"{path.name:<32} text, no table")
            continue
        rows, plain = duck.rows(path, found.schema), gzip.decompress(data) if is_gzip else data
        lines = sum(bool(line.strip()) for line in plain.splitlines())
        kinds = {kind: sum(column.type is kind for column in found.schema.columns) for kind in Type}
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        lost = "" if len(rows) == found.schema.rows else f"; DuckDB: {len(rows)}"
        failed += bool(lost)
        print(f"{path.name:<32} {found.schema.rows} rows of {lines} lines; {told}{lost}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
