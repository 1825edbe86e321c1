"""Documents of every format: the words, in order, with the pages they stand on, and what they say of themselves."""

from __future__ import annotations

import datetime as dt
import io
import os
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind
from lakewatchd.core.content import Content, Task
from lakewatchd.media import document
from lakewatchd.media.kinds import HEAD_BYTES, kind_of
from lakewatchd.media.ranged import Need, RangedFile
from lakewatchd.media.text.elements import Fields, walk
from tests import documents as made

NOON = dt.datetime(2021, 3, 4, 12)  # noqa: DTZ001 - wall-clock time, as all that is captured
NOON_HERE = NOON.replace(tzinfo=dt.UTC).astimezone().replace(tzinfo=None)
"""When it is noon in Greenwich."""


def described(data: bytes, name: str, config: DecodeConfig | None = None) -> tuple[Content, str]:
    """As the decoder does it, with what all documents have to hold."""
    mime, kind = kind_of(data[:HEAD_BYTES], name)
    assert kind is Kind.DOCUMENT, (mime, kind)
    content, text = document.describe_document(io.BytesIO(data), mime, name, config or DecodeConfig())
    covered = set()
    for passage in content.passages:
        assert text[passage.start : passage.end] == passage.text
        covered.update(range(passage.start, passage.end))
    assert all(at in covered or char.isspace() for at, char in enumerate(text))
    text.encode()
    return content, text


SLIDES = (("First slide", "say hello"), ("Second slide", "say why"))
FILES = {
    "note.md": (made.NOTE, "smallest of them", "Noise at night", "Ada Lovelace", "en", True),
    "paper.tex": (made.TEX, r"Fifty \% of them", "Noise at night", "Ada Lovelace", "", True),
    "page.html": (made.PAGE, "Привет", "Turbines & noise", "Ada Lovelace", "en", True),
    "minutes.rtf": (made.RTF, "Café and € and bold words.", "Minutes", "Ada Lovelace", "", True),
    "book.ipynb": (made.NOTEBOOK, "42 decibels", "Noise of turbines", "", "", False),
    "party.ics": (made.CALENDAR, "Old library", "Meeting about turbines, at last", "", "", True),
    "ada.vcf": (made.CARD, "Analytical Engines Notes", "Ada Lovelace", "", "", False),
    "film.srt": (made.SUBTITLES, "Do you hear the wind?\nIt is 3 o'clock.", "film", "", "", False),
    "letter.doc": (made.LETTER_DOC, "café, € 12, naïve.\nSecond", "Letter about turbines", "Ada Lovelace", "en", False),
    "talk.ppt": (made.ppt("First slide", "Second"), "First slide", "talk", "", "", False),
    "mail.msg": (made.msg("Noise", made.PROSE), "smallest of them", "Noise", "Ada Lovelace", "en", True),
    "mail.eml": (made.eml(), "smallest of them", "Invoice for März", "Ada Lovelace", "en", True),
    "minutes.docx": (made.docx(made.paragraphs("One", made.PROSE)), "smallest", "Minutes", "Ada Lovelace", "en", True),
    "talk.pptx": (made.pptx(*SLIDES), "say why", "A talk", "Ada Lovelace", "", True),
    "flat.fodt": (made.flat_opendocument("<text:p>words</text:p>"), "words", "Minutes", "Ada Lovelace", "", True),
    "book.epub": (made.epub("<p>One</p>", "<p>Two&nbsp;words"), "Two words", "A book", "Ada Lovelace", "en", True),
    "book.fb2": (made.fiction("One", "Two"), "One\nTwo", "A book", "Ada Lovelace", "en", False),
    "paper.xps": (made.xps("Line one\nLine two", "Page two"), "Line one\nLine two", "Line one", "", "", False),
    "paper.pdf": (
        made.pdf([made.PROSE], info="/Title (Noise) /Author (Ada Lovelace) /CreationDate (D:20210304120000-08'00')"),
        "smallest of them", "Noise", "Ada Lovelace", "en", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_words_and_what_they_say_of_themselves(name: str) -> None:
    data, words, title, author, language, is_dated = FILES[name]
    content, text = described(data, name)
    assert words in text
    assert (content.title, content.author, content.language) == (title, author, language)
    assert content.captured_from == ("document" if content.captured_at else "")
    assert (content.captured_at is not None) == is_dated
    if content.captured_at is not None:
        assert content.captured_at in (NOON, NOON.replace(hour=0), NOON_HERE)
    assert not content.warnings


def pages(content: Content) -> list[tuple[int | None, str]]:
    return [(passage.page, passage.text) for passage in content.passages]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.pdf", made.pdf(["First", "", "Third (of three) \\"]), [(1, "First"), (3, "Third (of three) \\")]),
        ("a.pptx", made.pptx(*SLIDES), [(1, "First slide\n\nsay hello"), (2, "Second slide\n\nsay why")]),
        ("a.epub", made.epub("<p>One", "<p>Two"), [(1, "One"), (2, "Two")]),
        ("a.xps", made.xps("One", "Two"), [(1, "One"), (2, "Two")]),
        ("a.odp", made.opendocument("<draw:page><text:p>One</text:p></draw:page><draw:page><text:p>Two</text:p>"
         "</draw:page>", kind="presentation"), [(1, "One"), (2, "Two")]),
        ("a.odt", made.opendocument("<text:p>One</text:p><text:p>a<text:soft-page-break/>b</text:p>"),
         [(1, "One\na"), (2, "b")]),
        ("a.docx", made.docx(made.paragraphs("One") + "<w:p><w:r><w:lastRenderedPageBreak/><w:t>Two</w:t></w:r></w:p>"),
         [(1, "One"), (2, "Two")]),
    ],
)  # fmt: skip
def test_passages_know_their_page_and_never_reach_over_its_end(
    name: str, data: bytes, expected: list[tuple[int | None, str]]
) -> None:
    content, _ = described(data, name)
    assert pages(content) == expected
    assert content.pages == (3 if name == "a.pdf" else 2)


