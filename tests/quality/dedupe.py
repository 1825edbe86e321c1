"""How well near-duplicates are told from look-alikes: precision and recall for each thing people do to a file.

    python -m tests.quality.dedupe [--quick]

Each row is one transform: of every original a copy is made, and of every group of look-alikes (bursts, moments of a
film, pages of one letterhead) too. Recall: originals that are paired with their copy. Precision: of all pairs that are
told, those that are true; pairs with copies of other originals and of look-alikes are the false ones. Beside it, in the
same run: plain pHash (imagehash, distance up to 10), and imagededup with its default where that is installed (its CNN
fetches weights from the network, and is left out). Originals come from packages; those that thresholds were tuned on
are not among them.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakewatchd.core.asset import Kind
from lakewatchd.core.content import Content
from lakewatchd.core.content import Picture as Pixels
from lakewatchd.media import near
from lakewatchd.media.decode import LONG_PX, SHORT_PX, fit
from tests.quality import originals
from tests.quality.originals import Picture

Mark = Any
"""What a method keeps of a picture."""


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    mark: Callable[[Picture], Mark]
    is_same: Callable[[Mark, Mark], bool]


@dataclass(frozen=True, slots=True)
class Score:
    true: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        return self.true / (self.true + self.false) if self.true + self.false else 1.0

    @property
    def recall(self) -> float:
        return self.true / (self.true + self.missed)


def signature(image: Picture) -> bytes | None:
    """As the decoder makes it."""
    seen = image.resize(fit(image.size, short=SHORT_PX, long=LONG_PX))
    return near.of_content(Kind.IMAGE, Content(picture=Pixels(*seen.size, seen.tobytes())), "")


def are_near(kind: Kind, one: bytes | None, other: bytes | None) -> bool:
    """As the index decides: they are compared if a key is shared."""
    if one is None or other is None:
        return False
    return near.keys(kind, one).meet(near.keys(kind, other)) and near.is_same(kind, one, other)


OURS = Method("lakewatchd", signature, lambda one, other: are_near(Kind.IMAGE, one, other))


def peers() -> list[Method]:
    import imagehash

    found = [Method("pHash", imagehash.phash, lambda one, other: bool(one - other <= 10))]
    try:
        import numpy as np
        from imagededup.methods import PHash  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return found
    hasher = PHash(verbose=False)

    def distance(one: str, other: str) -> bool:
        return (int(one, 16) ^ int(other, 16)).bit_count() <= 10

    found.append(Method("imagededup PHash", lambda image: hasher.encode_image(image_array=np.asarray(image)), distance))
    return found


def scores(
    methods: Mapping[Method, tuple[Mapping[str, Mark], Mapping[str, Sequence[Mark]]]],
    photos: Mapping[str, Picture],
    alikes: Mapping[str, Sequence[Picture]],
    apply: Callable[[Picture, random.Random], Picture],
) -> list[Score]:
    """Of each method, on the copies that ``apply`` makes. With each come its marks of the originals."""
    draw = random.Random(1)
    copies = {name: apply(image, draw) for name, image in photos.items()}
    copies_of_alikes = {name: [apply(image, draw) for image in group] for name, group in alikes.items()}
    found = []
    for method, (marks, marks_of_alikes) in methods.items():
        true = false = 0
        for name, copy in ((name, method.mark(copy)) for name, copy in copies.items()):
            told = {other for other, mark in marks.items() if method.is_same(mark, copy)}
            true += name in told
            false += len(told - {name})
        for name, group in copies_of_alikes.items():
            for at, copy in enumerate(map(method.mark, group)):
                others = (mark for place, mark in enumerate(marks_of_alikes[name]) if place != at)
                false += sum(method.is_same(mark, copy) for mark in others)
        found.append(Score(true, false, len(photos) - true))
    return found


def marks_of(
    method: Method, photos: Mapping[str, Picture], alikes: Mapping[str, Sequence[Picture]]
) -> tuple[dict[str, Mark], dict[str, list[Mark]]]:
    marks = {name: method.mark(image) for name, image in photos.items()}
    return marks, {name: [method.mark(image) for image in group] for name, group in alikes.items()}


def text_scores(shares: Sequence[float]) -> dict[str, Score]:
    """By share of words replaced. Other chapters of the same books are the look-alikes."""
    texts, draw = originals.texts(), random.Random(3)
    marks, found = [near.text.make(text) for text in texts], {}
    for share in shares:
        true = false = 0
        for at, text in enumerate(texts):
            copy = near.text.make(originals.edited(text, share, draw))
            told = [other for other, mark in enumerate(marks) if are_near(Kind.DOCUMENT, mark, copy)]
            true += at in told
            false += len(told) - (at in told)
        found[f"{share:.0%} of words"] = Score(true, false, len(texts) - true)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the peers")
    quick = parser.parse_args().quick
    photos, alikes = originals.photos(), originals.look_alikes()
    pairs = sum(len(group) * (len(group) - 1) for group in alikes.values()) + len(photos) * (len(photos) - 1)
    print(f"{len(photos)} pictures, {len(alikes)} groups of look-alikes: {pairs} false pairs in a row\n")
    methods = {method: marks_of(method, photos, alikes) for method in [OURS, *([] if quick else peers())]}
    print("| precision / recall | " + " | ".join(method.name for method in methods) + " |")
    print("|---|" + "---|" * len(methods))
    for transform, apply in originals.TRANSFORMS.items():
        told = scores(methods, photos, alikes, apply)
        print(f"| {transform} | " + " | ".join(f"{score.precision:.3f} / {score.recall:.2f}" for score in told) + " |")
    for share, score in text_scores((0.01, 0.05, 0.1, 0.2)).items():
        print(f"| text, {share} | {score.precision:.3f} / {score.recall:.2f} |" + " |" * (len(methods) - 1))


if __name__ == "__main__":
    main()
