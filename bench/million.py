"""A lake of a million assets that nobody has to index: photos, films, recordings and documents, made up by columns.

Vectors lie in clusters of clusters, as those of real models do: a thousand subjects around one common direction, each
with variations along few directions, and noise. Words follow Zipf's law; tags, dates and places have their favourites.
The same seed makes the same lake. Rows go in below the writer, whose maintenance then indexes them as it would any.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lakewatchd.lake.schema import ASSETS, GOLD, LINEAGE, OCCURRENCES, SPANS, Dims, TableSpec
from lakewatchd.lake.store import Store

DIMS = Dims(image=512, text=384)
IMAGE_MODEL, TEXT_MODEL = "embed/2/bench", "embed/2/bench"
KINDS = ("image", "video", "audio", "document")
SHARES = (0.72, 0.08, 0.05, 0.15)
PIECES = {"image": 1, "video": 4, "audio": 6, "document": 4}
"""Spans of each: a picture, clips, stretches of speech, passages."""
PASSAGE_WORDS = 60
_AT_ONCE = 16_384
"""Rows per fragment, as maintenance leaves them."""
_EPOCH = np.datetime64("2005-01-01T00:00:00", "us")
_DAYS = 20 * 365


@dataclass(slots=True)
class World:
    """What assets are about, and what they are told with."""

    rng: np.random.Generator
    subjects: dict[str, np.ndarray]
    ways: dict[str, np.ndarray]
    vocabulary: np.ndarray
    tags: np.ndarray
    places: list[tuple[str, str]]

    @classmethod
    def made(cls, seed: int = 1) -> World:
        rng = np.random.default_rng(seed)
        subjects, ways = {}, {}
        for name, dim in (("image", DIMS.image), ("text", DIMS.text)):
            common = _unit(rng.standard_normal(dim))
            themes = _unit(rng.standard_normal((60, dim)))
            subjects[name] = _unit(
                common + themes[rng.integers(0, 60, 1500)] + 0.9 * _unit(rng.standard_normal((1500, dim)))
            )
            ways[name] = _unit(rng.standard_normal((96, dim)))
        syllables = [a + b for a in "bdfgklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "in")]
        words = ["".join(rng.choice(syllables, rng.integers(2, 5))) for _ in range(60_000)]
        places = [(f"Country{n % 40}", f"City{n}") for n in range(400)]
        tags = np.array([f"tag{n}" for n in range(400)])
        return cls(rng, subjects, ways, np.array(list(dict.fromkeys(words))), tags, places)

    def vectors(self, space: str, about: np.ndarray) -> np.ndarray:
        """A unit vector for each subject in ``about``, no two alike."""
        strength = 1.0 / np.sqrt(1 + np.arange(len(self.ways[space])))
        along = self.rng.standard_normal((len(about), len(strength))).astype(np.float32) * strength.astype(np.float32)
        noise = self.rng.standard_normal((len(about), self.subjects[space].shape[1])).astype(np.float32)
        made = self.subjects[space][about] + 0.35 * along @ self.ways[space] + 0.012 * noise
        return np.asarray(_unit(made), np.float32)

    def words(self, count: int) -> list[str]:
        """By Zipf's law."""
        ranks = np.minimum(self.rng.zipf(1.2, count), len(self.vocabulary)) - 1
        return list(self.vocabulary[ranks])

    def texts(self, count: int, length: int) -> list[str]:
        words = self.words(count * length)
        return [" ".join(words[at : at + length]) for at in range(0, len(words), length)]


def _unit(values: np.ndarray) -> Any:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


async def fill(store: Store, world: World, start: int, stop: int, revision: int) -> None:
    """Put assets ``start`` to ``stop`` into every table; nothing is durable, and nothing indexed, yet."""
    for at in range(start, stop, _AT_ONCE):
        for spec, columns in rows(world, at, min(stop, at + _AT_ONCE)).items():
            table = _table(store, spec, columns, revision)
            for piece in range(0, len(table), _AT_ONCE):
                await store.append(spec, table.slice(piece, _AT_ONCE))


