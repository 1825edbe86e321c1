"""Two signatures decide: real pictures and texts, copies of them, and what only looks the same. A part of
``python -m tests.quality.dedupe``, with floors."""

from __future__ import annotations

import itertools
import random

import pytest
from PIL import Image

from lakewatchd.core.asset import Kind
from lakewatchd.media import near
from lakewatchd.media.near import film, picture, text
from lakewatchd.media.scenes import signature as film_signature
from tests.quality import originals
from tests.quality.dedupe import OURS, are_near, signature
from tests.quality.originals import Picture


@pytest.fixture(scope="module")
def photos() -> dict[str, Picture]:
    chosen = ("astronaut", "chelsea", "coffee", "page", "rocket", "china", "flower", "grace_hopper")
    return {name: image for name, image in originals.photos().items() if name in chosen}


@pytest.mark.parametrize("transform", ["resize to a quarter", "JPEG 40", "WebP 50", "turned", "mirrored", "watermark"])
def test_a_copy_is_found_and_nothing_else(photos: dict[str, Picture], transform: str) -> None:
    draw, marks = random.Random(5), {name: signature(image) for name, image in photos.items()}
    for name, image in photos.items():
        copy = signature(originals.TRANSFORMS[transform](image, draw))
        assert [other for other, mark in marks.items() if are_near(Kind.IMAGE, mark, copy)] == [name]


def test_most_pictures_that_were_cut_are_found(photos: dict[str, Picture]) -> None:
    draw = random.Random(5)
    copies = [(image, originals.cut(image, share, draw)) for image in photos.values() for share in (0.05, 0.1, 0.15)]
    assert sum(OURS.is_same(signature(one), signature(other)) for one, other in copies) >= 0.7 * len(copies)


def test_pages_of_one_template_and_shots_of_one_burst_are_not_the_same(photos: dict[str, Picture]) -> None:
    draw = random.Random(5)
    groups = [list(originals.pages(4, draw)), list(originals.moved(photos["coffee"], draw))]
    for group in groups:
        for one, other in itertools.combinations(map(signature, group), 2):
            assert not are_near(Kind.IMAGE, one, other)


def test_which_comes_first_is_all_the_same(photos: dict[str, Picture]) -> None:
    draw = random.Random(5)
    copies = [originals.cut(image, 0.1, draw) for image in photos.values()]
    for one, other in itertools.product(map(signature, photos.values()), map(signature, copies)):
        assert one is not None and other is not None
        keys, others = near.keys(Kind.IMAGE, one), near.keys(Kind.IMAGE, other)
        assert keys.meet(others) == others.meet(keys)
        assert are_near(Kind.IMAGE, one, other) == are_near(Kind.IMAGE, other, one)


@pytest.mark.parametrize("colour", ["white", "black", (90, 120, 30)])
def test_a_blank_picture_has_no_signature(colour: str) -> None:
    assert picture.make(Image.new("RGB", (300, 200), colour)) is None


def test_what_a_decoder_sends_may_be_no_signature() -> None:
    for kind in near.KINDS:
        with pytest.raises(ValueError, match="signature"):
            near.keys(kind, b"seventeen bytes..")


def test_the_share_of_equal_numbers_is_the_share_of_common_pairs() -> None:
    draw = random.Random(1)
    words = [f"word{draw.randrange(2000)}" for _ in range(3000)]
    for share in (0.02, 0.1, 0.3):
        other = [draw.choice(words) if draw.random() < share else word for word in words]
        one, two = ({*itertools.pairwise(side)} for side in (words, other))
        estimated = (text._read(text.make(" ".join(words))) == text._read(text.make(" ".join(other)))).mean()
        assert estimated == pytest.approx(len(one & two) / len(one | two), abs=0.13)


def test_a_text_with_a_tenth_of_its_words_replaced_is_found() -> None:
    texts, draw = originals.texts(), random.Random(2)
    marks = [text.make(words) for words in texts]
    for at, words in enumerate(texts):
        copy = text.make(originals.edited(words, 0.1, draw))
        assert [other for other, mark in enumerate(marks) if are_near(Kind.DOCUMENT, mark, copy)] == [at]


def seen(start_s: float, count: int, seed: int, noise: int = 0, every_s: float = 4.0) -> list[tuple[float, int]]:
    """A film: hashes of scenes, every few seconds, with ``noise`` bits that an encoder changed."""
    draw, bits = random.Random(seed), random.Random(seed + noise)
    hashes = [draw.getrandbits(64) for _ in range(count + 40)]
    first = round(start_s / every_s)
    changed = [value ^ sum(1 << bit for bit in bits.sample(range(64), noise)) for value in hashes]
    return [(at * every_s, changed[first + at]) for at in range(count)]


def test_a_film_is_found_encoded_anew_and_trimmed_and_no_other_is() -> None:
    whole, other = film_signature(seen(0, 60, seed=1)), film_signature(seen(0, 60, seed=2))
    for copy in (seen(0, 60, 1, noise=4), seen(40, 30, 1, noise=3), seen(8, 10, 1, noise=2)):
        assert are_near(Kind.VIDEO, whole, film_signature(copy))
        assert are_near(Kind.VIDEO, film_signature(copy), whole)
        assert not are_near(Kind.VIDEO, other, film_signature(copy))


def test_two_hours_of_one_still_picture_are_compared_in_bounded_time_and_space() -> None:
    """Each moment of one is near to each of the other: millions of pairs, whose windows were sets of thousands."""
    one, other = ([(at + 0.001 * (at * at % step), 0x123456789ABCDEF) for at in range(1800)] for step in (7, 11))
    assert film.is_same(film_signature(one), film_signature(other))
    assert not film.is_same(film_signature(one), film_signature(other[:1500])), "a single scene, and not as long"


def test_two_talks_in_one_room_are_two_films() -> None:
    room = random.Random(9).getrandbits(64)
    one, other = ([(4.0 * at, room ^ (1 << at % 5)) for at in range(count)] for count in (60, 90))
    assert not film.is_same(film_signature(one), film_signature(other))
    assert film.is_same(film_signature(one), film_signature(one[:]))
