"""Texts of members: found in the passages of their archive, within bounds, whatever the archive claims."""

from __future__ import annotations

import calendar
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import libarchive
import pytest

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Content, Identity
from lakewatchd.media import archives
from lakewatchd.media.archive import members
from lakewatchd.media.archive.listing import Member
from lakewatchd.media.kinds import kind_of
from lakewatchd.media.original import Original
from lakewatchd.media.sandbox import Decoders
from lakewatchd.stages import chunk
from tests import documents as made

MADE = (2024, 5, 2, 12, 30, 0)
"""Whole two seconds: a ZIP has no odd ones."""
HOSTILE = "../\x1b[31m\nx.txt"


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, MADE), data, method)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = calendar.timegm((*MADE, 0, 0, 0))
            archive.addfile(info, io.BytesIO(data))
    return bytes(out.getvalue())


def sevenz(files: Mapping[str, bytes]) -> bytes:
    parts: list[bytes] = []

    def keep(data: bytes) -> int:
        parts.append(bytes(data))
        return len(data)

    with libarchive.custom_writer(keep, "7zip") as archive:
        for name, data in files.items():
            archive.add_file_from_memory(name, len(data), data)
    return b"".join(parts)


FORMS = {"zip": zipped, "tar.gz": tarred, "7z": sevenz}
FILES = {
    "a/letter.txt": b"A zeppelin over the lake.\n" * 200,
    "a/picture.jpg": b"\xff\xd8\xff" + bytes(1000),
    "page.html": b"<!doctype html><html><body><p>Marmalade for tea</p></body></html>",
    "minutes.docx": made.docx(made.paragraphs("The ombudsman spoke")),
    "inner.zip": zipped({"hidden.txt": b"buried treasure"}, zipfile.ZIP_STORED),
    "bomb.txt": b"spam " * (3 << 20),
    "empty.txt": b"",
    HOSTILE: b"Escaped words",
    "last.md": b"# Farewell\n\nThe very end",
}


def described(data: bytes, tmp_path: Path, members: int = 100, **config: int) -> tuple[Content, str]:
    path = tmp_path / "archive"
    path.write_bytes(data)
    identity = Identity("0" * 64, Version(len(data), 0, 0, 0, 0), Kind.OTHER, kind_of(data, "")[0], "")
    with path.open("rb") as file:
        settings = DecodeConfig(archive_members=members, **config)
        content, text = archives.describe(Original(file.fileno(), identity, "things.zip", settings))
    assert all(text[passage.start : passage.end] == passage.text for passage in content.passages)
    assert content.text_chars == len(text)
    return content, text


def of_members(content: Content) -> list[str]:
    return [passage.text for passage in content.passages if not passage.text.startswith("Archive")]


@pytest.mark.parametrize("form", FORMS)
def test_documents_are_read_and_begin_with_their_path(form: str, tmp_path: Path) -> None:
    content, text = described(FORMS[form](FILES), tmp_path)
    found = of_members(content)
    assert any(words.startswith("page.html\n") and "Marmalade" in words for words in found)
    assert any(words.startswith("minutes.docx\n") and "ombudsman" in words for words in found)
    assert any("\\u001b" in words.split("\n")[0] and "Escaped words" in words for words in found)
    assert any(words.startswith("last.md\n") and "very end" in words for words in found)
    letters = [words for words in found if "zeppelin" in words]
    assert len(letters) > 5 and all(words.startswith("a/letter.txt\n") and len(words) <= 800 for words in letters)
    assert "buried" not in text and "spam" not in text and "\x1b" not in text
    assert [warning.split(":")[0] for warning in content.warnings] == ["bomb.txt"]


@pytest.mark.parametrize("form", FORMS)
def test_as_many_as_asked_for_in_their_order(form: str, tmp_path: Path) -> None:
    listed, text = described(FORMS[form](FILES), tmp_path, members=0)
    assert of_members(listed) == [] and "zeppelin" not in text and listed.warnings == ()
    two, _ = described(FORMS[form](FILES), tmp_path, members=2)
    assert {words.split("\n")[0] for words in of_members(two)} == {"a/letter.txt", "page.html"}
    assert two.passages[: len(listed.passages)] == listed.passages and two.exif == listed.exif


@pytest.mark.parametrize("form", FORMS)
def test_all_together_are_bounded(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"{n}.txt": b"some words here " * 100 for n in range(20)}
    listed, _ = described(FORMS[form](many), tmp_path, members=0)
    content, _ = described(FORMS[form](many), tmp_path, max_text_bytes=5000)
    assert 0 < content.text_chars - listed.text_chars <= 5000 and content.warnings
    monkeypatch.setattr(members, "_MOST_LOOKED_AT", 3)
    content, _ = described(FORMS[form](many), tmp_path)
    assert {words.split("\n")[0] for words in of_members(content)} == {"0.txt", "1.txt", "2.txt"}
    assert any("takes too long" in warning for warning in content.warnings)


