"""Text: every character is found again, at the offset that is claimed for it."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.content import Content
from lakewatchd.media.document import describe_document
from lakewatchd.media.text.markup import strip_html
from lakewatchd.media.text.passages import passages
from lakewatchd.media.text.plain import find_title, read_text

prose = st.text(alphabet=st.sampled_from("ab .\n!?é日。\t"), max_size=3000)


@given(st.one_of(prose, st.text(max_size=500)), st.integers(1, 200), st.integers(0, 300))
def test_passages_cover_the_text_and_overlap_as_told(text: str, size: int, overlap: int) -> None:
    spans = list(passages(text, size, overlap))
    covered = set()
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert end - start <= max(2, size)
        assert text[start:end] == text[start:end].strip()
        covered.update(range(start, end))
    assert all(at in covered or char.isspace() for at, char in enumerate(text))
    for (start, end), (after, after_end) in itertools.pairwise(spans):
        assert start < after and end < after_end
        assert end - after <= overlap


@pytest.mark.parametrize("rest", ["", " b"])
def test_what_is_repeated_is_no_passage_of_its_own(rest: str) -> None:
    """Found by the property above, once in some hundred runs: a cut right before white space."""
    spans = list(passages("?" * 9 + " " * 9 + rest, 5, 1))
    assert spans == [(0, 5), (4, 9)] + ([(19, 20)] if rest else [])


def test_passages_end_where_a_reader_would_pause() -> None:
    text = ("word " * 30).strip() + ".\n\n" + "Another paragraph of words, somewhat longer than that. " * 8
    spans = list(passages(text, 200, 40))
    assert text[slice(*spans[0])].endswith("word.")
    assert all(text[end - 1] in ".," or text[end].isspace() for _, end in spans[:-1])


def test_one_endless_word_ends() -> None:
    spans = list(passages("x" * 10_000, 800, 120))
    assert spans[0] == (0, 800)
    assert spans[-1][1] == 10_000


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings(codec: str) -> None:
    assert read_text("Grüße\r\naus\rKöln €".encode(codec))[0] == "Grüße\naus\nKöln €"


@given(st.binary(max_size=400))
def test_any_bytes_become_storable_text(data: bytes) -> None:
    text, _ = read_text(data)
    assert "\0" not in text and "\r" not in text
    text.encode("utf-8")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0\r\ufeff")), st.integers(1, 8))
def test_a_cut_within_a_character_loses_only_that_character(text: str, cut: int) -> None:
    data = text.encode()[:-cut]
    read, problems = read_text(data, is_cut=True)
    assert text.startswith(read) and not problems
    assert len(text) - len(read) <= cut


def test_mostly_utf8_stays_utf8() -> None:
    text, problems = read_text("Grüße ".encode() + b"\xff" + "Köln".encode())
    assert text == "Grüße \ufffdKöln" and problems


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\n\n  First line \nsecond", "First line"),
        ("intro\n\n## The *heading* ##\ntext", "The *heading*"),
        ("---\n***\nWords", "Words"),
        ("x" * 500, "x" * 120),
        ("", ""),
        (" \t\n", ""),
        ("a\x07b\x1b[31mred", "a b [31mred"),
    ],
)
def test_titles(text: str, title: str) -> None:
    assert find_title(text) == title


def test_html_is_what_a_reader_sees() -> None:
    page = (
        "<html><head><title>A &amp; B</title><style>p{}</style></head><body><h1>Head</h1><p>One<b>two</b>"
        "<script>if (a<b) evil()</script></p><p>Three &euro;</p></body></html>"
    )
    found = strip_html(page)
    text = found.text
    assert found.title == "A & B"
    assert text.split() == ["Head", "Onetwo", "Three", "€"]
    assert "evil" not in text and "p{}" not in text


@given(st.text(alphabet=st.sampled_from("<>/!-&;#abp \n\"'=title"), max_size=300))
def test_any_markup_can_be_stripped(page: str) -> None:
    found = strip_html(page)
    (found.text + found.title).encode()


def described(path: Path, name: str = "notes.txt", mime: str = "text/plain", max_bytes: int = 10_000) -> Content:
    with path.open("rb") as stream:
        return describe_document(stream, mime, name, DecodeConfig(max_text_bytes=max_bytes))[0]


def test_large_text_is_cut_not_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("Sentence number one. " * 5000)
    content = described(tmp_path / "f")
    assert content.text_chars == 10_000
    assert content.passages[-1].end <= 10_000
    assert any("first 10000 bytes" in warning for warning in content.warnings)


def test_five_sparse_gigabytes_cost_no_more_than_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as stream:
        stream.write(b"Some words. " * 6000)
        stream.truncate(5 << 30)
    content = described(tmp_path / "f", max_bytes=100_000)
    assert content.text_chars == 72_000
    assert any("binary data" in warning for warning in content.warnings)


def test_zeros_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\0" * 1000)
    with pytest.raises(errors.DamagedMedia):
        described(tmp_path / "f")


def test_code_is_titled_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("import os\n")
    assert described(tmp_path / "f", "tool.py", "text/x-python").title == "tool"
    assert described(tmp_path / "f", "tool.txt").title == "import os"


def test_an_open_comment_in_a_script_hides_nothing_behind_it() -> None:
    assert strip_html("<p>a</p><script>x = '<!--'</script><p>b</p>").text == "a\n\nb"
    assert strip_html("<p>a</p><!-- never closed <p>b</p>").text == "a"
