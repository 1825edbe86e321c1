"""Where the background of a tag ends, and that a lake's own texts can only ever lower it."""

from __future__ import annotations

import numpy as np
import pytest

from lakewatchd.stages import background
from lakewatchd.stages.background import LEAST, NO_SAMPLE, Own
from lakewatchd.stages.likeness import IMAGE_CALIBRATIONS, TEXT_CALIBRATION, Calibration, Comparer
from lakewatchd.stages.teaching import School

DIM = 32
EVEN = TEXT_CALIBRATION.margin


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, DIM))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def about(vectors: np.ndarray, axis: int, cosine: float) -> np.ndarray:
    """The same, with this cosine to one axis."""
    rest = vectors.copy()
    rest[:, axis] = 0
    rest *= np.sqrt(1 - cosine**2) / np.linalg.norm(rest, axis=1, keepdims=True)
    rest[:, axis] = cosine
    return rest


def margins(sample: np.ndarray | None, calibration: Calibration = TEXT_CALIBRATION) -> np.ndarray:
    """Of two tags, whose descriptions are the first two axes; the neutral one is the third."""
    order = {"first": 0, "second": 1, "nothing": 2}
    lists = [[text] for text in order]
    vectors = np.eye(3, DIM, dtype=np.float32)
    comparer = Comparer.of(lists, order, [False, False], vectors, calibration, sample)
    assert comparer is not None
    return comparer.margins


def test_a_tag_that_nothing_resembles_needs_less_likeness_than_one_that_everything_does() -> None:
    rng = np.random.default_rng(1)
    sample = about(about(unit(rng, 400), 0, 0.01), 1, 0.2)
    sample[:, 1] += rng.normal(scale=0.08, size=400)
    first, second = margins(sample)
    assert TEXT_CALIBRATION.lowest is not None
    assert TEXT_CALIBRATION.lowest <= first < second == EVEN


def test_a_lake_full_of_it_never_loses_a_tag() -> None:
    """However many of the texts are truly about it: what makes even odds is never more than without a background."""
    rng = np.random.default_rng(2)
    for share in (0.0, 0.1, 0.3, 0.6, 1.0):
        sample = unit(rng, 500)
        full = round(500 * share)
        sample[:full] = about(sample[:full], 0, 0.7)
        assert (margins(sample) <= EVEN).all() and (margins(sample) >= (TEXT_CALIBRATION.lowest or 0)).all()


def test_pictures_of_the_embedded_model_are_read_as_without() -> None:
    """It was tried, and was worse (decision 26)."""
    sample = unit(np.random.default_rng(3), 400)
    for calibration in IMAGE_CALIBRATIONS.values():
        assert (margins(sample, calibration) == margins(None, calibration)).all()


def test_two_samples_of_one_lake_make_the_same_but_for_two_steps() -> None:
    rng = np.random.default_rng(4)
    lake = unit(rng, 4000)
    lake[:, :2] = rng.normal(0.05, 0.065, size=(4000, 2))  # as the embedded model has it
    found = [margins(rng.permutation(lake)[:512]) for _ in range(10)]
    assert np.ptp(found, axis=0).max() <= 2.5 * background.STEP
    assert np.allclose(np.array(found) / background.STEP, np.round(np.array(found) / background.STEP))


def test_what_is_kept_comes_back_and_serves_its_own_model_only() -> None:
    vectors = unit(np.random.default_rng(5), LEAST)
    school = School.of(School(made_of="x", background=Own.of(vectors, "embed-1")).to_bytes())
    own = school.background.sample("embed-1")
    assert own is not None and np.abs(own / 127.0 - vectors).max() < 0.005
    assert school.background.sample("embed-2") is None
    assert school.digest and school.uncorrected.digest == school.digest
    assert Own.of(vectors[1:], "embed-1") == NO_SAMPLE, "too few"


@pytest.mark.parametrize(
    "torn", [b'"rows": "AAAA"', b'"rows": "AAA"', b'"rows": 7', b'"dim": 0', b'"dim": -1', b'"dim": "x"']
)
def test_a_torn_one_is_none(torn: bytes) -> None:
    raw = School(background=Own.of(unit(np.random.default_rng(6), LEAST), "embed-1")).to_bytes()
    name = torn.partition(b":")[0]
    start = raw.index(name)
    end = min(at for at in (raw.find(b",", start), raw.find(b"}", start)) if at > 0)
    assert School.of(raw[:start] + torn + raw[end:]) == School()


def test_samples_of_other_models_do_not_meet() -> None:
    rng = np.random.default_rng(7)
    first = background.pack(unit(rng, LEAST))
    both = background.together(first, background.pack(rng.normal(size=(50, 8)) / 9))
    assert both is not None and both.shape == (LEAST, DIM)
    assert background.together(None, first[1:]) is None
    assert background.shipped("somebody/else's model") is None
    ours = background.shipped("all-MiniLM-L6-v2")
    assert ours is not None and len(ours) >= LEAST


def test_vectors_that_are_no_numbers_are_left_out() -> None:
    vectors = unit(np.random.default_rng(1), LEAST + 1)
    whole = Own.of(vectors[1:], "embed")
    vectors[0] = np.nan
    assert Own.of(vectors, "embed") == whole
    assert Own.of(vectors[:LEAST], "embed") == Own(), "what is left is too few"