def test_the_encrypted_and_the_damaged_are_passed_over(tmp_path: Path) -> None:
    files = {f"{n}.txt": f"words of {n}".encode() for n in range(4)}
    data = bytearray(zipped(files, zipfile.ZIP_STORED))
    data[data.find(b"words of 1")] ^= 1  # its checksum is wrong now
    at = data.find(b"PK\1\2", data.find(b"PK\1\2", data.find(b"PK\1\2") + 1) + 1)
    data[at + 8] |= 1
    content, _ = described(bytes(data), tmp_path)
    assert [words.split("\n")[0] for words in of_members(content)] == ["0.txt", "3.txt"]
    assert len(content.warnings) == 1 and content.warnings[0].startswith("1.txt: it cannot be unpacked")


def test_offsets_that_lie_and_names_that_are_empty(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"words", "b.txt": b"other words"}, zipfile.ZIP_STORED))
    end = data.rfind(b"PK\5\6")
    data[end + 16 : end + 20] = (int.from_bytes(data[end + 16 : end + 20], "little") + 20).to_bytes(4, "little")
    content, _ = described(bytes(data), tmp_path)  # the members begin 20 bytes before where they say
    assert content.warnings and all("begins before" in warning for warning in content.warnings[:1])
    data = bytearray(zipped({"/": b"words"}, zipfile.ZIP_STORED))
    data[data.find(b"PK\1\2") + 46] = 0
    content, _ = described(bytes(data), tmp_path)
    assert dict(content.exif)["Files"] == "1" and content.warnings == ()


def test_of_bzip2_in_a_zip_nothing_is_unpacked(tmp_path: Path) -> None:
    """A few bytes of it are gigabytes, and they come at once."""
    content, _ = described(zipped({"a.txt": b"spam " * 1000}, zipfile.ZIP_BZIP2), tmp_path)
    assert of_members(content) == [] and "not read" in content.warnings[0]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_cut_is_listed_as_without_reading(form: str, tmp_path: Path) -> None:
    whole = FORMS[form](FILES)
    for share in (0.1, 0.4, 0.7, 0.95):
        cut = whole[: int(len(whole) * share)]
        listed, _ = described(cut, tmp_path, members=0)
        content, _ = described(cut, tmp_path)
        assert content.exif == listed.exif and content.passages[: len(listed.passages)] == listed.passages


def test_a_broken_document_is_its_own_fault(tmp_path: Path) -> None:
    files = {
        "bad.docx": made.docx(made.paragraphs("x"))[:200],
        "bad.pdf": b"%PDF-1.7 nothing",
        "good.txt": b"fine words",
    }
    content, _ = described(tarred(files), tmp_path)
    assert [words.split("\n")[0] for words in of_members(content)] == ["good.txt"]
    assert {warning.split(":")[0] for warning in content.warnings} >= {"bad.docx", "bad.pdf"}


def test_a_storage_that_fails_is_no_fault_of_a_member() -> None:
    def unpack(size: int) -> bytes:
        raise errors.NotReadable("EIO")

    with pytest.raises(errors.NotReadable):
        members.Texts(DecodeConfig(archive_members=1)).take(Member("a.txt"), unpack)


def test_archives_are_stale_with_another_number_and_nothing_is_by_default() -> None:
    def settings(count: int) -> list[object]:
        return [stage.transform for stage in chunk.stages(DecodeConfig(archive_members=count))]

    none, some, more = settings(0), settings(5), settings(6)
    assert len({str(each[2]) for each in (none, some, more)}) == 3
    assert [a == b for a, b in zip(none, some, strict=True)] == [True, True, False, True]


async def test_a_confined_decoder_reads_them(tmp_path: Path) -> None:
    decoders = Decoders(DecodeConfig(archive_members=10), 1)
    try:
        for form, make in FORMS.items():
            path = tmp_path / f"things.{form}"
            path.write_bytes(make(FILES))
            identity = await decoders.identify(str(path))
            assert identity is not None
            content = await decoders.describe(str(path), identity, path.name)
            assert content is not None
            words = " ".join(passage.text for passage in content.passages)
            assert all(word in words for word in ("zeppelin", "Marmalade", "ombudsman", "very end")), form
            assert len(content.warnings) == 1
    finally:
        await decoders.close()
