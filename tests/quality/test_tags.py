"""Would a person nod at the tags? Real photos and texts through the embedded models and the shipped taxonomy.

``expected`` is what somebody would look for; ``fine`` is also true. Everything else that is said is wrong. Prompts
and thresholds were chosen looking at these photos and at about fifty others (wallpapers, samples of other packages);
the texts below were written and picked afterwards. Run with ``-s`` to see the table.
"""

from __future__ import annotations

import email
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lakewatchd.config import DecodeConfig, ModelConfig
from lakewatchd.core.asset import Kind
from lakewatchd.media.document import passages
from lakewatchd.models.base import Role
from lakewatchd.models.clip import ClipModel
from lakewatchd.models.resolve import resolve
from lakewatchd.models.text import PassageModel
from lakewatchd.models.yolox import YoloxDetector
from lakewatchd.stages.zero_shot import Evidence, Scorer, Verdict, prompts
from lakewatchd.taxonomy import parse

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Sample:
    what: str
    expected: str = ""
    fine: str = ""
    category: str = ""
    """Categories a person would accept, comma-separated."""
    text: str = ""


PHOTOS = (
    Sample("skimage/data/astronaut.png", "people", "space, costume", "people, science"),
    Sample("skimage/data/brick.png", "", "architecture", "photos, city"),
    Sample("skimage/data/camera.png", "people", "selfie", "people"),
    Sample("skimage/data/cell.png", "microscope", "biology, medicine", "science, photos"),
    Sample("skimage/data/chelsea.png", "cat", "", "pets"),
    Sample("skimage/data/chessboard_RGB.png", "", "chess", "photos, sports, art"),
    Sample("skimage/data/clock_motion.png", "clock", "", "home, photos"),
    Sample("skimage/data/coffee.png", "coffee, cup", "food, tea, restaurant", "food"),
    Sample("skimage/data/coins.png", "", "bank", "photos"),
    Sample("skimage/data/color.png", "", "", "photos, art"),
    Sample("skimage/data/grass.png", "meadow", "garden", "nature, photos"),
    Sample("skimage/data/gravel.png", "", "", "nature, photos"),
    Sample("skimage/data/horse.png", "horse", "drawing", "pets, animals, photos, art"),
    Sample("skimage/data/hubble_deep_field.jpg", "space", "telescope", "science, photos"),
    Sample("skimage/data/ihc.png", "microscope", "medicine, biology", "science, photos"),
    Sample("skimage/data/logo.png", "", "snake, drawing", "photos, art, animals"),
    Sample("skimage/data/microaneurysms.png", "", "medicine, microscope", "science, photos"),
    Sample("skimage/data/moon.png", "space", "telescope", "science, photos"),
    Sample("skimage/data/motorcycle_left.png", "motorcycle", "people", "vehicles"),
    Sample("skimage/data/motorcycle_right.png", "motorcycle", "people", "vehicles"),
    Sample("skimage/data/page.png", "", "book, letter", "documents, photos"),
    Sample("skimage/data/phantom.png", "", "medicine", "science, photos"),
    Sample("skimage/data/retina.jpg", "medicine", "", "science, photos"),
    Sample("skimage/data/rocket.jpg", "rocket", "space", "science, vehicles"),
    Sample("skimage/data/text.png", "", "book, mathematics", "documents, photos"),
    Sample("sklearn/datasets/images/china.jpg", "palace", "temple, architecture, monument, castle", "travel, city"),
    Sample("sklearn/datasets/images/flower.jpg", "flower", "plant, garden", "nature"),
    Sample("matplotlib/mpl-data/sample_data/grace_hopper.jpg", "people", "suit, costume", "people"),
)

READMES = (
    Sample("scipy", "computing", "mathematics, physics, chemistry, manual", "science, documents"),
    Sample("pytest", "computing", "manual", "science, documents"),
    Sample("mypy", "computing", "manual, licence", "science, documents"),
    Sample("torch", "computing", "machine learning, manual", "science, documents"),
    Sample("open_clip_torch", "machine learning", "computing, manual", "science, documents"),
)

LICENCES = ("numpy", "scipy", "torch", "hypothesis", "rich", "watchdog")

