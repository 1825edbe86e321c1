"""Scoring: what is said, by whom, and above all what is not. Vectors are made so that the right answer is known."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lakewatchd.core.asset import Detected, Kind
from lakewatchd.stages.likeness import EMBEDDED
from lakewatchd.stages.teaching import Learned, School
from lakewatchd.stages.zero_shot import MAX_TAGS, Evidence, Scorer, Verdict, prompts
from lakewatchd.taxonomy import Category, Fallback, TagRule, Taxonomy, parse

Vectors = NDArray[np.float32]

ANIMALS = ("cat", "dog", "bird", "horse", "cow", "sheep")
TOPICS = ("cooking", "travel", "law", "music", "chess", "physics")
TAXONOMY = Taxonomy(
    (
        Category("animals", tuple(TagRule(name, looks=(f"a {name}",), objects=(name,)) for name in ANIMALS)),
        Category("topics", tuple(TagRule(name, about=(name,)) for name in TOPICS)),
        Category("papers", (TagRule("invoice", words=("invoice", "bill of sale")),)),
        Category("frames", (TagRule("screenshot", hint="screen-size"), TagRule("panorama", hint="panorama"))),
        Category("careful", (TagRule("clock", looks=("a clock",), objects=("clock",), threshold=0.95),)),
        Category("sea", (), looks=("the sea",)),
        Category("farm", (TagRule("tractor", looks=("a tractor",)),)),
    )
)
PROMPTS = prompts(TAXONOMY)
FAMILIES = (EMBEDDED, "ViT-B-16-SigLIP/webli")
BOX = (0.1, 0.1, 0.9, 0.9)


def axes(shared: float = 0.0) -> Vectors:
    """One direction per prompt, all leaning towards a common one by ``shared``, as CLIP's do."""
    vectors = np.eye(len(PROMPTS) + 1, dtype=np.float32)[:-1]
    vectors[:, -1] = shared
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def like(*texts: str, strength: float = 1.0, seed: int = 0) -> Vectors:
    """A vector that fits these prompts, over a little accident."""
    vector = np.random.default_rng(seed).normal(0, 0.05, len(PROMPTS) + 1)
    for text in texts:
        vector[PROMPTS.index(text)] += strength
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def exactly(cosine: float, text: str) -> Vectors:
    """A vector that fits one prompt so much, and no other."""
    vector = np.zeros(len(PROMPTS) + 1, np.float32)
    vector[PROMPTS.index(text)], vector[-1] = cosine, math.sqrt(1 - cosine**2)
    return vector


def saw(name: str, score: float) -> tuple[Detected, ...]:
    return (Detected(name, score, BOX),)


def names(verdict: Verdict) -> list[str]:
    return [tag.name for tag in verdict.tags]


@pytest.fixture(params=FAMILIES)
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return Scorer(TAXONOMY, axes(), axes(), request.param)


BLIND = Scorer(TAXONOMY, None, None)


def test_prompts_are_stable_unique_and_complete() -> None:
    assert prompts(TAXONOMY) == PROMPTS
    assert len(set(PROMPTS)) == len(PROMPTS)
    assert "a photo of a cat" in PROMPTS and "chess" in PROMPTS and "a photo of something" in PROMPTS
    assert not any("invoice" in text for text in PROMPTS)


def test_a_picture_says_what_it_shows(scorer: Scorer) -> None:
    verdict = scorer.score(Evidence(Kind.IMAGE, image_vectors=(like("a photo of a cat"),)))
    assert names(verdict) == ["cat"]
    assert verdict.tags[0].origin == "model"
    assert verdict.category == "animals" and verdict.category_score > 0.5


def test_a_picture_of_nothing_says_nothing(scorer: Scorer) -> None:
    doubtful = like("a photo of a texture", strength=1.5) + 0.7 * like("a photo of a cat")
    for vector in (like(), like("a photo of something"), doubtful / np.linalg.norm(doubtful)):
        verdict = scorer.score(Evidence(Kind.IMAGE, image_vectors=(vector,)))
        assert verdict == Verdict((), "unsorted", 0.0)