def test_a_mailbox_is_read_mail_by_mail() -> None:
    box = made.mbox(made.eml("One"), made.eml("Two", words="From here on,\nother words"), made.eml("Three"))
    content, _ = described(box, "all mail")
    assert content.pages == 3 and [page for page, _ in pages(content)] == [1, 2, 3]
    assert "other words" in pages(content)[1][1] and pages(content)[1][1].startswith("Two\nAda Lovelace")


SPOKEN = """[Script Info]
Title: x

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.50,0:00:02.50,Default,,0,0,0,,{\\b1}Hello, you\\Nthere
"""
VTT = "WEBVTT\n\nNOTE hidden\n\n01:00:01.000 --> 01:00:02.000 align:start\n<v Ada>Late &amp; short\n"


def test_subtitles_know_when_they_are_said() -> None:
    cues = "".join(f"{n}\n00:00:{n:02},500 --> 00:00:{n:02},900\nSentence number {n} is said.\n\n" for n in range(60))
    content, text = described(cues.encode(), "film.srt", DecodeConfig(passage_chars=100, passage_overlap=0))
    for passage in content.passages:
        said = [int(word) for word in passage.text.split() if word.isdigit()]
        assert (passage.start_s, passage.end_s) == (said[0] + 0.5, said[-1] + 0.9)
    assert len(content.passages) > 15 and "-->" not in text
    (only,) = described(SPOKEN.encode(), "film.ass")[0].passages
    assert (only.text, only.start_s, only.end_s) == ("Hello, you\nthere", 1.5, 2.5)
    (only,) = described(VTT.encode(), "film.vtt")[0].passages
    assert (only.text, only.start_s, only.end_s) == ("Late & short", 3601.0, 3602.0)


def test_of_alternatives_one_is_read_and_attachments_are_named() -> None:
    content, text = described(made.eml(words="plain dress", html="<p>other dress", attached="plan.pdf"), "mail.eml")
    assert text == "plain dress"
    assert ("attachments", "plan.pdf") in content.exif
    content, _ = described(made.msg("s", "b", attached="plan.pdf"), "x.msg")
    assert ("attachments", "plan.pdf") in content.exif


def test_mail_is_known_without_a_name() -> None:
    assert kind_of(made.eml(), "1234567.M5P6.host,S=99:2,S")[0] == "message/rfc822"
    assert kind_of(b"From: here to there\nwe went: on foot\n", "travels")[0] == "text/plain"


