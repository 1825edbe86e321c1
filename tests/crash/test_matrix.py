"""A slice of the crash matrix for every day; all of it is ``python -m tests.crash``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash import cases
from tests.crash.cases import Case
from tests.crash.matrix import Matrix
from tests.crash.points import BY_NAME
from tests.crash.subject import CHECKOUT
from tests.servers import S3Server

EVERY_DAY = ("kill gold_assets.after",)
"""Between two tables of a commit."""
EVERY_DAY_OF_A_BUCKET = ("kill ack_settle.after",)
"""In the middle of an ack."""
OF_A_BUCKET = ("kill heard.after", "kill page.after", "kill stream.after", "kill block.after")
"""What an event told is durable, a page was compared, a piece of an object is hashed, or kept."""


def test_every_point_names_a_function_of_the_product() -> None:
    for point in BY_NAME.values():
        point.resolve()


def test_cases_have_names_of_their_own() -> None:
    for table in (cases.matrix(), cases.in_bucket(), cases.of_bucket()):
        names = [case.name for case in table]
        assert len(names) == len(set(names))


def test_the_page_of_failures_names_cells_that_exist_and_every_cell_has_a_row() -> None:
    named = set(re.findall(r"`crash: ([^`]+)`", (CHECKOUT / "docs" / "failures.md").read_text())) - {"PATTERN"}
    cells = [case.name for case in (*cases.matrix(), *cases.servers(), *cases.of_bucket())]
    assert not [pattern for pattern in named if not fnmatch.filter(cells, pattern)]
    assert not [cell for cell in cells if not any(fnmatch.fnmatch(cell, pattern) for pattern in named)]


def play(matrix: Matrix, table: Sequence[Case], names: Sequence[str]) -> None:
    cells = [matrix.play(case) for case in table if case.name in names]
    assert len(cells) == len(names)
    assert not [cell for cell in cells if cell.problem]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_slice_of_the_matrix_is_green(tmp_path: Path) -> None:
    play(Matrix(tmp_path), cases.matrix(), EVERY_DAY)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_slice_of_the_matrix_of_a_bucket_is_green(tmp_path: Path, gateway: S3Server) -> None:
    play(Matrix(tmp_path, gateway=gateway), cases.of_bucket(), EVERY_DAY_OF_A_BUCKET)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_with_objects_in_hand(tmp_path: Path, gateway: S3Server) -> None:
    play(Matrix(tmp_path, gateway=gateway), cases.of_bucket(), OF_A_BUCKET)
