"""Pictures and what lies beside them, through a real daemon: whatever comes first, goes, or is renamed."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from films import film, scene
from PIL import Image

from lakewatchd.config import parse
from lakewatchd.core.asset import PathKey, Tag
from lakewatchd.core.event import FileEvent
from lakewatchd.core.job import Lane, Priority
from lakewatchd.daemon.parts import Daemon
from lakewatchd.daemon.service import open_daemon
from lakewatchd.lake.compare import compare
from lakewatchd.lake.rows import GoldRow
from lakewatchd.stages import family, ingest, retag
from lakewatchd.testing import WITHOUT_MODELS, config_text
from lakewatchd.views.mounted.catalog import Rows
from lakewatchd.views.mounted.index import Index

SETTINGS = f"{WITHOUT_MODELS}[lake]\ncommit_s = 0.01\n"

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 exif:DateTimeOriginal="2019-07-12T10:15:00">
<dc:description><rdf:Alt><rdf:li>KEY in the rain</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>KEY</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""

GRINDELWALD = 'exif:GPSLatitude="46,37.452N" exif:GPSLongitude="8,2.484E" exif:DateTimeOriginal'

TAKEOUT = {
    "title": "b.jpg",
    "creationTime": {"timestamp": "1600000000"},
    "photoTakenTime": {"timestamp": "1562919300"},
    "geoData": {"latitude": 0.0, "longitude": 0.0},
    "people": [{"name": "Ann"}],
}


@asynccontextmanager
async def built(base: Path, nas: Path) -> AsyncIterator[Daemon]:
    """All parts of a daemon, its root looked at; jobs run when a test says so."""
    async with open_daemon(parse(config_text(base, nas, SETTINGS), base / "lakewatchd.toml")) as daemon:
        watching = asyncio.create_task(daemon.sources["nas"].run())
        try:
            await daemon.sources["nas"].wait_caught_up()
            yield daemon
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def look(daemon: Daemon, *names: str) -> int:
    """Jobs for these places, those that wait, and all that they lead to, as many at once as there are. They ask for
    each other's job: how many rounds that takes until there is peace."""
    await daemon.queue_thread(daemon.queue.put, [ingest.spec(PathKey("nas", name), Priority.FRESH) for name in names])
    rounds = 0
    while jobs := await daemon.queue_thread(daemon.queue.claim, Lane.FAST, 16):
        rounds += 1
        handled = await asyncio.gather(*map(daemon.handle, jobs))
        await asyncio.gather(*(one.durable for one in handled if one.durable is not None))
        acks = [(job, one.outcome) for job, one in zip(jobs, handled, strict=True)]
        await daemon.queue_thread(daemon.queue.ack, acks)
    return rounds


async def gold(daemon: Daemon, path: str) -> GoldRow:
    place = await daemon.reader.occurrence(PathKey("nas", path))
    assert place is not None
    row = await daemon.reader.gold(place.asset_id)
    assert row is not None
    return row


def picture(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (grey, 90, 200)).save(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Daemon, Path]]:
    """A daemon and its empty root, for tests that keep to a directory of their own."""
    base = tmp_path_factory.mktemp("shared")
    (base / "nas").mkdir()
    async with built(base / "d", base / "nas") as daemon:
        yield daemon, base / "nas"


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    nas = tmp_path / "nas"
    picture(nas / "a.jpg")
    (nas / "a.xmp").write_text(XMP.replace("KEY", "dog"))
    return nas


async def test_what_a_sidecar_says_is_said_of_the_picture(tmp_path: Path, nas: Path) -> None:
    (nas / "a.xmp").write_text(XMP.replace("KEY", "dog").replace("exif:DateTimeOriginal", GRINDELWALD))
    picture(nas / "b.jpg", 100)
    zurich = {"geoData": {"latitude": 47.3719, "longitude": 8.5404}}
    (nas / "b.jpg.supplemental-metadata.json").write_text(json.dumps(TAKEOUT | zurich))
    (nas / "lone.xmp").write_text(XMP.replace("KEY", "cat"))
    async with built(tmp_path / "d", nas) as daemon:
        await look(daemon, "b.jpg", "a.xmp", "b.jpg.supplemental-metadata.json", "a.jpg", "lone.xmp")
        a, b, xmp, lone = [await gold(daemon, name) for name in ("a.jpg", "b.jpg", "a.xmp", "lone.xmp")]
        assert {Tag("dog", 1.0, "sidecar")} <= set(a.tags)
        assert (a.caption, a.dated_by, a.dated_at.isoformat()) == ("dog in the rain", "sidecar", "2019-07-12T10:15:00")
        assert (a.country, a.city) == ("Switzerland", "Grindelwald") and "Grindelwald" in a.text
        assert {Tag("people", 1.0, "sidecar"), Tag("Ann", 1.0, "sidecar")} <= set(b.tags)
        assert (b.dated_by, b.dated_at.isoformat()) == (
            "sidecar",
            "2019-07-12T10:15:00",
        )  # told in Greenwich, at Zürich
        assert (xmp.family, xmp.tags, xmp.category, xmp.text) == (a.asset_id, (), "", "")
        assert lone.family == lone.asset_id
        tree = Index()
        changes = await daemon.reader.changes_since(0)
        tree.apply(Rows(changes.occurrences, changes.gold))
        assert {name for name, _ in tree.entries((b"by-place", b"Switzerland", b"Grindelwald"))} == {b"a.jpg"}
        assert {name for name, _ in tree.entries((b"recent",))} == {b"a.jpg", b"b.jpg"}
        assert {name for name, _ in tree.entries((b"by-root", b"nas"))} >= {b"a.xmp", b"lone.xmp"}