@pytest.mark.parametrize("data", [made.docx(""), made.pptx(), made.ppt("x"), made.msg("a", "b"), made.LETTER_DOC])
def test_office_is_known_without_a_name(data: bytes) -> None:
    assert kind_of(data, "download")[1] is Kind.DOCUMENT


def test_words_that_stand_beside_the_text_of_an_office_document() -> None:
    body = (
        "<w:p><w:r><w:t>Box: </w:t><mc:AlternateContent><mc:Choice><w:t>once</w:t></mc:Choice><mc:Fallback><w:t>twice"
        "</w:t></mc:Fallback></mc:AlternateContent><w:instrText>PAGE</w:instrText><w:delText>gone</w:delText></w:r></w:p>"
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr>"
        "</w:tbl>"
    )
    _, text = described(made.docx(body, footnotes=made.paragraphs("a footnote")), "x.docx")
    assert text.split() == ["Box:", "once", "a", "b", "a", "footnote"]


def test_what_was_deleted_in_an_open_document_is_not_read() -> None:
    body = "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes><text:p>a<text:s text:c='3'/>b</text:p>"
    assert described(made.opendocument(body), "x.odt")[1] == "a   b\n"


def test_what_stands_around_a_page_is_left_out_where_something_else_is_left() -> None:
    assert "Contact" not in described(made.PAGE, "x.html")[1] and "All rights" not in described(made.PAGE, "x.html")[1]
    assert described(b"<html><nav>Only links", "x.html")[1] == "Only links"


def test_a_pdf_of_text_shows_its_first_page_but_is_not_judged_by_it() -> None:
    content, _ = described(made.pdf([made.PROSE]), "x.pdf")
    assert content.thumbnail and content.picture is None and content.phash is None


def test_a_scan_is_seen_and_its_pages_can_be_had_large_enough_to_read() -> None:
    data = made.scan("HELLO WORLD", "PAGE TWO")
    content, text = described(data, "scan.pdf")
    assert text == "" and content.pages == 2
    assert content.picture is not None and content.phash is not None and content.title == "scan"
    second = document.legible(io.BytesIO(data), "application/pdf", Task("legible", 1, 8)).frames
    assert [frame.page for frame in second] == [2]
    assert max(second[0].picture.width, second[0].picture.height) == 2000
    assert min(second[0].picture.pixels) < 50 < 250 < max(second[0].picture.pixels)


def test_a_pdf_of_which_a_piece_cannot_be_had_is_not_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.pdf").write_bytes(made.pdf([made.PROSE] * 3000))
    asked: list[tuple[int, int]] = []

    def legible(need: Need) -> Content:
        with (tmp_path / "x.pdf").open("rb") as file:
            stream = io.BufferedReader(RangedFile(file.fileno(), os.fstat(file.fileno()).st_size, need))
            return document.legible(stream, "application/pdf", Task("legible", 2900, 4))

    def need(start: int, end: int) -> bool:
        asked.append((start, end))
        return len(asked) < 4

    with pytest.raises(OSError):
        legible(need)
    assert len(asked) == 4
    assert legible(lambda start, end: True).pages == 3000
    assert described(made.pdf([made.PROSE]), "next.pdf")[1] == made.PROSE


def test_pages_with_words_are_not_drawn_to_be_read() -> None:
    mixed = made.pdf([made.PROSE, "7", made.PROSE])
    content = document.legible(io.BytesIO(mixed), "application/pdf", Task("legible", 0, 3))
    assert [frame.page for frame in content.frames] == [2] and content.pages == 3
    wordy = made.pdf([made.PROSE, made.PROSE])
    for data in (wordy, made.pdf(["secret"], encrypt=True)):
        assert document.legible(io.BytesIO(data), "application/pdf", Task("legible", 0, 3)) == Content(pages=0)


