"""The parts of the HTTP door: who may come in, what goes to the daemon together, what the daemon believes."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd.buckets.records import MAX_KEY_BYTES, Notice
from lakewatchd.child import Json
from lakewatchd.core.event import Change
from lakewatchd.testing import FakeClock
from lakewatchd.web import courier as courier_module
from lakewatchd.web import wire
from lakewatchd.web.courier import Courier, Full, NotDurable
from lakewatchd.web.tokens import Strikes, Tokens
from lakewatchd.web.wire import Tally


def tokens(**of_roots: str) -> Tokens:
    return Tokens({root: hashlib.sha256(token.encode()).digest() for root, token in of_roots.items()})


def test_a_token_opens_its_roots_however_it_is_written() -> None:
    doors = tokens(photos="one-token-of-16-b", films="another-token-16", copies="one-token-of-16-b")
    for written in (b"Bearer one-token-of-16-b", b"bearer  one-token-of-16-b ", b"one-token-of-16-b"):
        assert doors.roots_of(written) == ("photos", "copies")
    for wrong in (b"", b"Bearer", b"Bearer ", b"Basic one-token-of-16-b", b"Bearer one-token-of-16-b2", b"\xff" * 9999):
        assert doors.roots_of(wrong) == ()


def test_wrong_tokens_are_counted_by_address_and_forgotten() -> None:
    clock = FakeClock()
    strikes = Strikes(clock.monotonic, allowed=3, window_s=10, addresses=5)
    assert [strikes.strike("10.0.0.1") for _ in range(4)] == [False, False, False, True]
    assert not strikes.strike("10.0.0.2")
    clock.advance(11)
    assert not strikes.strike("10.0.0.1")
    for number in range(3):
        strikes.strike(f"2001:db8::{number}")
    assert strikes.strike("2001:db8::ffff%eth0"), "whoever has one address of IPv6 has all around it"
    for number in range(100):
        strikes.strike(f"10.1.0.{number}")
    assert len(strikes._since) == 5


# --- letters -----------------------------------------------------------------------------------------------

notices = st.builds(
    Notice,
    bucket=st.text(min_size=1, max_size=20),
    key=st.binary(min_size=1, max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    change=st.sampled_from([Change.ADDED, Change.MODIFIED, Change.REMOVED]),
    at=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    size_bytes=st.none() | st.integers(0, (1 << 63) - 1),
    version_id=st.text(max_size=20),
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5), st.lists(notices, min_size=1, max_size=5), max_size=3))
def test_a_letter_says_what_was_put_into_it(posts: dict[str, list[Notice]]) -> None:
    packed = {root: [wire.packed(notice) for notice in some] for root, some in posts.items()}
    tally = Tally(foreign=1, bad=2, refused=3, wrong_tokens=4, wrong_from="fe80::1")
    sent = json.loads(json.dumps(wire.letter(packed, {"photos": tally})))
    letter = wire.read_letter(sent)
    assert letter.posts == {root: tuple(some) for root, some in posts.items()}
    assert letter.tallies == {"photos": tally}


def test_the_largest_pieces_fit_a_frame() -> None:
    worst = "\udcff" * MAX_KEY_BYTES
    largest = Notice("b", worst, Change.ADDED, "F" * 64, 1e9, 1 << 62, "ü" * 1024, "€" * 1024, "n" * 64)
    pieces = list(wire.pieces([largest] * 3000))
    assert sum(len(piece.notices) for piece in pieces) == 3000
    for piece in pieces:
        assert len(piece.notices) <= wire.MAX_NOTICES
        assert len(json.dumps(wire.letter({"photos": piece.notices}, {}))) < wire.MAX_FRAME_BYTES


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars, max_size=3)
almost = st.fixed_dictionaries(
    {
        "posts": st.dictionaries(
            st.text(max_size=3), st.lists(st.lists(json_values, min_size=9, max_size=9)) | json_values
        ),
        "tallies": st.dictionaries(
            st.text(max_size=3), st.dictionaries(st.sampled_from(["bad", "wrong_from", "x"]), json_values) | json_values
        ),
    }
)


@settings(max_examples=25)
@given(almost | st.dictionaries(st.text(), json_values))
def test_whatever_a_web_process_sends_is_believed_or_refused(frame: Json) -> None:
    try:
        letter = wire.read_letter(frame)
    except ValueError:
        return
    for notice in (notice for some in letter.posts.values() for notice in some):
        assert 0 < len(notice.key.encode("utf-8", "surrogateescape")) <= MAX_KEY_BYTES
    for tally in letter.tallies.values():
        assert type(tally.bad) is int and tally.bad >= 0


def test_more_than_was_agreed_on_is_refused() -> None:
    item = wire.packed(Notice("b", "k", Change.ADDED))
    with pytest.raises(ValueError, match="too many"):
        wire.read_letter({"posts": {"a": [item] * 600, "b": [item] * 600}, "tallies": {}})
    with pytest.raises(ValueError, match="too long"):
        wire.read_letter({"posts": {"a": [[*item[:1], "ü" * 600, *item[2:]]]}, "tallies": {}})


# --- the courier -------------------------------------------------------------------------------------------


class Daemon:
    """The other end: keeps letters, and answers them when it is told to."""

    def __init__(self) -> None:
        self.letters: asyncio.Queue[tuple[Json, asyncio.Future[Json]]] = asyncio.Queue()

    async def exchange(self, letter: Json) -> Json:
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        if letter["posts"]:
            await self.letters.put((letter, answer))
            return await answer
        return {"failed": []}


def notice(key: str) -> Notice:
    return Notice("photos", key, Change.ADDED)


async def test_what_comes_while_a_letter_is_on_its_way_goes_with_the_next() -> None:
    daemon = Daemon()
    courier = Courier(daemon.exchange, 100)

    def deliver(root: str, key: str) -> asyncio.Future[None]:
        return asyncio.ensure_future(courier.deliver([(root, [notice(key)])]))

    running = asyncio.ensure_future(courier.run())
    first = deliver("photos", "a")
    _, answer = await daemon.letters.get()
    rest = [deliver("photos", f"k{i}") for i in range(20)]
    other = deliver("films", "f")
    await asyncio.sleep(0)
    assert not first.done()
    answer.set_result({"failed": []})
    letter, answer = await daemon.letters.get()
    posts = letter["posts"]
    assert isinstance(posts, dict)
    assert {root: len(items) for root, items in posts.items()} == {"photos": 20, "films": 1}
    assert first.done() and not any(task.done() for task in rest)
    answer.set_result({"failed": ["films"]})
    await asyncio.gather(*rest)
    with pytest.raises(NotDurable):
        await other
    running.cancel()


async def test_as_many_wait_as_may_and_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "ANSWER_S", 0.01)
    daemon = Daemon()
    courier = Courier(daemon.exchange, 2)
    running = asyncio.ensure_future(courier.run())
    waiting = [asyncio.ensure_future(courier.deliver([("photos", [notice(f"k{i}")])])) for i in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Full):
        await courier.deliver([("photos", [notice("one too many")])])
    for task in waiting:
        with pytest.raises(NotDurable):
            await task
    assert not courier.is_full
    _, answer = await daemon.letters.get()
    monkeypatch.setattr(courier_module, "ANSWER_S", 60.0)  # this one is answered
    late = asyncio.ensure_future(courier.deliver([("photos", [notice("late")])]))
    answer.set_result({"failed": []})
    letter, answer = await daemon.letters.get()
    assert "k1" not in json.dumps(letter), "nobody waits for it any more"
    answer.set_result({"failed": []})
    await late
    running.cancel()


async def test_while_the_daemon_takes_nothing_what_nobody_waits_for_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(courier_module, "ANSWER_S", 0.001)
    daemon = Daemon()
    courier = Courier(daemon.exchange, 10)
    running = asyncio.ensure_future(courier.run())
    for number in range(30):
        posts = (courier.deliver([("photos", [notice(f"{number} {n}")])]) for n in range(10))
        assert all(isinstance(end, NotDurable) for end in await asyncio.gather(*posts, return_exceptions=True))
    assert len(courier._parcels) <= 10
    running.cancel()


async def test_a_daemon_that_is_gone_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BEAT_S", 0.01)

    async def gone(letter: Json) -> Json:
        raise EOFError

    with pytest.raises(EOFError):
        await Courier(gone, 1).run()
