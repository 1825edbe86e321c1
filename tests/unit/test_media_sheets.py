"""Workbooks: titles above the header, sheets without anything, cells of several types, and what is no workbook."""

import io

import pytest

from lakewatchd import errors
from lakewatchd.core.asset import Kind
from lakewatchd.core.table import Type
from lakewatchd.media.kinds import kind_of
from lakewatchd.media.table import sheets
from tests.hostile.cases import zipped
from tests.sheets import ods, xlsx

BUDGET = [
    ["Budget of 2024", None, None, None],
    [],
    ["what", "amount", "zip", "paid"],
    ["rent", 500, "01234", True],
    ["food", 12.5, 80331, False],
    [None, None, None, None],
    ["car", 99, None, True],
]


def test_a_workbook_of_several_sheets() -> None:
    data = xlsx({"Budget": BUDGET, "Empty": [], "Plain": [[1, 2], [3, 4]]})
    assert kind_of(data, "a.xlsx")[1] is Kind.TABLE
    tables, others = sheets.describe(io.BytesIO(data))
    assert [table.schema.name for table in tables] == ["Budget", "Plain"] and others == []
    budget, plain = tables
    assert [(column.name, column.type) for column in budget.schema.columns] == [
        ("what", Type.TEXT), ("amount", Type.NUMBER), ("zip", Type.TEXT), ("paid", Type.BOOLEAN),
    ]  # fmt: skip
    assert (budget.schema.rows, budget.rows[0]) == (3, ["rent", "500", "01234", "true"])
    assert [column.name for column in plain.schema.columns] == ["column 1", "column 2"] and plain.schema.rows == 2


def test_open_document() -> None:
    data = ods("Trips", [["where", "days"], ["Rome", 3], ["Oslo", 4]])
    assert kind_of(data, "a")[1] is Kind.TABLE
    [table], _ = sheets.describe(io.BytesIO(data))
    assert [(column.name, column.type) for column in table.schema.columns] == [
        ("where", Type.TEXT), ("days", Type.INTEGER),
    ]  # fmt: skip
    assert (table.schema.name, table.schema.rows, table.facts[1].high) == ("Trips", 2, "4")


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\3\4", zipped({"xl/workbook.xml": b"<workbook/>"}), xlsx({"a": BUDGET})[:500], b"\xd0\xcf\x11\xe0" * 50],
)
def test_what_is_no_workbook_is_damaged(data: bytes) -> None:
    with pytest.raises(errors.DamagedMedia):
        sheets.describe(io.BytesIO(data))


def test_a_workbook_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "_MOST_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(errors.TooLarge, match="a workbook of 4 MB"):
        sheets.describe(io.BytesIO(zipped({"xl/sharedStrings.xml": bytes(4 << 20)})))
