"""What a slip of the finger was meant to be, and what is another word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lakewatchd.lake.finder import Finder
from lakewatchd.testing import FakeClock
from lakewatchd.views.search.vocabulary import Vocabulary, nearest, slips


@pytest.mark.parametrize(
    ("word", "other", "count"),
    [("", "", 0), ("cat", "cat", 0), ("", "cat", 3), ("cat", "cart", 1), ("cat", "act", 1), ("cat", "cot", 1),
     ("mozrat", "mozart", 1), ("riding", "residing", 2), ("insurrance", "insurance", 1), ("kitten", "sitting", 3)],
)  # fmt: skip
def test_slips_are_counted_both_ways(word: str, other: str, count: int) -> None:
    assert slips(word, other) == slips(other, word) == count


def test_the_nearest_word_is_one_that_could_be_meant() -> None:
    known = ["chocolate", "mozart", "insurance", "residing", "Müllabfuhr"]
    assert nearest("choclate", known) == "chocolate"
    assert nearest("mozrat", known) == "mozart"
    assert nearest("mulabfuhr", known) == "mullabfuhr"
    assert nearest("riding", known) == "", "two letters more make another word of a short one"
    assert nearest("chocolate", known) == "", "a word that is there is no slip"


class Slow(Finder):
    """Of a lake whose words take as long to fetch as the test wants."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asked, self.has_come = 0, asyncio.Event()

    async def collect(self) -> None:
        self.asked += 1
        await self.has_come.wait()


async def test_who_gives_up_leaves_no_second_collection_behind(tmp_path: Path) -> None:
    finder = Slow(tmp_path / "lake")
    vocabulary = Vocabulary(finder, FakeClock())
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await vocabulary.longer(["house"], ["house"])
    assert finder.asked == 1, "each that is not the first waits in a thread that others need"
    finder.has_come.set()
    assert await vocabulary.longer(["house"], ["house"]) == {}
    finder.close()