def test_a_category_can_fit_where_no_tag_does(scorer: Scorer) -> None:
    verdict = scorer.score(Evidence(Kind.IMAGE, image_vectors=(like("a photo of the sea"),)))
    assert (verdict.tags, verdict.category) == ((), "sea")


def test_a_text_says_what_it_is_about(scorer: Scorer) -> None:
    passages = tuple(like("chess", seed=seed) for seed in range(5))
    verdict = scorer.score(Evidence(Kind.DOCUMENT, passage_vectors=passages))
    assert names(verdict) == ["chess"] and verdict.category == "topics"


def test_one_stray_passage_does_not_make_a_topic(scorer: Scorer) -> None:
    passages = (like("chess"), *(like(seed=seed) for seed in range(1, 20)))
    assert scorer.score(Evidence(Kind.DOCUMENT, passage_vectors=passages)).category == "unsorted"


def test_pictures_inside_a_document_do_not_speak_for_it(scorer: Scorer) -> None:
    verdict = scorer.score(Evidence(Kind.DOCUMENT, image_vectors=(like("a photo of a cat"),)))
    assert verdict == Verdict((), "unsorted", 0.0)


@pytest.mark.parametrize(("score", "said"), [(0.3, []), (0.65, []), (0.8, ["dog"]), (0.95, ["dog"])])
def test_the_detector_alone_must_be_sure(score: float, said: list[str]) -> None:
    verdict = BLIND.score(Evidence(Kind.IMAGE, objects=saw("dog", score)))
    assert names(verdict) == said
    assert all(tag.origin == "detector" for tag in verdict.tags)


def test_two_weak_witnesses_agree() -> None:
    scorer = Scorer(TAXONOMY, axes(), None)
    weak = exactly(0.6, "a photo of a dog")
    alone = scorer.score(Evidence(Kind.IMAGE, image_vectors=(weak,)))
    both = scorer.score(Evidence(Kind.IMAGE, image_vectors=(weak,), objects=saw("dog", 0.65)))
    assert names(alone) == [] and names(both) == ["dog"]


def test_a_silent_detector_takes_weight_from_the_picture() -> None:
    scorer = Scorer(TAXONOMY, axes(), None)
    for cosine, unseen in ((0.72, []), (0.9, ["dog"])):
        vector = exactly(cosine, "a photo of a dog")
        assert names(scorer.score(Evidence(Kind.IMAGE, image_vectors=(vector,)))) == ["dog"]
        assert names(scorer.score(Evidence(Kind.IMAGE, image_vectors=(vector,), detected=True))) == unseen
    other = exactly(0.72, "a photo of a tractor")  # of what it cannot know, silence says nothing
    assert names(scorer.score(Evidence(Kind.IMAGE, image_vectors=(other,), detected=True))) == ["tractor"]


@pytest.mark.parametrize(("score", "said"), [(0.8, ["tiger"]), (0.95, ["tiger", "cat"])])
def test_a_tiger_is_no_cat_unless_there_is_clearly_one_too(score: float, said: list[str]) -> None:
    pets = Category("pets", (TagRule("cat", looks=("a cat",), objects=("cat",)),), resembles=("wild",))
    wild = Category("wild", tuple(TagRule(name, looks=(f"a {name}",)) for name in ("tiger", "wolf", "fox", "otter")))
    taxonomy = Taxonomy((pets, wild, *TAXONOMY.categories[2:]))
    texts = prompts(taxonomy)
    vectors = np.eye(len(texts), dtype=np.float32)
    picture = 0.98 * vectors[texts.index("a photo of a tiger")] + np.float32(0.01)
    seen = Evidence(Kind.IMAGE, image_vectors=(picture,), objects=saw("cat", score), detected=True)
    assert sorted(names(Scorer(taxonomy, vectors, None).score(seen))) == sorted(said)
    blurred = Evidence(Kind.IMAGE, image_vectors=(vectors.mean(0),), objects=saw("cat", score), detected=True)
    assert names(Scorer(taxonomy, vectors, None).score(blurred)) == ["cat"]


