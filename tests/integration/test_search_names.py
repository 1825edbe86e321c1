"""Names of files and folders, and words that are parts of longer ones: a real lake, words alone, no models."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from lake_rows import DIMS, asset_id, batch

from lakewatchd.config import LakeConfig
from lakewatchd.core.asset import PathKey
from lakewatchd.core.found import MARK_OPENS, Query
from lakewatchd.lake.finder import Finder
from lakewatchd.lake.rows import Batch
from lakewatchd.lake.tables import LakeWriter, serving
from lakewatchd.views.search.finding import Search

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = {
    1: ("Papiere/Einkommensteuerbescheid 2022.pdf", "Bescheid über Kirchensteuer und Solidaritätszuschlag"),
    2: ("Phone DCIM/IMG_20250830_1415.jpg", "a red car"),
    3: ("Phone DCIM/IMG_20250901_0900.jpg", "a red car in the train station"),
    4: ("bills/invoice-2024.pdf", "for the roof"),
    5: ("bills/letter.txt", "As to your invoice-2024.pdf: invoice-2024.pdf was paid, and so was IMG_20250830_1415."),
    6: ("Straßen/Lindenstraße.txt", "Impfpass"),
}


def row(number: int, path: str, text: str) -> Batch:
    one = batch(number)
    said = f"{path.rpartition('/')[2]}\nbuecher/{path.rpartition('/')[0]}\n{text}"
    gold = dataclasses.replace(one.gold[0], title=path, caption="", text=said, tags=(), best=PathKey("buecher", path))
    return dataclasses.replace(one, spans=(), gold=(gold,))


@dataclasses.dataclass(frozen=True, slots=True)
class Lake:
    writer: LakeWriter
    search: Search

    async def ask(self, text: str, **asked: object) -> list[int]:
        found = await self.search.find(Query(text=text, **asked))  # type: ignore[arg-type]
        return [int(hit.asset_id, 16) for hit in found.hits]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lake(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lake]:
    base = tmp_path_factory.mktemp("names")
    config = LakeConfig(commit_s=0.01)
    writer = await LakeWriter.open(base / "lake", base / "thumbnails.db", DIMS, config, sync=False)
    async with serving(writer):
        await asyncio.gather(*(writer.submit(row(number, *file)) for number, file in FILES.items()))
        finder = Finder(base / "lake")
        yield Lake(writer, Search(finder, patience_s=120))
        finder.close()


@pytest.mark.parametrize("typed", ["Steuer", "steuerbescheid", "Einkommen", "STEUERN"])
async def test_a_part_of_a_compound_finds_it_and_says_so(lake: Lake, typed: str) -> None:
    found = await lake.search.find(Query(text=typed))
    (hit,) = found.hits
    assert hit.asset_id == asset_id(1) and [reason.door for reason in hit.reasons] == ["parts"]
    assert [(field, words) for field, _, words in found.understood] == [("part of", typed)]
    assert hit.piece is not None and MARK_OPENS in hit.piece.snippet, "the longer word is marked"


async def test_what_only_looks_like_a_part_is_none(lake: Lake) -> None:
    assert await lake.ask("rain") == [], "no part of train"
    assert await lake.ask('"Steuer"') == [], "quotes mean the word itself"
    assert await lake.ask("steuer -bescheid") == []
    assert await lake.ask("kangaroo") == []


async def test_a_verb_finds_the_noun_that_is_made_of_it(lake: Lake) -> None:
    assert await lake.ask("impfen") == [6]


async def test_a_name_means_that_file_whatever_others_say_of_it(lake: Lake) -> None:
    assert (await lake.ask("invoice-2024.pdf"))[0] == 4, "the letter says it more often"
    assert (await lake.ask("INVOICE-2024"))[0] == 4
    assert (await lake.ask("bills/invoice"))[0] == 4
    assert (await lake.ask("IMG_20250830_1415"))[0] == 2
    assert await lake.ask("IMG_202509") == [3], "a name that is still being typed"
    assert await lake.ask("IMG_1999") == [], "all parts of a name must be there"


async def test_folders_and_roots_are_found(lake: Lake) -> None:
    assert set(await lake.ask("Phone DCIM")) == {2, 3}
    assert await lake.ask("Phone DCIM/IMG_20250901_0900.jpg") == [3]
    assert set(await lake.ask("buecher")) >= set(FILES), "the name of a root, or of a bucket"
    assert await lake.ask("Lindenstrasse") == [6]


async def test_pages_of_what_parts_find_follow_each_other(lake: Lake) -> None:
    assert await lake.ask("DCI") == [], "too short to be a part of anything"
    whole = await lake.ask("IMG_2025")
    assert set(whole[:2]) == {2, 3} and whole[2:] == [5], "who says a name comes after who has it"
    assert [await lake.ask("IMG_2025", limit=1, offset=at) for at in range(4)] == [[one] for one in whole] + [[]]


async def test_a_word_that_came_just_now_is_known(lake: Lake) -> None:
    assert await lake.ask("wetter") == []
    await lake.writer.submit(row(7, "Unwetterwarnung.txt", "hail"))
    assert await lake.ask("wetter") == [], "three letters must go before it"
    await lake.writer.submit(row(8, "Sommerwetter.txt", "sunshine"))
    assert await lake.ask("wetter") == [8]
