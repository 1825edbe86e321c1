"""One question for all who listen, and none while nobody does."""

from __future__ import annotations

import asyncio

import pytest

from lakewatchd.web import bulletin as bulletin_module
from lakewatchd.web.bulletin import Bulletin, Full


class Daemon:
    def __init__(self) -> None:
        self.asked = 0
        self.says = "a"

    async def ask(self) -> str:
        self.asked += 1
        return self.says


async def test_all_hear_the_same_and_a_slow_one_hears_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulletin_module, "EVERY_S", 0.01)
    daemon = Daemon()
    board = Bulletin(daemon.ask)
    quick, slow = board.listen(20), board.listen(20)
    assert [await anext(quick), await anext(slow)] == ["a", "a"]
    for daemon.says in "bcd":
        assert await anext(quick) == daemon.says
    assert await anext(slow) == "d", "what lay between is passed over"
    await quick.aclose()  # type: ignore[attr-defined]
    await slow.aclose()  # type: ignore[attr-defined]
    asked = daemon.asked
    await asyncio.sleep(0.1)
    assert daemon.asked <= asked + 1, "nobody listens any more"
    daemon.says = "e"
    again = board.listen(20)
    assert await anext(again) == "e", "not what was so when the last one left"
    await again.aclose()  # type: ignore[attr-defined]


async def test_silence_is_told_and_there_is_an_end_to_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulletin_module, "EVERY_S", 0.01)
    monkeypatch.setattr(bulletin_module, "MAX_LISTENERS", 1)
    board = Bulletin(Daemon().ask)
    one = board.listen(0.05)
    heard = [await anext(one)]
    while "a" not in heard or heard[-1] != "":  # silence comes before it where asking was slow
        heard.append(await anext(one))
    assert heard.count("a") == 1 and set(heard) == {"a", ""}
    with pytest.raises(Full):
        await anext(board.listen(1))
    await one.aclose()  # type: ignore[attr-defined]