def test_places_need_less_likeness_than_things() -> None:
    def said(places: bool) -> list[str]:
        shore = Category(
            "shore", (TagRule("beach", looks=("a beach",)), TagRule("lake", looks=("a lake",))), places=places
        )
        taxonomy = Taxonomy((shore, *TAXONOMY.categories))
        texts = prompts(taxonomy)
        vectors = np.eye(len(texts) + 1, dtype=np.float32)[:-1]
        picture = 0.62 * vectors[texts.index("a photo of a lake")]
        picture[-1] = math.sqrt(1 - 0.62**2)
        return names(Scorer(taxonomy, vectors, None).score(Evidence(Kind.IMAGE, image_vectors=(picture,))))

    assert said(places=True) == ["lake"] and said(places=False) == []


EVERYDAY = {
    "person": "people", "dog": "dog", "cat": "cat", "horse": "horse", "bird": "bird", "cow": "cow", "sheep": "sheep",
    "elephant": "elephant", "bear": "bear", "zebra": "zebra", "giraffe": "giraffe", "car": "car", "truck": "truck",
    "bus": "bus", "train": "train", "bicycle": "bicycle", "motorcycle": "motorcycle", "boat": "boat",
    "airplane": "airplane", "pizza": "pizza", "cake": "cake", "donut": "cake", "sandwich": "food", "banana": "fruit",
    "apple": "fruit", "orange": "fruit", "broccoli": "vegetable", "carrot": "vegetable", "hot dog": "hot dog",
    "cup": "cup", "wine glass": "wine", "umbrella": "umbrella",
}  # fmt: skip


@pytest.mark.parametrize(("seen", "tag"), EVERYDAY.items())
def test_what_the_detector_sees_of_everyday_things_comes_through(seen: str, tag: str) -> None:
    shipped = parse(Path(__file__).parents[2] / "etc" / "taxonomy.toml")
    texts = prompts(shipped)
    blank = np.zeros((len(texts), 4), np.float32)
    for scorer in (Scorer(shipped, None, None), Scorer(shipped, blank, None)):
        picture = np.array([1, 0, 0, 0], np.float32)
        evidence = Evidence(Kind.IMAGE, image_vectors=(picture,), objects=saw(seen, 0.72), detected=True)
        assert tag in names(scorer.score(evidence))


def test_a_high_threshold_asks_for_a_second_witness() -> None:
    scorer = Scorer(TAXONOMY, axes(), None)
    assert names(scorer.score(Evidence(Kind.IMAGE, objects=saw("clock", 0.86)))) == []
    seen = Evidence(Kind.IMAGE, objects=saw("clock", 0.86), image_vectors=(like("a photo of a clock"),))
    assert names(scorer.score(seen)) == ["clock"]


def test_of_two_lookalikes_in_a_category_the_better_is_said(scorer: Scorer) -> None:
    vector = 1.0 * like("a photo of a cat") + 0.6 * like("a photo of a dog")
    verdict = scorer.score(Evidence(Kind.IMAGE, image_vectors=(vector / np.linalg.norm(vector),)))
    assert names(verdict) == ["cat"]


