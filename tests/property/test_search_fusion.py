"""Rankings become one fairly, and lines of passages are what they claim to be, whatever goes in."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from lakewatchd.core.found import MARK_CLOSES, MARK_OPENS
from lakewatchd.views.search.fusion import fuse
from lakewatchd.views.search.snippet import MAX_CHARS, find, snippet

_RANKINGS = st.dictionaries(
    st.sampled_from(["words", "picture", "text", "object"]),
    st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8),
)


@given(_RANKINGS, st.randoms())
def test_each_key_comes_once_and_no_order_of_doors_matters(rankings: dict[str, list[str]], random) -> None:  # type: ignore[no-untyped-def]
    fused = fuse(rankings)
    assert sorted(one.key for one in fused) == sorted({key for ranking in rankings.values() for key in ranking})
    doors = list(rankings)
    random.shuffle(doors)
    assert fuse({door: rankings[door] for door in doors}) == fused


@given(_RANKINGS, st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))
def test_who_is_nowhere_worse_and_somewhere_better_comes_first(rankings: dict[str, list[str]], a: str, b: str) -> None:
    places = [(ranking.index(key) if key in ranking else 99) for ranking in rankings.values() for key in (a, b)]
    pairs = list(zip(places[::2], places[1::2], strict=True))
    if not all(x <= y for x, y in pairs) or not any(x < y for x, y in pairs):
        return
    order = [one.key for one in fuse(rankings)]
    assert b not in order or order.index(a) < order.index(b)


@given(
    st.text(max_size=400),
    st.lists(st.text(min_size=1, max_size=12), max_size=4),
    st.lists(st.text(max_size=20), max_size=2),
)
@example("ﬁ" * 200, ["fi"], [])
@example("x" * 400, ["x"], ["x"])
@example("İstanbul \x02 \x03 \n", ["istanbul"], [])
def test_a_snippet_is_a_bounded_part_of_the_text_on_one_line(text: str, words: list[str], phrases: list[str]) -> None:
    line = snippet(text, words, phrases)
    bare = line.replace(MARK_OPENS, "").replace(MARK_CLOSES, "")
    assert len(bare) <= MAX_CHARS + 2 and "\n" not in line
    assert line.count(MARK_OPENS) == line.count(MARK_CLOSES)
    assert bare.strip("…").strip() in " ".join(_printable(text).split()) or not bare.strip("…")


def _printable(text: str) -> str:
    import re

    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\s]+", " ", text)


def test_forms_accents_phrases_and_scripts_without_spaces_are_marked() -> None:
    def marked(text: str, *words: str, phrases: tuple[str, ...] = ()) -> list[str]:
        return [text[start:end] for start, end, _ in find(text, words, phrases)]

    assert marked("The dogs walked; a dog walks, dogma.", "dog", "walk") == ["dogs", "walked", "dog", "walks"]
    assert marked("Ein Frühstück im Café", "cafe", "fruhstuck") == ["Frühstück", "Café"]
    assert marked("dark  CHOCOLATE, dark", phrases=("dark chocolate",)) == ["dark  CHOCOLATE"]
    assert marked("我的猫很可爱", "猫") == ["猫"]


def test_the_line_shows_most_of_the_words() -> None:
    text = "alpha " + "filler " * 100 + "beta gamma " + "filler " * 100
    line = snippet(text, ["alpha", "beta", "gamma"])
    assert f"{MARK_OPENS}beta{MARK_CLOSES} {MARK_OPENS}gamma{MARK_CLOSES}" in line and line.startswith("…")
