"""A few seeded histories of the soak, and the scripts that once found something."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .floods import flood
from .lab import Lab
from .machine import Tally, read_script, replay, run

pytestmark = [
    pytest.mark.mounts,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems of its own"),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as opened:
        yield opened


def test_random_histories_end_in_the_lake_of_a_fresh_index(lab: Lab) -> None:
    tally = Tally()
    run(lab, tally, 2, 7, shrink=False, steps=8)
    assert tally.histories >= 2


SCRIPT = """
  1. create 0 3               # write content 3 to 'nas/1.txt'
  2. copy 0 17
  3. create 50 4
  4. drain 0 0
  5. away 0 0
  6. move_directory 0 5
  7. append 0 9
  8. kill 0 0
  9. impostor 0 0
 10. pause 4 0
 11. back 0 0
 12. quietly 1 3
 13. delete 1 0
"""


def test_a_script_of_what_a_bad_day_brings(lab: Lab) -> None:
    replay(lab, read_script(SCRIPT), Tally(), lambda line: None)


def test_floods_leave_nothing_out(tmp_path: Path) -> None:
    told = flood(tmp_path, 200)
    assert told.wrong == []
    assert told.slow_looks == 1, "a slow copy is taken up once, when it is whole"
    assert told.most_looks == 1