def test_underscored_detector_names_are_understood() -> None:
    taxonomy = Taxonomy((Category("city", (TagRule("street", objects=("traffic light",)),)),))
    verdict = Scorer(taxonomy, None, None).score(Evidence(Kind.IMAGE, objects=saw("traffic_light", 0.9)))
    assert names(verdict) == ["street"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("invoice.pdf", True),
        ("2023-INVOICE_117 (1).PDF", True),
        ("bill-of-sale.txt", True),
        ("invoices/holiday.pdf", False),
        ("invoiced.pdf", False),
        ("scan.invoice", False),
        (".invoice", True),
        ("", False),
        ("inv\noice.pdf", False),
        ("\udcff\udcfeinvoice\n.pdf", True),
        ("/", False),
    ],
)
def test_words_of_the_name_are_whole_words(name: str, said: bool) -> None:
    verdict = BLIND.score(Evidence(Kind.DOCUMENT, name=name))
    assert names(verdict) == (["invoice"] if said else [])
    assert all(tag.origin == "name" for tag in verdict.tags)


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("Camera", []),
        ("Camera Roll", []),
        ("camera_uploads", []),
        ("my camera collection", ["camera"]),
        ("Phone", []),
        ("old phones", []),
    ],
)
def test_where_files_come_from_is_not_what_they_show(folder: str, said: list[str]) -> None:
    rules = Taxonomy((Category("things", (TagRule("camera"), TagRule("phone"))),))
    verdict = Scorer(rules, None, None).score(Evidence(Kind.IMAGE, "image/jpeg", folders=("DCIM", folder)))
    assert names(verdict) == said


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (Evidence(Kind.IMAGE, "image/png", width=1920, height=1080), ["screenshot"]),
        (Evidence(Kind.IMAGE, "image/png", width=1170, height=2532), ["screenshot"]),
        (Evidence(Kind.IMAGE, "image/png", width=1920, height=1081), []),
        (Evidence(Kind.IMAGE, "image/jpeg", width=1920, height=1080), []),
        (Evidence(Kind.IMAGE, "image/png", width=1920, height=1080, camera="Leica"), []),
        (Evidence(Kind.IMAGE, "image/png", width=700, height=333, software="gnome-screenshot"), ["screenshot"]),
        (Evidence(Kind.IMAGE, "image/heic", width=700, height=333, software="17.1 Screenshot"), ["screenshot"]),
        (Evidence(Kind.IMAGE, "image/jpeg", width=700, height=333, camera="Leica", software="Screenshot"), []),
        (Evidence(Kind.IMAGE, "image/png", width=700, height=333, software="Adobe Photoshop 25.0"), []),
        (Evidence(Kind.IMAGE, "image/png"), []),
        (Evidence(Kind.IMAGE, "image/jpeg", width=9000, height=2000, camera="Leica"), ["panorama"]),
        (Evidence(Kind.IMAGE, "image/jpeg", width=9000, height=2000), []),
        (Evidence(Kind.IMAGE, "image/jpeg", width=9000, height=0, camera="Leica"), []),
    ],
)
def test_frames(evidence: Evidence, said: list[str]) -> None:
    assert names(BLIND.score(evidence)) == said


@pytest.mark.parametrize("kind", Kind)
def test_without_any_evidence_the_kind_decides(kind: Kind) -> None:
    assert BLIND.score(Evidence(kind)) == Verdict((), Fallback().of(kind), 0.0)
    empty = Scorer(Taxonomy(), np.zeros((len(prompts(Taxonomy())), 4), np.float32), None)
    assert empty.score(Evidence(kind, image_vectors=(np.ones(4, np.float32),))).category == Fallback().of(kind)


def test_at_most_eight_tags_the_best_first() -> None:
    rules = tuple(TagRule(f"tag {n}", objects=("dog",), threshold=0.1 + n / 20) for n in range(15))
    verdict = Scorer(Taxonomy((Category("many", rules),)), None, None).score(
        Evidence(Kind.IMAGE, objects=saw("dog", 0.9))
    )
    assert names(verdict) == [f"tag {n}" for n in range(MAX_TAGS)]
    assert verdict.tags == tuple(sorted(verdict.tags, key=lambda tag: -tag.score))


