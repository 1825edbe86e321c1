"""Content decides what a file is; its name only chooses between flavours."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lakewatchd.core.asset import Kind
from lakewatchd.media.kinds import HEAD_BYTES, is_text, kind_of


def encoded(form: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_pictures_are_known_under_any_name(form: str) -> None:
    assert kind_of(encoded(form), "letter.txt") == (f"image/{form.lower()}", Kind.IMAGE)


@pytest.mark.parametrize(
    ("head", "name", "mime", "kind"),
    [
        (b"", "a.jpg", "inode/x-empty", Kind.OTHER),
        (b"\0" * 100, "a.txt", "application/octet-stream", Kind.OTHER),
        (b"%PDF-1.7\n", "a.jpg", "application/pdf", Kind.DOCUMENT),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a.jpg", "image/heic", Kind.IMAGE),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "a", "image/avif", Kind.IMAGE),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a", "video/mp4", Kind.VIDEO),
        (b"\0\0\0\x18ftyp3gp4\0\0\2\0isom3gp4", "a.mp4", "video/3gpp", Kind.VIDEO),
        (b"\x1f\x07\0\xbf\xf8\x78\x78\x78", "tape", "video/x-dv", Kind.VIDEO),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a", "video/quicktime", Kind.VIDEO),
        (b"\0\0\0\x18ftypM4A \0\0\0\0", "a", "audio/mp4", Kind.AUDIO),
        (b"\0\0\0\x08wide\0\x12\xd6\x87mdat", "a.mov", "video/quicktime", Kind.VIDEO),
        (b"data wide", "a.txt", "text/plain", Kind.DOCUMENT),
        ((b"\x47" + b"\0" * 187) * 3, "a.ts", "video/mp2t", Kind.VIDEO),
        ((b"\0\x12\x34\x56\x47" + b"\0" * 187) * 3, "a.mts", "video/mp2t", Kind.VIDEO),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a", "audio/wav", Kind.AUDIO),
        (b"RIFF\x24\0\0\0AVI LIST", "a", "video/x-msvideo", Kind.VIDEO),
        (b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x86webm", "a", "video/webm", Kind.VIDEO),
        (b"ID3\x04\0\0\0\0\0\0", "a", "audio/mpeg", Kind.AUDIO),
        (b"\xff\xfb\x90\x64\0\0", "a", "audio/mpeg", Kind.AUDIO),
        (b"fLaC\0\0\0\x22", "a", "audio/flac", Kind.AUDIO),
        (b"OggS\0\x02" + b"\0" * 22 + b"\x01vorbis", "a", "audio/ogg", Kind.AUDIO),
        (b"PK\x03\x04" + b"\0" * 30, "a.docx", "application/vnd.openxmlformats-officedocument."
         "wordprocessingml.document", Kind.DOCUMENT),
        (b"PK\x03\x04" + b"\0" * 30, "a.jpg", "application/zip", Kind.OTHER),
        (b"PK\x03\x04" + b"\0" * 26 + b"mimetypeapplication/epub+zip", "a", "application/epub+zip", Kind.DOCUMENT),
        (b"PAR1\x15\x04", "a", "application/vnd.apache.parquet", Kind.TABLE),
        (b"II*\0\x08\0\0\0", "a.NEF", "image/x-nikon-nef", Kind.IMAGE),
        (b"II*\0\x10\0\0\0CR\x02", "a.tif", "image/x-canon-cr2", Kind.IMAGE),
        (b"\x1f\x8b\x08", "a.txt", "application/gzip", Kind.OTHER),
        (b"# Title\n", "a.md", "text/markdown", Kind.DOCUMENT),
        (b"a,b\n1,2\n", "A.CSV", "text/csv", Kind.TABLE),
        (b"plain words", "a.jpg", "text/plain", Kind.DOCUMENT),
        (b"<!DOCTYPE html><p>x", "page", "text/html", Kind.DOCUMENT),
        ("Grüße aus Köln".encode("latin-1"), "a.txt", "text/plain", Kind.DOCUMENT),
        ("Grüße".encode("utf-16"), "a.txt", "text/plain", Kind.DOCUMENT),
        (b"BM is a car maker", "a.txt", "text/plain", Kind.DOCUMENT),
    ],
)  # fmt: skip
def test_first_bytes_decide(head: bytes, name: str, mime: str, kind: Kind) -> None:
    assert kind_of(head, name) == (mime, kind)


def test_a_character_cut_at_the_end_of_the_head_is_still_text() -> None:
    head = ("x" * (HEAD_BYTES - 1) + "é").encode()[:HEAD_BYTES]
    assert is_text(head)
    assert not is_text("日本".encode()[:-1])


@given(st.binary(max_size=600), st.text(max_size=20))
def test_any_bytes_under_any_name_have_a_kind(head: bytes, name: str) -> None:
    mime, kind = kind_of(head, name)
    assert "/" in mime and isinstance(kind, Kind)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_written_words_are_text(text: str) -> None:
    assert is_text(text.encode())
    assert is_text(text.encode("utf-8-sig"))
