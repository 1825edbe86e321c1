"""Corrections teach, and only what several of them bear out; elsewhere the model keeps its word."""

from __future__ import annotations

import numpy as np
import pytest

from lakewatchd.core.asset import Kind
from lakewatchd.stages.teaching import FLOOR, MIN_LESSONS, MOST, SURE, Learned, Lesson, School, learn
from lakewatchd.stages.zero_shot import Evidence, Scorer
from lakewatchd.taxonomy import Category, TagRule, Taxonomy

DIM = 96
Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(5)


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def sample(rng: Rng, count: int = 400) -> np.ndarray:
    """Content of all sorts, which has, as with real models, much in common."""
    return unit(rng.normal(size=(count, DIM)) + 0.8)


def like(rng: Rng, centre: np.ndarray, count: int, noise: float = 0.6) -> np.ndarray:
    return unit(centre + noise * unit(rng.normal(size=(count, DIM))))


def lessons(tag: str, vectors: np.ndarray, *, is_so: bool, odds: float = float("-inf")) -> list[Lesson]:
    return [Lesson(tag, vector, odds, is_so) for vector in vectors]


def odds_after(learned: Learned, tag: str, vectors: np.ndarray, before: float = FLOOR) -> np.ndarray:
    return np.asarray(before + learned.corrections(vectors)[:, learned.tags.index(tag)])


def test_a_tag_without_a_description_is_learned_from_a_few_files(rng: Rng) -> None:
    background = sample(rng)
    grandpa = sample(rng, 1)[0]
    learned = learn(lessons("grandpa", like(rng, grandpa, 5), is_so=True), background)
    assert learned.tags == ("grandpa",)
    found = odds_after(learned, "grandpa", like(rng, grandpa, 50)) >= 0
    wrong = odds_after(learned, "grandpa", sample(rng, 500)) >= 0
    assert found.mean() >= 0.9 and wrong.mean() <= 0.01


def test_what_was_taken_away_is_not_said_of_its_like_and_still_of_others(rng: Rng) -> None:
    background = sample(rng)
    statues, dogs = sample(rng, 2)
    taught = lessons("dog", like(rng, statues, 6), is_so=False, odds=2.0)
    learned = learn(taught, background)
    assert (odds_after(learned, "dog", like(rng, statues, 50), before=2.0) < 0).mean() >= 0.9
    assert (odds_after(learned, "dog", like(rng, dogs, 50), before=2.0) >= 0).all()


@pytest.mark.parametrize("is_so", [True, False])
def test_one_odd_correction_teaches_nothing(rng: Rng, is_so: bool) -> None:
    background = sample(rng)
    dogs, car = sample(rng, 2)
    odds = float("-inf") if is_so else 2.0
    few = like(rng, dogs, MIN_LESSONS - 1)
    assert learn(lessons("dog", few, is_so=is_so, odds=odds), background).tags == ()
    own, odd = (
        lessons("dog", like(rng, dogs, 6), is_so=is_so, odds=odds),
        lessons("dog", car[None], is_so=is_so, odds=odds),
    )
    with_it, without = learn([*own, *odd], background), learn(own, background)
    assert with_it.directions is not None and without.directions is not None
    assert np.allclose(with_it.directions, without.directions)
    scattered = lessons("dog", sample(rng, 6), is_so=is_so, odds=odds)
    assert learn(scattered, background).tags == ()


def test_where_the_model_is_right_nothing_changes(rng: Rng) -> None:
    background = sample(rng)
    dogs = like(rng, sample(rng, 1)[0], 6)
    assert learn(lessons("dog", dogs, is_so=True, odds=SURE + 1), background).tags == ()
    assert learn(lessons("dog", dogs, is_so=False, odds=-SURE - 1), background).tags == ()
    taught = learn(lessons("dog", dogs, is_so=True, odds=-1.0), background)
    assert np.abs(taught.corrections(sample(rng, 500))).mean() < 0.5


def test_it_is_bounded_and_the_same_whatever_the_order(rng: Rng) -> None:
    background = sample(rng)
    taught = lessons("a", like(rng, sample(rng, 1)[0], 40), is_so=True) + lessons(
        "b", like(rng, sample(rng, 1)[0], 40), is_so=False, odds=6.0
    )
    one, other = learn(taught, background), learn(taught[::-1], background)
    vectors = np.vstack([sample(rng, 100), np.zeros((1, DIM))])
    assert (np.abs(one.corrections(vectors)) <= MOST).all()
    assert one.tags == other.tags and np.allclose(one.corrections(vectors), other.corrections(vectors))


def test_what_was_learned_can_be_kept_and_what_is_torn_is_learned_again(rng: Rng) -> None:
    learned = learn(lessons("grandpa", like(rng, sample(rng, 1)[0], 5), is_so=True), sample(rng))
    school = School(pictures=learned, made_of="x")
    back = School.of(school.to_bytes())
    assert back.digest == school.digest != School().digest == ""
    assert School.of(back.to_bytes()).digest == back.digest
    vectors = sample(rng, 10)
    assert np.allclose(back.pictures.corrections(vectors), learned.corrections(vectors), atol=1e-4)
    for torn in (b"", b"{}", school.to_bytes()[:-20], b"\xff" * 10, school.to_bytes().replace(b"rows", b"cows")):
        assert School.of(torn) == School()


def test_a_scorer_that_was_taught_says_tags_that_the_taxonomy_has_not(rng: Rng) -> None:
    taxonomy = Taxonomy((Category("pets", (TagRule("dog", objects=("dog",)),)),))
    centre = sample(rng, 1)[0]
    school = School(pictures=learn(lessons("grandpa", like(rng, centre, 5), is_so=True), sample(rng)))
    plain, taught = Scorer(taxonomy, None, None), Scorer(taxonomy, None, None, school=school)

    def seen(vector: np.ndarray) -> Evidence:
        return Evidence(Kind.IMAGE, image_vectors=(vector.astype(np.float32),))

    his, others = like(rng, centre, 20), sample(rng, 50)
    assert not any(plain.score(seen(vector)).tags for vector in his)
    said = taught.score_many([seen(vector) for vector in his])
    assert sum([tag.name for tag in verdict.tags] == ["grandpa"] for verdict in said) >= 18
    assert said == [taught.score(seen(vector)) for vector in his], "one by one it is the same"
    assert not any(verdict.tags for verdict in taught.score_many([seen(vector) for vector in others]))