def test_covers_of_books_are_seen() -> None:
    content, _ = described(made.epub("<p>One", cover=made.picture("blue")), "x.epub")
    assert content.picture is not None and content.picture.pixels[:3] == bytes((0, 0, 255)) and content.thumbnail
    content, _ = described(made.comic(3), "x.cbz")
    assert content.picture is not None and (content.title, content.pages) == ("Turbines 4", 3)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.pdf", made.pdf(["secret"], encrypt=True)),
        ("x.docx", made.compound({"EncryptedPackage": b"secret" * 100, "EncryptionInfo": b"x"})),
        (
            "x.odt",
            made.zipped(
                {
                    "META-INF/manifest.xml": "<m:manifest xmlns:m='m'><m:encryption-data/></m:manifest>",
                    "content.xml": b"\x00secret",
                }
            ),
        ),
    ],
)
def test_what_asks_for_a_password_is_known_by_its_name(name: str, data: bytes) -> None:
    content, text = described(data, name)
    assert (text, content.title) == ("", "x") and "password" in content.warnings[0]


@pytest.mark.parametrize("name", FILES)
def test_long_documents_are_cut_not_refused(name: str) -> None:
    content, text = described(FILES[name][0], name, DecodeConfig(max_text_bytes=1000, passage_chars=100))
    assert content.text_chars == len(text) <= 1000


def test_the_limit_holds_for_what_is_unpacked_too() -> None:
    body = made.paragraphs(*("many words " * 20 for _ in range(2000)))
    content, text = described(made.docx(body), "x.docx", DecodeConfig(max_text_bytes=5000))
    assert len(text) == 5000 and content.warnings == ("only the first 5000 characters were read",)


@pytest.mark.parametrize("name", [name for name in FILES if name.rpartition(".")[2] in ("docx", "pptx", "epub", "pdf")])
def test_what_is_cut_short_is_an_error_with_a_reason(name: str) -> None:
    data = FILES[name][0]
    with pytest.raises(errors.DamagedMedia) as caught:
        described(data[: len(data) // 2], name)
    assert caught.value.message and caught.value.hint


def test_what_lies_endlessly_in_or_beside_each_other_ends() -> None:
    deep = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(3000))
    with pytest.raises(errors.DamagedMedia, match="too deep"):
        described(b"From: a\nMIME-Version: 1\n" + deep + b"\ninner", "x.eml")
    with pytest.raises(errors.DamagedMedia, match="more parts"):
        described(b"From: a\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 30_000, "x.eml")
    content, _ = described(made.docx("<w:p><w:r><w:lastRenderedPageBreak/><w:t>x</w:t></w:r></w:p>" * 30_000), "x.docx")
    assert content.pages == 20_000
    with pytest.raises(errors.DamagedMedia, match="not a notebook"):
        described(b'{"cells":' + b"[" * 200_000, "x.ipynb")


def test_entities_are_refused() -> None:
    declared = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    bomb = f'<?xml version="1.0"?>{declared}<office:document>&b;</office:document>'
    with pytest.raises(errors.DamagedMedia, match="entities"):
        described(bomb.encode(), "x.fodt")


# --- written to be slow, or by a bad program ----------------------------------------------------------------


class _Counted(io.BytesIO):
    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize("token", [b"<a b='%b'/>", b"<!--%b-->"], ids=["tag", "comment"])
def test_a_long_token_is_not_looked_through_again_for_each_of_its_pieces(token: bytes) -> None:
    """Else a comment of 100 MB, which is 400 kB in a ZIP file, takes hours where expat is old."""
    stream, fields = _Counted(b"<root>" + token % (b"x" * (32 << 20)) + b"<title>End</title></root>"), Fields()
    walk(stream, fields)
    assert fields.first("title") == "End"
    assert stream.reads < 20


def test_a_chapter_that_a_book_names_a_thousand_times_is_read_once() -> None:
    content, text = described(made.epub("<p>One</p>", "<p>Two</p>", repeats=1000), "book.epub")
    assert (text.count("One"), text.count("Two"), content.pages) == (1, 1, 2)


def test_a_page_with_a_section_that_nobody_knows_is_read_all_the_same() -> None:
    _, text = described(b"<!DOCTYPE html><p>before</p><![foo[x]]><![<!></p>\n<![if !mso]><p>after</p>", "a.html")
    assert "before" in text and "after" in text


def test_a_mail_whose_sender_is_nothing_but_brackets_is_read() -> None:
    content, text = described(b"From: " + b"(" * 5000 + b"\nTo: a@b.cd\nSubject: x\n\nStill words.\n", "a.eml")
    assert text == "Still words." and content.author.startswith("(((")