def rows(world: World, start: int, stop: int) -> dict[TableSpec, dict[str, Any]]:
    """The columns of every table of these assets; what is not named is empty."""
    count, rng = stop - start, world.rng
    ids = [asset_id(number) for number in range(start, stop)]
    kinds = rng.choice(KINDS, count, p=SHARES)
    about = np.minimum(rng.zipf(1.3, count), 1500) - 1
    images = world.vectors("image", about)
    dates = _EPOCH + (rng.beta(3, 1.2, count) * _DAYS * 86_400e6).astype("timedelta64[us]")
    tagged = [sorted({*world.tags[np.minimum(rng.zipf(1.4, 3), 400) - 1]}) for _ in range(count)]
    places = [world.places[at] for at in np.minimum(rng.zipf(1.3, count), 400) - 1]
    is_placed = rng.random(count) < 0.5
    titles = world.texts(count, 3)
    texts = [f"{t} {' '.join(g)} {more}" for t, g, more in zip(titles, tagged, world.texts(count, 25), strict=True)]
    paths = [f"{number % 997:03d}/{number}.jpg" for number in range(start, stop)]
    has_picture = kinds != "audio"
    gold = {
        "asset_id": ids, "kind": kinds, "title": titles, "category": [f"category{n % 12}" for n in about],
        "category_score": rng.random(count), "dated_at": dates, "dated_by": ["exif"] * count, "text": texts,
        "tags": [[{"name": name, "score": 0.5, "origin": "model"} for name in names] for names in tagged],
        "tag_names": tagged, "caption": [""] * count, "vector": _vectors(images, has_picture),
        "best_root": ["photos"] * count, "best_path": paths, "size_bytes": rng.integers(1e4, 1e8, count),
        "occurrences": [1] * count, "language": ["en"] * count,
        "country": [p[0] if b else "" for p, b in zip(places, is_placed, strict=True)],
        "city": [p[1] if b else "" for p, b in zip(places, is_placed, strict=True)],
        "duration_s": [60.0] * count, "duplicate_group": [""] * count, "is_representative": rng.random(count) < 0.95,
        "family": [""] * count,
    }  # fmt: skip
    silver = {
        "asset_id": ids, "kind": kinds, "mime": ["image/jpeg"] * count, "size_bytes": gold["size_bytes"],
        "title": titles, "exif": [[]] * count, "text_chars": [0] * count, "camera": ["Maker"] * count,
        "captured_from": ["exif"] * count, "embed_transform": [IMAGE_MODEL] * count,
    }  # fmt: skip
    occurrences = {
        "occurrence_id": [hashlib.blake2b(path.encode(), digest_size=16).hexdigest() for path in paths],
        "root": ["photos"] * count, "path_text": paths, "asset_id": ids, "kind": kinds, "mime": ["image/jpeg"] * count,
        "size_bytes": gold["size_bytes"], "mtime_ns": range(start, stop), "inode": range(start, stop),
        "device": [1] * count, "presence": ["present"] * count, "first_seen": [1.0] * count, "last_seen": [1.0] * count,
        "etag": [""] * count, "family": [""] * count,
    }  # fmt: skip
    lineage = {
        "run_id": [one[:32] for one in ids], "subject": ids, "stage": ["embed"] * count,
        "transform": [IMAGE_MODEL] * count, "started_at": [1.0] * count, "duration_s": [0.1] * count,
        "state": ["done"] * count, "detail": [""] * count,
    }  # fmt: skip
    return {SPANS: _spans(world, ids, kinds, about, images), ASSETS: silver, OCCURRENCES: occurrences, GOLD: gold,
            LINEAGE: lineage}  # fmt: skip


def _spans(world: World, ids: list[str], kinds: np.ndarray, about: np.ndarray, images: np.ndarray) -> dict[str, Any]:
    pieces = np.array([PIECES[kind] for kind in kinds])
    owner = np.repeat(np.arange(len(ids)), pieces)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    is_picture = np.isin(kinds[owner], ("image", "video"))
    pictures = world.vectors("image", about[owner])
    pictures[number == 0] = images
    names = {"image": "image", "video": "clip", "audio": "speech", "document": "passage"}
    said = iter(world.texts(int((~is_picture).sum()), PASSAGE_WORDS))
    seen = world.rng.choice(["dog", "cat", "person", "car", "boat"], len(owner))
    box = {"score": 0.7, "left": 0.1, "top": 0.1, "right": 0.6, "bottom": 0.7}
    return {
        "span_id": [f"{ids[one]}:{at:06d}" for one, at in zip(owner, number, strict=True)],
        "asset_id": [ids[one] for one in owner], "span": number, "kind": [names[kinds[one]] for one in owner],
        "text": ["" if picture else next(said) for picture in is_picture],
        "start_s": number * 10.0, "end_s": number * 10.0 + 10.0,
        "image_vector": _vectors(pictures, is_picture),
        "text_vector": _vectors(world.vectors("text", about[owner]), ~is_picture),
        "vector_transform": [IMAGE_MODEL] * len(owner),
        "objects": [[{"name": name, **box}] if yes else [] for name, yes in zip(seen, is_picture, strict=True)],
        "words": [[]] * len(owner),
    }  # fmt: skip


def asset_id(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=32).hexdigest()


def _vectors(values: np.ndarray, is_there: np.ndarray) -> pa.Array:
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(~is_there))


def _table(store: Store, spec: TableSpec, columns: dict[str, Any], revision: int) -> pa.Table:
    length = len(columns[next(iter(columns))])

    def column(field: pa.Field) -> pa.Array:
        if field.name == "revision":
            return pa.array([revision] * length, field.type)
        if field.name not in columns:
            return pa.nulls(length, field.type)
        values = columns[field.name]
        return values if isinstance(values, pa.Array) else pa.array(values, field.type)

    arrow = store.arrow(spec)
    return pa.Table.from_arrays([column(field) for field in arrow], schema=arrow)


def moment(when: np.datetime64) -> dt.datetime:
    made: dt.datetime = when.astype(dt.datetime)
    return made
