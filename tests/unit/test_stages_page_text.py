"""Lines become a text in the order in which people read; what is no text is nothing."""

import random

import pytest

from lakewatchd.models.base import Line
from lakewatchd.stages.page_text import text_of


def line(text: str, left: float, top: float, *, width: float = 0.3, height: float = 0.02, score: float = 0.95) -> Line:
    return Line(text, score, left, top, left + width, top + height)


def shuffled(lines: list[Line]) -> list[Line]:
    return random.Random(7).sample(lines, len(lines))


def test_from_top_to_bottom_whatever_the_order() -> None:
    lines = [line(f"this is line {i}", 0.1, i / 20) for i in range(15)]
    assert text_of(shuffled(lines)).split("\n") == [f"this is line {i}" for i in range(15)]


def test_what_stands_side_by_side_is_one_line_even_if_it_slopes() -> None:
    lines = [line("Milk", 0.1, 0.1), line("1.20", 0.7, 0.108), line("Bread", 0.1, 0.14), line("3.50", 0.7, 0.147)]
    assert text_of(shuffled(lines)) == "Milk 1.20\nBread 3.50"


def columns(top: float, side: float = 0.52) -> list[Line]:
    left = [line(f"left column line {i}", 0.05, top + i / 40, width=0.42) for i in range(8)]
    right = [line(f"right column line {i}", side, top + i / 40 + 0.001, width=0.42) for i in range(8)]
    return left + right


def test_columns_are_read_one_after_the_other() -> None:
    lines = [line("A headline above both", 0.05, 0.05, width=0.9), *columns(0.15), line("Page 7 of this", 0.4, 0.9)]
    read = text_of(shuffled(lines)).split("\n")
    assert read[0] == "A headline above both" and read[-1] == "Page 7 of this"
    assert read[1:9] == [f"left column line {i}" for i in range(8)]
    assert read[9:17] == [f"right column line {i}" for i in range(8)]


def test_a_table_keeps_its_rows() -> None:
    rows = [[line(cell, 0.1 + 0.3 * at, 0.1 + i / 20, width=0.1) for at, cell in enumerate(("Mo", "9:00", "yes"))]
            for i in range(6)]  # fmt: skip
    assert text_of(cell for row in rows for cell in row) == "\n".join(["Mo 9:00 yes"] * 6)


@pytest.mark.parametrize("texts", [["0000"], ["O"], ["III", "AAA"], ["", " "], ["---", "|||"], []])
def test_rings_and_railings_are_no_text(texts: list[str]) -> None:
    assert text_of([line(text, 0.1, 0.1 + i / 10) for i, text in enumerate(texts)]) == ""


@pytest.mark.parametrize("text", ["EXIT", "出口", "14 b", "Füße"])
def test_short_words_are_text(text: str) -> None:
    assert text_of([line(text, 0.1, 0.1)]) == text


def test_a_doubtful_line_is_left_out() -> None:
    assert text_of([line("surely", 0.1, 0.1), line("perhaps", 0.1, 0.3, score=0.4)]) == "surely"


def test_a_hostile_page_ends() -> None:
    lines = [line(f"word {i}", (i * 37 % 100) / 200, i / 2000, width=0.0, height=0.0) for i in range(2000)]
    assert len(text_of(lines)) > 2000