def test_a_common_direction_of_all_prompts_changes_nothing() -> None:
    """CLIP's texts all look alike to a stranger: only differences count."""
    scorer = Scorer(TAXONOMY, axes(shared=2.0), None, FAMILIES[1])
    vector = like("a photo of a cow")
    vector[-1] = 1.5
    vector /= np.linalg.norm(vector)
    assert names(scorer.score(Evidence(Kind.IMAGE, image_vectors=(vector,)))) == ["cow"]


def test_vectors_of_another_taxonomy_are_refused() -> None:
    with pytest.raises(ValueError, match="prompts"):
        Scorer(TAXONOMY, axes()[:-1], None)


vectors = hnp.arrays(
    np.float32, len(PROMPTS) + 1, elements=st.floats(-1, 1, width=32) | st.sampled_from([math.nan, math.inf, 0.0])
)


@given(
    kind=st.sampled_from(Kind),
    images=st.lists(vectors, max_size=3),
    passages=st.lists(vectors, max_size=3),
    name=st.text(max_size=40),
    score=st.floats(0, 1),
    size=st.tuples(st.none() | st.integers(0, 10**9), st.none() | st.integers(0, 10**9)),
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")  # infinities are meant
def test_whatever_comes_the_verdict_is_sane(
    kind: Kind,
    images: list[Vectors],
    passages: list[Vectors],
    name: str,
    score: float,
    size: tuple[int | None, int | None],
) -> None:
    vectors, texts = tuple(images), tuple(passages)
    evidence = Evidence(
        kind, "image/png", name, *size, vectors, texts, saw("cat", score), name, (name, "cat"), name, detected=True
    )
    scorer = Scorer(TAXONOMY, axes(), axes())
    verdict = scorer.score(evidence)
    assert verdict == scorer.score(evidence)
    assert len(verdict.tags) <= MAX_TAGS
    assert all(0.5 <= tag.score < 1 for tag in verdict.tags)
    assert len(set(names(verdict))) == len(verdict.tags)
    assert 0 <= verdict.category_score <= 1
    assert (verdict.category_score == 0) == (verdict.category == Fallback().of(kind))


@pytest.mark.parametrize("is_taught", [False, True])
@given(seed=st.integers(0, 2**32), order=st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_one_and_many_and_any_order_are_judged_alike(is_taught: bool, seed: int, order: Random) -> None:
    rng = np.random.default_rng(seed)
    school = School(*(Learned(("dog", "grandpa"), axes()[0], axes()[3:5] * 4.0) for _ in range(2 * is_taught)))
    scorer = Scorer(TAXONOMY, axes(0.2), axes(), school=school)
    all_evidence = [anything(rng) for _ in range(40)]
    verdicts = scorer.score_many(all_evidence)
    assert [scorer.score(evidence) for evidence in all_evidence] == verdicts
    shuffled = order.sample(range(40), 40)
    assert scorer.score_many([all_evidence[at] for at in shuffled]) == [verdicts[at] for at in shuffled]
    assert any(verdict.tags for verdict in verdicts)


def anything(rng: np.random.Generator) -> Evidence:
    def some(strength: float) -> tuple[Vectors, ...]:
        chosen = (rng.choice(PROMPTS, 2) for _ in range(rng.integers(3)))
        return tuple(like(*texts, strength=strength, seed=int(rng.integers(99))) for texts in chosen)

    objects = [saw(str(rng.choice((*ANIMALS, "clock", "tie"))), rng.uniform(0.3, 1.0)) for _ in range(rng.integers(4))]
    return Evidence(
        list(Kind)[rng.integers(len(Kind))],
        "image/png",
        f"{rng.choice(['IMG', 'dog', 'invoice'])}_{rng.integers(9)}.png",
        *(1920, 1080),
        *(some(rng.uniform(0.05, 1.5)), some(rng.uniform(0.05, 1.5))),
        tuple(box for boxes in objects for box in boxes),
        folders=(str(rng.choice(["cat", "2021"])),),
        camera=str(rng.choice(["", "Maker"])),
        detected=bool(rng.integers(2)),
    )
