"""Archives: what is in them is told, whatever they claim; nothing is unpacked, and lies cost nothing."""

import bz2
import datetime as dt
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import libarchive
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd.core.content import Content
from lakewatchd.media.archive import listing, streamed, zipped
from lakewatchd.media.archive.listing import Listing, Member
from lakewatchd.media.kinds import ARCHIVES, PACKED, kind_of

NAMES = ["a/beach.jpg", "a/Grüße.txt", "b/c/notes.md"]


def listed(data: bytes, name: str = "x") -> Listing:
    """As the decoder does it."""
    mime, _ = kind_of(data, name)
    if mime == "application/zip":
        return zipped.list_zip(io.BytesIO(data))
    return streamed.list_members(io.BytesIO(data), ARCHIVES[mime], is_packed=mime in PACKED)


def told(found: Listing, name: str = "holiday.zip") -> Content:
    content, text = found.to_content(name, 800, 120)
    assert all(text[passage.start : passage.end] == passage.text for passage in content.passages)
    text.encode()
    assert all(len(key) + len(value) <= 4096 for key, value in content.exif)
    return content


def text_of(found: Listing) -> str:
    return " ".join(passage.text for passage in told(found).passages)


def zipped_bytes() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.writestr(zipfile.ZipInfo(name, (2019, 7, 1, 10, 0, 0)), b"x" * 1000)
        archive.mkdir("empty") if hasattr(archive, "mkdir") else archive.writestr("empty/", b"")
    return out.getvalue()


def tarred(mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name in NAMES:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 1000, dt.datetime(2019, 7, 1, 10, tzinfo=dt.UTC).timestamp()
            archive.addfile(info, io.BytesIO(b"x" * 1000))
    return bytes(out.getvalue())


def written(form: str, packing: str | None = None) -> bytes:
    """By libarchive."""
    parts: list[bytes] = []

    def keep(data: bytes) -> int:
        parts.append(bytes(data))
        return len(data)

    with libarchive.custom_writer(keep, form, packing) as archive:
        for name in NAMES:
            archive.add_file_from_memory(name, 1000, b"x" * 1000, mtime=1561975200)
    return b"".join(parts)


def rar() -> bytes:
    """RAR 4 with one stored file, by hand: no program here writes any."""

    def block(kind: int, flags: int, rest: bytes, more: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + more

    name, data = b"a\\beach.jpg", b"x" * 1000
    when = (39 << 25) | (7 << 21) | (1 << 16) | (10 << 11)
    fields = struct.pack("<IIBIIBBHI", 1000, 1000, 2, zlib.crc32(data), when, 20, 0x30, len(name), 32)
    return (
        b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6)) + block(0x74, 0x8000, fields + name, data) + block(0x7B, 0, b"")
    )


FORMS = {
    "zip": zipped_bytes,
    "tar": tarred,
    "tar.gz": lambda: tarred("w:gz"),
    "tar.bz2": lambda: tarred("w:bz2"),
    "tar.xz": lambda: tarred("w:xz"),
    "tar.zst": lambda: written("pax", "zstd"),
    "tar.lz4": lambda: written("pax", "lz4"),
    "7z": lambda: written("7zip"),
    "iso": lambda: written("iso9660"),
    "cpio": lambda: written("cpio_newc"),
    "xar": lambda: written("xar"),
}


@pytest.mark.parametrize("form", FORMS)
def test_members_are_told(form: str) -> None:
    found = listed(FORMS[form](), f"holiday.{form}")
    assert found.problem == ""
    assert (found.files, found.size_bytes) == (3, 3000)
    words = text_of(found)
    assert all(name in words for name in NAMES)
    assert "2019-07-01" in words and ".jpg (1)" in words


def test_rar() -> None:
    found = listed(rar())
    assert (found.files, found.size_bytes, found.problem) == (1, 1000, "")
    assert "a/beach.jpg" in text_of(found)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_one_file_that_is_packed(pack: object) -> None:
    assert callable(pack)
    found = listed(pack(b"words of a letter\n" * 100_000))
    assert (found.files, found.problem) == (1, "")
    assert "words of a letter" in text_of(found) and len(found.beginning) < 1 << 20
    assert listed(pack(bytes(range(256)) * 9)).files == 1


