"""Many voices, one vocabulary: whose word counts, what words mean, and that the order of saying means nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.core.asset import Correction, Kind, Tag
from lakewatchd.core.job import Priority
from lakewatchd.lake.rows import AssetRow
from lakewatchd.stages import synonyms as folding
from lakewatchd.stages import voices
from lakewatchd.stages.base import Work
from lakewatchd.stages.synonyms import NEAR, Synonyms
from lakewatchd.stages.voices import ORIGINS, Vocabulary, heard, settle, tidy
from lakewatchd.stages.zero_shot import Verdict
from lakewatchd.taxonomy import Category, TagRule, Taxonomy, check

TAXONOMY = Taxonomy((
    Category("pets", (
        TagRule("dog", synonyms=("hound", "Hund"), parent="animal"), TagRule("terrier", parent="dog"), TagRule("cat"),
    )),
    Category("travel", (TagRule("beach"), TagRule("palace"))),
))  # fmt: skip
VOCABULARY = Vocabulary.of(TAXONOMY)
NOTHING = Verdict((), "unsorted", 0.0)


def settled(
    *said: Tag, by: Correction | None = None, verdict: Verdict = NOTHING, same: dict[str, str] | None = None
) -> Verdict:
    return settle(verdict, said, by or Correction(), VOCABULARY, "unsorted", same)


def names(verdict: Verdict) -> list[str]:
    return [tag.name for tag in verdict.tags]


@pytest.mark.parametrize(("better", "worse"), [*itertools.combinations(ORIGINS, 2)])
def test_of_namesakes_the_better_voice_is_kept_with_its_own_score(better: str, worse: str) -> None:
    tags = (Tag("cat", 0.6, better), Tag("cat", 0.99, worse))
    assert settled(*tags).tags == settled(*reversed(tags)).tags == (tags[0],)


def test_whatever_it_is_called_a_tag_has_one_name() -> None:
    said = [Tag(word, 1.0, "sidecar") for word in ("HOUND", "hund", "hounds", " Dog", "dogs")]
    assert names(settled(*said)) == ["dog", "animal"]


@pytest.mark.parametrize("word", ["animal/dog", "animal|dog", "Animal / Hund"])
def test_a_hierarchy_is_a_line_of_tags(word: str) -> None:
    assert sorted(names(settled(Tag(tidy(word), 1.0, "exif")))) == ["animal", "dog"]
    assert sorted(names(settled(by=Correction(tags=(tidy(word),))))) == ["animal", "dog"]


def test_whoever_says_a_tag_says_what_it_is_a_kind_of() -> None:
    verdict = settled(verdict=Verdict((Tag("terrier", 0.8, "model"),), "pets", 0.8))
    assert verdict.tags == (Tag("terrier", 0.8, "model"), Tag("dog", 0.8, "model"), Tag("animal", 0.8, "model"))


def test_a_person_takes_away_what_others_say_and_what_follows_from_it() -> None:
    verdict = Verdict((Tag("dog", 0.9, "detector"), Tag("beach", 0.6, "model")), "pets", 0.9)
    left = settled(Tag("Hund", 1.0, "bucket"), verdict=verdict, by=Correction(denied=("hound",)))
    assert names(left) == ["beach"] and left.category == "travel"
    parentless = settled(verdict=verdict, by=Correction(denied=("animal",)))
    assert names(parentless) == ["dog", "beach"]


def test_a_person_gives_tags_and_a_category_that_nobody_overrules() -> None:
    verdict = Verdict((Tag("dog", 0.99, "detector"),), "pets", 0.99, (("pets", 0.99),))
    told = settled(verdict=verdict, by=Correction(("grandpa's garden",), (), "travel"))
    assert told.tags[0] == Tag("grandpa's garden", 1.0, "person")
    assert (told.category, told.category_score) == ("travel", 1.0)


def test_what_people_wrote_speaks_for_a_category_and_unknown_words_do_not() -> None:
    assert settled(Tag("Palace", 1.0, "sidecar")).category == "travel"
    unknown = settled(Tag("Schloss Sanssouci", 1.0, "sidecar"))
    assert (unknown.category, unknown.category_score) == ("unsorted", 0.0)


def test_keywords_of_the_file_and_of_captions_are_heard() -> None:
    exif = (("Iptc.Application2.Keywords", "Beach; Anna,animal|dog"), ("xmp:CreatorTool", "beach"), ("Subject", "x\ny"))
    row = AssetRow("a" * 64, Kind.IMAGE, "image/jpeg", 1, exif=exif, caption_tags=("a:b", "  red  car "))
    tags = heard(Work("a" * 64, Kind.IMAGE, "image/jpeg", "x.jpg", Priority.FRESH, (), row))
    assert [(tag.name, tag.origin) for tag in tags] == [
        ("Beach", "exif"), ("Anna", "exif"), ("animal/dog", "exif"), ("x", "exif"), ("y", "exif"),
        ("ab", "caption"), ("red car", "caption"),
    ]  # fmt: skip


def test_a_genre_is_a_tag_unless_it_says_nothing() -> None:
    exif = tuple(("Genre", genre) for genre in ("Folk; Blues", "Other", "unknown", "(17)", "17", "Folk/Rock"))
    row = AssetRow("a" * 64, Kind.AUDIO, "audio/mpeg", 1, exif=exif)
    said = heard(Work("a" * 64, Kind.AUDIO, "audio/mpeg", "x.mp3", Priority.FRESH, (), row))
    assert [(tag.name, tag.origin) for tag in said] == [("Folk", "exif"), ("Blues", "exif"), ("Folk/Rock", "exif")]


def test_no_voice_can_flood_the_others() -> None:
    row = AssetRow("a" * 64, Kind.IMAGE, "", 1, exif=(("Keywords", ",".join(f"w{n}" for n in range(100_000))),) * 50)
    work = Work("a" * 64, Kind.IMAGE, "", "x.jpg", Priority.FRESH, (), row)
    assert len(heard(work)) <= voices.MAX_SAID * len(voices.VOICES)
    flood = [Tag(f"t{n}", 1.0, "bucket") for n in range(1000)]
    assert len(settled(*flood).tags) <= voices.MAX_TAGS


words = st.sampled_from(["dog", "Hund", "animal/dog", "beach", "terrier", "new", "cat", "x/y/z", "animal"])
tags = st.builds(Tag, words, st.sampled_from([0.5, 0.7, 1.0]), st.sampled_from(ORIGINS[1:]))
corrections = st.builds(
    Correction, st.lists(words, max_size=2).map(tuple), st.lists(words, max_size=2).map(tuple), st.just("")
)


@given(said=st.lists(tags, max_size=8), by=corrections, random=st.randoms())
def test_the_order_of_saying_means_nothing_and_a_person_is_never_overruled(
    said: list[Tag], by: Correction, random: object
) -> None:
    told = settled(*said, by=by)
    shuffled = list(said)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert settled(*shuffled, by=by) == told
    assert len(set(names(told))) == len(told.tags)
    given_by_hand = {VOCABULARY.name(level) for word in by.tags for level in word.split("/")}
    assert given_by_hand <= set(names(told))
    taken = {VOCABULARY.name(word.rpartition("/")[2]) for word in by.denied} - given_by_hand
    assert not taken & set(names(told))


hostile = st.text(max_size=500) | st.sampled_from(["/", "//", "..", "a/../b", "-x", "+x", "\0", "\ud800", "a" * 400])


@given(hostile)
def test_a_word_from_outside_is_a_legal_name_or_none(text: str) -> None:
    word = tidy(text)
    assert all(check is None for check in map(voices.name_fault, word.split("/"))) or word == ""
    assert tidy(word) == word and word.count("/") < 4


async def test_near_equal_words_are_one_and_others_are_not() -> None:
    axes = np.eye(4, dtype=np.float32)
    vectors = {"car": axes[0], "dog": axes[1], "tree": axes[2]}
    vectors["automobile"] = (NEAR + 0.01) * axes[0] + np.float32(np.sqrt(1 - (NEAR + 0.01) ** 2)) * axes[3]
    vectors["van"] = (NEAR - 0.01) * axes[0] + np.float32(np.sqrt(1 - (NEAR - 0.01) ** 2)) * axes[2]
    vectors["oak"] = 0.9 * axes[2] + np.float32(np.sqrt(1 - 0.81)) * axes[3]
    asked: list[str] = []

    async def embed(texts: object) -> np.ndarray:
        asked.extend(texts)  # type: ignore[call-overload]
        return np.stack([vectors[text] for text in texts])  # type: ignore[attr-defined]

    synonyms = Synonyms(["car", "dog"], embed)
    assert await synonyms.meant([]) == {} and not asked
    assert await synonyms.meant(["automobile", "van", "tree", "oak"]) == {"automobile": "car", "oak": "tree"}
    assert await synonyms.meant(["oak", "tree"]) == {"tree": "oak"}, "the better voice comes first"
    assert len(asked) == len(set(asked)) == 6


async def test_words_that_are_forgotten_while_others_are_embedded_keep_their_meaning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folding, "KEPT_WORDS", 1)

    async def embed(texts: Sequence[str]) -> np.ndarray:
        await asyncio.sleep(0)
        return np.stack([[len(text), 1.0] for text in texts]).astype(np.float32) / 100

    folded = Synonyms(["car"], embed)
    await folded.meant(["van"])
    told = await asyncio.gather(folded.meant(["van", "tree"]), folded.meant(["oak"]), folded.meant(["van", "hut"]))
    assert told == [{}, {}, {}]


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("[category.a.tags]\nx = { parent = 'y' }\ny = { parent = 'x' }\n", 2, "kind of itself"),
        ("[category.a.tags]\nx = { parent = 'a/b' }\n", 2, "character"),
        ("[category.a.tags]\nx = { synonyms = ['y'] }\ny = {}\n", 3, "already in category"),
        ("[category.a.tags]\nx = { synonyms = ['X'] }\n", 2, "already in category"),
        ("[category.a]\nparent = '-'\n", 2, "character"),
        ("[category.q.tags]\na={parent='b'}\nb={parent='c'}\nc={parent='d'}\nd={parent='e'}\n", 2, "more than 4"),
    ],
)
def test_mistakes_in_synonyms_and_parents_are_named(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    path = tmp_path / "taxonomy.toml"
    path.write_text(text)
    found = [(problem.line, problem.message) for problem in check(path)[1]]
    assert found and found[0][0] == line and complaint in found[0][1], found
