"""Documents through the decoders as they run: confined, with nothing to load, and asked for pages."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lakewatchd.config import DecodeConfig
from lakewatchd.core.content import Content, Task
from lakewatchd.media.sandbox import Decoders
from tests import documents as made
from tests.unit.test_media_documents import FILES

REAL_PDF = Path("matplotlib/mpl-data/images/qt4_editor_options.pdf")


@pytest.fixture
async def decoders() -> AsyncIterator[Decoders]:
    found = Decoders(DecodeConfig(), 1)
    yield found
    await found.close()


async def read(decoders: Decoders, path: Path, task: Task | None = None) -> Content:
    identity = await decoders.identify(str(path))
    assert identity is not None
    more = {} if task is None else {"task": task}
    content = await decoders.describe(str(path), identity, path.name, **more)
    assert content is not None
    return content


async def test_every_format_is_read_by_a_confined_process(tmp_path: Path, decoders: Decoders) -> None:
    for name, (data, words, title, author, language, _) in FILES.items():
        (tmp_path / name).write_bytes(data)
        content = await read(decoders, tmp_path / name)
        assert words in "\n".join(passage.text for passage in content.passages), name
        assert (content.title, content.author, content.language) == (title, author, language)
        times = [(passage.start_s, passage.end_s) for passage in content.passages]
        assert times == ([(1.0, 4.0)] if name == "film.srt" else [(None, None)] * len(times))
    assert all(layer.holds for layer in decoders.layers)
    assert len(decoders.pids) == 1


async def test_letters_of_all_scripts_are_known_to_a_confined_process(tmp_path: Path, decoders: Decoders) -> None:
    chinese, japanese, korean = "中文三日", "会議は三時です", "안녕하세요"
    by_charset = {
        "gb2312": chinese, "gb18030": chinese, "big5": chinese, "big5-hkscs": chinese, "shift_jis": japanese,
        "euc-jp": japanese, "iso-2022-jp": japanese, "euc-kr": korean, "koi8-r": "Шум турбин",
    }  # fmt: skip
    for charset, words in by_charset.items():
        text = f"Content-Type: text/plain; charset={charset}\nFrom: a@b.cd\nTo: e@f.gh\nSubject: x\n\n{words}"
        (tmp_path / f"{charset}.eml").write_bytes(text.encode(charset))
        content = await read(decoders, tmp_path / f"{charset}.eml")
        assert [passage.text for passage in content.passages] == [words], charset


async def test_pages_of_a_scan_come_large_enough_to_read(tmp_path: Path, decoders: Decoders) -> None:
    (tmp_path / "scan.pdf").write_bytes(made.scan("HELLO WORLD", "PAGE TWO"))
    content = await read(decoders, tmp_path / "scan.pdf")
    assert content.pages == 2 and not content.passages and content.picture is not None
    frames = (await read(decoders, tmp_path / "scan.pdf", Task("legible", 0, 1))).frames
    assert [(frame.page, max(frame.picture.width, frame.picture.height)) for frame in frames] == [(1, 2000)]


async def test_a_pdf_that_a_program_wrote(tmp_path: Path, decoders: Decoders) -> None:
    import matplotlib

    shutil.copy(Path(matplotlib.__file__).parents[1] / REAL_PDF, tmp_path / "icon.pdf")
    content = await read(decoders, tmp_path / "icon.pdf")
    assert content.pages == 1 and content.thumbnail and content.picture is not None
    assert dict(content.exif)["producer"] == "matplotlib pdf backend"