def test_encrypted() -> None:
    data = bytearray(zipped_bytes())
    at = -1
    while (at := data.find(b"PK\1\2", at + 1)) >= 0:
        data[at + 8] |= 1
    found = listed(bytes(data))
    assert found.encrypted == 3
    assert "encrypted" in text_of(found)


def test_what_has_no_name_is_told_all_the_same() -> None:
    """Decoders are not told what a file is called: the same content may lie under many names."""
    content, text = listed(tarred()).to_content("", 800, 120)
    assert text.startswith("Archive (TAR): 3 files") and content.title == ""


def test_hostile_names_are_printable() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in ("../../etc/passwd", "/root/x", "two\nlines", "\x1b[31mred", "caf\udce9", "a" * 5000):
            archive.addfile(tarfile.TarInfo(name))
    found = listed(out.getvalue())
    assert found.files == 6
    words = text_of(found)
    assert "\x1b" not in words and "two\\u000alines" in words and "a" * 201 not in words


def test_sizes_that_lie_are_only_words() -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 60
    found = listed(info.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
    assert found.files == 1 and "huge" in text_of(found)
    data = bytearray(zipped_bytes())
    at = data.find(b"PK\1\2")
    data[at + 24 : at + 28] = b"\xff\xff\xff\xfe"
    assert listed(bytes(data)).size_bytes > 1 << 31


def terabyte_in_a_tar_in_a_gzip() -> bytes:
    tar = tarfile.TarInfo("bomb")
    tar.size = 1 << 40
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    return b"".join((packer.compress(tar.tobuf()), *(packer.compress(zeros) for _ in range(64)), packer.flush()))


def test_a_bomb_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "_MOST_UNPACKED_BYTES", 8 << 20)
    found = listed(terabyte_in_a_tar_in_a_gzip(), "bomb.tar")
    assert found.files == 1 and "too long to look through" in found.problem


def test_what_lies_between_headers_is_not_read(tmp_path: Path) -> None:
    class Counting(io.FileIO):
        count = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size) or b""
            self.count += len(data)
            return data

    path = tmp_path / "films.tar"
    with path.open("wb") as made:
        for name in ("a.mov", "b.mov", "c.mov"):
            info = tarfile.TarInfo(name)
            info.size = 1 << 30
            made.write(info.tobuf())
            made.truncate(made.seek(1 << 30, io.SEEK_CUR))
        made.write(bytes(1024))
    with Counting(path) as stream:
        found = streamed.list_members(stream, "TAR")  # type: ignore[arg-type]
        assert (found.files, found.size_bytes, found.problem) == (3, 3 << 30, "")
        assert stream.count < 1 << 20


def test_packed_again_and_again() -> None:
    data = b"x"
    for _ in range(60):
        data = gzip.compress(data)
    told(listed(data, "bomb"))


def test_a_hundred_thousand_members() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(2000):
            archive.writestr(f"{n}/x", b"")
    one = out.getvalue()
    found = Listing("ZIP")
    for n in range(100_000):
        assert found.add(Member(f"{n}/{n}.e{n}"))
    content, text = found.to_content("many.zip", 800, 120)
    assert found.files == 100_000 and len(text) < 20_000 and len(content.passages) < 40
    assert listed(one).files == 2000


def test_no_more_are_counted_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_MEMBERS", 2)
    for form in ("zip", "tar"):
        found = listed(FORMS[form]())
        assert found.files == 2 and told(found).warnings


@pytest.mark.parametrize("form", FORMS)
def test_cut_archives_are_told_as_far_as_they_go(form: str) -> None:
    data = FORMS[form]()
    for share in (0.2, 0.5, 0.9):
        try:
            found = listed(data[: int(len(data) * share)])
        except KeyError:  # cut before what tells its format
            continue
        assert found.files <= 3
        told(found)


def test_a_storage_that_fails_is_no_fault_of_the_archive() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(Exception, match="EIO"):
        streamed.list_members(Failing(tarred()), "TAR")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.integers(0, 1 << 30))
def test_damaged_archives_surprise_nobody(form: str, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(FORMS[form]()[:100_000])
    for _ in range(rng.choice((1, 5, 50))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    mime, _ = kind_of(bytes(data), "x")
    if mime in ARCHIVES:
        told(listed(bytes(data)))
