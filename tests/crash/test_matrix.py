"""A slice of the crash matrix for every day; all of it is ``python -m tests.crash``."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from tests.crash import cases
from tests.crash.matrix import Matrix
from tests.crash.points import BY_NAME
from tests.crash.subject import CHECKOUT

EVERY_DAY = ("kill gold_assets.after", "kill ack_settle.after")
"""Between two tables of a commit, and in the middle of an ack."""


def test_every_point_names_a_function_of_the_product() -> None:
    for point in BY_NAME.values():
        point.resolve()


def test_cases_have_names_of_their_own() -> None:
    names = [case.name for case in cases.matrix()]
    assert len(names) == len(set(names))


def test_the_page_of_failures_names_cells_that_exist_and_every_cell_has_a_row() -> None:
    named = set(re.findall(r"`crash: ([^`]+)`", (CHECKOUT / "docs" / "failures.md").read_text())) - {"PATTERN"}
    cells = [case.name for case in cases.matrix()]
    assert not [pattern for pattern in named if not fnmatch.filter(cells, pattern)]
    assert not [cell for cell in cells if not any(fnmatch.fnmatch(cell, pattern) for pattern in named)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_slice_of_the_matrix_is_green(tmp_path: Path) -> None:
    matrix = Matrix(tmp_path)
    cells = [matrix.play(case) for case in cases.matrix() if case.name in EVERY_DAY]
    assert len(cells) == len(EVERY_DAY)
    assert not [cell for cell in cells if cell.problem]