TEXTS = (
    Sample("risotto", "recipe", "food, wine, soup", "food", (
        "Mushroom risotto for four. Soak the dried porcini in warm water. Soften a chopped onion in butter, stir in "
        "the rice, add white wine and then ladle after ladle of hot stock. Finish with parmesan, pepper and parsley.")),
    Sample("bill", "invoice", "bank, tax, receipt", "documents", (
        "INVOICE 4471. Date: 3 March. To: Green Valley Gardens Ltd. Hedge trimming, 6 h at 35.00: 210.00. Disposal: "
        "40.00. Subtotal 250.00, VAT 47.50. Total due 297.50, payable by bank transfer within 30 days.")),
    Sample("lease", "contract", "law, insurance", "documents, work, home", (
        "Lease agreement between the owner and the lessee of the apartment on the second floor. The lease starts on "
        "1 June and runs for two years. The deposit is two monthly rents. Subletting needs the owner's consent.")),
    Sample("board", "meeting", "report, bank", "work, documents", (
        "Minutes of the board meeting of 12 May. Present: all five members. The chair opened the meeting at 9:00. "
        "The budget was approved. Action: the treasurer presents new offers at the next meeting in June.")),
    Sample("letter from hospital", "medicine", "letter, report, biology", "science, documents", (
        "Discharge summary. The patient was treated for pneumonia with intravenous antibiotics for five days. Fever "
        "and cough improved. X-ray control in four weeks. Continue inhaler twice daily.")),
    Sample("sonnet 130", "poem", "music, lyrics", "documents, art, music, people", (
        "My mistress' eyes are nothing like the sun;\nCoral is far more red than her lips' red;\nIf snow be white, "
        "why then her breasts are dun;\nIf hairs be wires, black wires grow on her head.")),
    Sample("rome", "itinerary", "flight, hotel, ruins, church, luggage", "travel, documents", (
        "Friday: flight to Rome, bus to the hotel near Termini. Saturday: Colosseum and Forum in the morning, "
        "Trastevere for dinner. Sunday: Vatican museums, then the evening plane home.")),
    Sample("chess", "chess", "", "sports", (
        "White opened with the queen's gambit. After an exchange of bishops Black castled too early, lost a pawn on "
        "the king's side and resigned after the thirty-first move of the game.")),
    Sample("frog prince", "story", "family, frog, sea", "documents, people, animals, home, photos", (
        "In old times when wishing still helped, there lived a king whose daughters were all beautiful. Close by the "
        "castle lay a great dark forest, and in it under a lime tree was a well, where the youngest played.")),
    Sample("placeholder", "", "", "documents", (
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore.")),
    Sample("shopping", "", "food, recipe, vegetable, bread", "documents, food, home", (
        "Tuesday: batteries, light bulbs, two loaves, washing powder. Ring Tom about the ladder.")),
    Sample("readings", "", "mathematics, statistics, physics", "documents, science", (
        "17.2 0.4 118\n3.3 9 1e-4\n7 7 8 0.01\n")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    sample: Sample
    verdict: Verdict

    @property
    def said(self) -> set[str]:
        return {tag.name for tag in self.verdict.tags}

    @property
    def wrong(self) -> set[str]:
        return self.said - _split(self.sample.expected) - _split(self.sample.fine)

    @property
    def missed(self) -> set[str]:
        return _split(self.sample.expected) - self.said

    @property
    def has_category(self) -> bool:
        return self.verdict.category in _split(self.sample.category)


class Judge:
    """The embedded models and the shipped taxonomy, as the daemon uses them."""

    def __init__(self, model_dir: Path) -> None:
        specs = resolve(ModelConfig(), model_dir).specs
        self._image = ClipModel(specs[Role.IMAGE_TEXT].location, "cpu", 1)
        self._text = PassageModel(specs[Role.TEXT].location, "cpu", 1)
        self._detector = YoloxDetector(specs[Role.DETECTOR].location, 1)
        taxonomy = parse(REPOSITORY / "etc" / "taxonomy.toml")
        texts = prompts(taxonomy)
        family = specs[Role.IMAGE_TEXT].info.name
        self._scorer = Scorer(
            taxonomy, _batched(self._image.embed_texts, texts), _batched(self._text.embed, texts), family
        )

    def photo(self, sample: Sample) -> Judged:
        pixels = _pixels(sample.what)
        evidence = Evidence(
            Kind.IMAGE,
            image_vectors=tuple(self._image.embed_pictures([pixels])),
            objects=self._detector.detect([pixels])[0],
        )
        return Judged(sample, self._scorer.score(evidence))

    def text(self, sample: Sample) -> Judged:
        config = DecodeConfig()
        cuts = list(passages(sample.text, config.passage_chars, config.passage_overlap))[:15]
        vectors = _batched(self._text.embed, [sample.text[start:end] for start, end in cuts])
        return Judged(sample, self._scorer.score(Evidence(Kind.DOCUMENT, passage_vectors=tuple(vectors))))


@pytest.fixture(scope="module")
def judge() -> Judge:
    model_dir = Path(os.environ.get("LAKEWATCHD_TEST_MODELS", REPOSITORY / ".cache" / "models")).resolve()
    if resolve(ModelConfig(), model_dir).problems:
        pytest.skip(f"the embedded models are not in {model_dir}: run scripts/fetch-models")
    return Judge(model_dir)


def test_tags_of_photos(judge: Judge) -> None:
    judged = [judge.photo(sample) for sample in PHOTOS if _file(sample.what)]
    assert len(judged) >= 20, "the packages with the photos are missing: pip install 'lakewatchd[dev]'"
    precision, recall, categories = _report("photos", judged)
    assert precision >= 0.9
    assert recall >= 0.5  # microscopes, galaxies and silhouettes are beyond a model of ImageNet classes
    assert categories >= 0.9


def test_tags_of_texts(judge: Judge) -> None:
    readmes = [Sample(s.what, s.expected, s.fine, s.category, _readme(s.what)) for s in READMES if _readme(s.what)]
    judged = [judge.text(sample) for sample in (*TEXTS, *readmes, *_licences())]
    precision, recall, categories = _report("texts", judged)
    assert precision >= 0.9
    assert recall >= 0.7
    assert categories >= 0.9


def _report(title: str, judged: list[Judged]) -> tuple[float, float, float]:
    """Prints a table; returns the share of said tags that are right, of expected ones said, of good categories."""
    print(f"\n{title:24} {'category':12} tags")
    for one in judged:
        said = ", ".join(f"{tag.name} {tag.score:.2f}" for tag in one.verdict.tags)
        notes = [
            f"{word}: {', '.join(sorted(tags))}"
            for word, tags in (("WRONG", one.wrong), ("missed", one.missed))
            if tags
        ]
        mark = "" if one.has_category else "!"
        print(f"{Path(one.sample.what).name:24} {mark + one.verdict.category:12} {said:40} {'; '.join(notes)}")
    said_count = sum(len(one.said) for one in judged)
    expected = sum(len(_split(one.sample.expected)) for one in judged)
    precision = 1 - sum(len(one.wrong) for one in judged) / max(said_count, 1)
    recall = 1 - sum(len(one.missed) for one in judged) / max(expected, 1)
    categories = sum(one.has_category for one in judged) / len(judged)
    print(f"{len(judged)} {title}: precision {precision:.2f} of {said_count}, recall {recall:.2f} of {expected}, "
          f"category {categories:.2f}")  # fmt: skip
    return precision, recall, categories


def _split(names: str) -> set[str]:
    return {name.strip() for name in names.split(",") if name.strip()}


def _batched(embed: object, texts: list[str]) -> NDArray[np.float32]:
    assert callable(embed)
    return np.concatenate([embed(texts[at : at + 32]) for at in range(0, len(texts), 32)])


def _file(name: str) -> Path | None:
    package, _, rest = name.partition("/")
    spec = importlib.util.find_spec(package)
    path = Path(spec.submodule_search_locations[0]) / rest if spec and spec.submodule_search_locations else None
    return path if path and path.exists() else None


def _pixels(name: str) -> NDArray[np.uint8]:
    from PIL import Image

    path = _file(name)
    assert path is not None
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _readme(package: str) -> str:
    try:
        raw = importlib.metadata.distribution(package).read_text("METADATA")
    except importlib.metadata.PackageNotFoundError:
        return ""
    return str(email.message_from_string(raw or "").get_payload())


def _licences() -> Iterator[Sample]:
    for package in LICENCES:
        for file in importlib.metadata.files(package) or ():
            if file.name.startswith("LICENSE") and file.suffix in ("", ".txt"):
                text = Path(str(file.locate())).read_text(errors="replace")
                yield Sample(f"{package} {file.name}", "licence", "law, contract, computing", "documents", text)
                break