async def test_what_went_does_not_make_a_family_too_large(
    tmp_path: Path, nas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Places are remembered for a while when they are gone; a fresh lake would not know of them."""
    monkeypatch.setattr(family, "MAX_MEMBERS", 2)
    (nas / "a.aae").write_text("<plist/>")
    async with built(tmp_path / "d", nas) as daemon:
        await look(daemon, "a.aae", "a.jpg", "a.xmp")
        assert "dog" not in {tag.name for tag in (await gold(daemon, "a.jpg")).tags}
        (nas / "a.aae").unlink()
        await look(daemon, "a.aae")
        assert "dog" in {tag.name for tag in (await gold(daemon, "a.jpg")).tags}


@pytest.mark.asyncio(loop_scope="module")
async def test_any_order_of_arrival_comes_to_the_same(shared: tuple[Daemon, Path]) -> None:
    daemon, nas = shared
    for number, order in enumerate(itertools.permutations(("jpg", "xmp", "jpg.json"))):
        for extension in order:
            path = nas / f"order/a{number}.{extension}"
            if extension == "jpg":
                picture(path, 40 * number)
            else:
                path.parent.mkdir(exist_ok=True)
                said = json.dumps(TAKEOUT | {"n": number}) if extension == "jpg.json" else XMP + " " * number
                path.write_text(said)
            await look(daemon, f"order/{path.name}")
        row = await gold(daemon, f"order/a{number}.jpg")
        assert {tag.name for tag in row.tags if tag.origin == "sidecar"} == {"KEY", "people", "Ann"}, order
        parts = [await gold(daemon, f"order/a{number}.{extension}") for extension in ("xmp", "jpg.json")]
        assert {part.family for part in parts} == {row.asset_id}, order


@pytest.mark.long
async def test_a_year_of_changes_comes_to_what_a_fresh_look_finds(tmp_path: Path, nas: Path) -> None:
    """Copies, moves, edits and removals of both halves."""

    def copy(source: str, target: str) -> None:
        (nas / target).parent.mkdir(exist_ok=True)
        (nas / target).write_bytes((nas / source).read_bytes())

    async with built(tmp_path / "old", nas) as daemon:
        await look(daemon, "a.jpg", "a.xmp")
        (nas / "a.xmp").write_text(XMP.replace("KEY", "lulu"))  # edited
        await look(daemon, "a.xmp")
        assert {tag.name for tag in (await gold(daemon, "a.jpg")).tags if tag.origin == "sidecar"} == {"lulu"}
        copy("a.jpg", "x/c.jpg")  # a copy elsewhere, with a sidecar of its own
        (nas / "x/c.xmp").write_text(XMP.replace("KEY", "momo"))
        await look(daemon, "x/c.xmp", "x/c.jpg")
        assert {tag.name for tag in (await gold(daemon, "a.jpg")).tags if tag.origin == "sidecar"} == {"lulu", "momo"}
        (nas / "a.jpg").unlink()  # the first place of the picture goes, its sidecar stays alone
        await look(daemon, "a.jpg")
        assert {tag.name for tag in (await gold(daemon, "x/c.jpg")).tags if tag.origin == "sidecar"} == {"momo"}
        lone = await gold(daemon, "a.xmp")
        assert lone.family == lone.asset_id
        (nas / "x/c.xmp").rename(nas / "x/d.xmp")  # renamed away from its picture, and to another
        picture(nas / "x/d.jpg", 50)
        await look(daemon, "x/d.xmp", "x/c.xmp", "x/d.jpg")
        picture(nas / "a.jpg", 77)  # another picture takes the first one's name
        await look(daemon, "a.jpg")
        copy("a.xmp", "x/c.xmp")  # the sidecar of two pictures
        await look(daemon, "x/c.xmp")
        (nas / "x/d.xmp").unlink()
        await look(daemon, "x/d.xmp")
        (nas / "x/d.jpg").write_bytes(b"no picture any more \0")
        await look(daemon, "x/d.jpg")
    async with built(tmp_path / "new", nas) as daemon:
        await look(daemon)
    found = await compare(tmp_path / "old" / "state" / "lake", tmp_path / "new" / "state" / "lake")
    assert found.differences == ()


def apple_note(moment: bytes) -> bytes:
    """What an iPhone writes into a still of a live photo."""
    entry = struct.pack(">HHII", 0x11, 2, len(moment), 32)
    return b"Apple iOS\0\0\1MM" + struct.pack(">H", 1) + entry + b"\0\0\0\0" + moment


@pytest.mark.asyncio(loop_scope="module")
async def test_halves_of_live_photos_and_small_copies_are_parts(shared: tuple[Daemon, Path]) -> None:
    daemon, nas = shared[0], shared[1] / "live"
    nas.mkdir()
    short, long = film("mov", seconds=1.0), film("mov", seconds=8.0, fps=2)
    for number, (name, moving) in enumerate({"live": short, "film": long}.items()):
        picture(nas / f"{name}.jpg", 20 + 40 * number)
        (nas / f"{name}.mov").write_bytes(moving)
    picture(nas / "paint.png", 99)  # no camera writes that
    (nas / "paint.mov").write_bytes(film("mov", seconds=1.0, draw=lambda at_s: scene(3)))
    noted = Image.Exif()
    noted.get_ifd(0x8769)[0x927C] = apple_note(b"MOMENT-1\0")
    tagged = [
        film("mov", seconds=1.0, tags={"com.apple.quicktime.content.identifier": f"MOMENT-{number}"},
             muxing={"movflags": "use_metadata_tags"})
        for number in (1, 2)
    ]  # fmt: skip
    for grey, (name, moving) in enumerate(zip(("same", "other"), tagged, strict=True)):
        Image.new("RGB", (64, 48), (9, 40 * grey, 9)).save(nas / f"{name}.jpg", exif=noted)
        (nas / f"{name}.mov").write_bytes(moving)
    (nas / "GX010001.MP4").write_bytes(film(seconds=2.0))
    (nas / "GL010001.LRV").write_bytes(film(seconds=2.0, draw=lambda at_s: scene(7)))
    picture(nas / "GX010001.THM.jpg", 222)
    (nas / "GX010001.THM.jpg").rename(nas / "GX010001.THM")
    heads = {
        "live.mov": "live.jpg", "same.mov": "same.jpg", "GX010001.THM": "GX010001.MP4", "GL010001.LRV": "GX010001.MP4",
        "film.mov": "", "other.mov": "", "paint.mov": "",
    }  # fmt: skip
    await look(daemon, *(f"live/{path.name}" for path in nas.iterdir()))
    for part, head in heads.items():
        assert (await gold(daemon, f"live/{part}")).family == (
            (await gold(daemon, f"live/{head}")).asset_id if head else ""
        ), part
    ids = [place.asset_id async for place in daemon.reader.all_occurrences()]
    works = await retag.works_of(ids, daemon.context)
    by_one = [await family.find(work, daemon.context) for work in works]
    works = await retag.works_of(ids, daemon.context)
    await family.find_all(works, daemon.context)
    assert [work.kin for work in works] == by_one and any(kin.head for kin in by_one)
    (nas / "live.jpg").unlink()  # what is left is a film like any other
    await look(daemon, "live/live.jpg")
    alone = await gold(daemon, "live/live.mov")
    assert alone.family == "" and alone.text


@pytest.mark.asyncio(loop_scope="module")
async def test_jobs_of_both_halves_that_run_at_once_end_in_peace(
    shared: tuple[Daemon, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ask for each other's job: that has to come to an end, and to the right one."""
    daemon, nas = shared

    async def unheard(self: Daemon, events: Sequence[FileEvent]) -> None:
        """What the watcher hears of the files, of other tests too, would be rounds of its own."""

    monkeypatch.setattr(Daemon, "emit", unheard)
    await look(daemon)
    for number in range(5):
        Image.new("RGB", (64, 48), (200, 40 * number, 3)).save(nas / f"p{number}.jpg")
        (nas / f"p{number}.xmp").write_text(XMP.replace("KEY", f"k{number}"))
    rounds = await look(daemon, *(f"p{number}.{extension}" for number in range(5) for extension in ("jpg", "xmp")))
    assert rounds < 12
    for number in range(5):
        row = await gold(daemon, f"p{number}.jpg")
        assert [tag.name for tag in row.tags if tag.origin == "sidecar"] == [f"k{number}"]
        assert (await gold(daemon, f"p{number}.xmp")).family == row.asset_id
