"""The embedded models on real photos: right enough to be useful, and exact where exactness is promised."""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from lakewatchd import errors
from lakewatchd.config import ModelConfig
from lakewatchd.core.asset import Detected
from lakewatchd.core.content import Picture
from lakewatchd.models.base import Role
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import resolve

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]  # loading takes seconds: once

PHOTOS = {
    "a cat": "skimage/chelsea.png",
    "a cup of coffee": "skimage/coffee.png",
    "a rocket launch": "skimage/rocket.jpg",
    "coins": "skimage/coins.png",
    "a page of text": "skimage/page.png",
    "a temple in China": "sklearn/china.jpg",
    "a flower": "sklearn/flower.jpg",
    "a brick wall": "skimage/brick.png",
}


def photo(name: str, longest: int = 448) -> Picture:
    import skimage
    import sklearn.datasets

    folders = {
        "skimage": Path(skimage.__file__).parent / "data",
        "sklearn": Path(sklearn.datasets.__file__).parent / "images",
    }
    library, _, file = name.partition("/")
    with Image.open(folders[library] / file) as image:
        rgb = image.convert("RGB")
    rgb.thumbnail((longest, longest))
    return Picture(*rgb.size, rgb.tobytes())


def noise(width: int, height: int) -> Picture:
    return Picture(width, height, random.Random(width * height).randbytes(width * height * 3))


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return ModelConfig(batch=8)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inference(config: ModelConfig, model_dir: Path):
    inference = Inference(config, resolve(config, model_dir))
    yield inference
    await inference.close()


async def test_all_embedded_models_are_there(config: ModelConfig, model_dir: Path):
    resolved = resolve(config, model_dir)
    assert resolved.problems == ()
    assert set(resolved.specs) == set(Role)


async def test_photos_are_found_by_words(inference: Inference):
    photos = await asyncio.gather(*(inference.embed_picture(photo(name)) for name in PHOTOS.values()))
    words = await inference.embed_texts(list(PHOTOS))
    similar = words @ np.array(photos, np.float32).T
    assert similar.argmax(1).tolist() == list(range(len(PHOTOS)))


async def test_vectors_have_unit_length_and_the_promised_size(inference: Inference):
    picture = await inference.embed_picture(photo("skimage/chelsea.png"))
    text = await inference.embed_text("a cat")
    passage = await inference.embed_passage("The cat sat on the mat.")
    for vector, role in ((picture, Role.IMAGE_TEXT), (text, Role.IMAGE_TEXT), (passage, Role.TEXT)):
        info = inference.info(role)
        assert info is not None and len(vector) == info.dim
        assert math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-5)


async def test_a_vector_does_not_depend_on_its_company(inference: Inference):
    """Bit for bit on a CPU: the lake is the same, whatever came in together."""
    pictures = [photo(name) for name in PHOTOS.values()]
    alone = [await inference.embed_picture(picture) for picture in pictures]
    together = await asyncio.gather(*(inference.embed_picture(picture) for picture in reversed(pictures)))
    assert alone == list(reversed(together))
    passages = ["short", "A passage of some more words than the other one. " * 10, ""]
    assert [await inference.embed_passage(p) for p in passages] == [
        tuple(row) for row in (await inference.embed_passages(passages)).tolist()
    ]


async def test_prompts_in_a_batch_agree_with_prompts_alone(inference: Inference):
    texts = ["a cat", "a photo of a very long street in the old town on a rainy day in autumn", ""]
    together = await inference.embed_texts(texts)
    alone = np.array([await inference.embed_text(text) for text in texts], np.float32)
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (3, 5000), (223, 225), (2, 1), (1, 4000)])
async def test_pictures_of_odd_sizes(inference: Inference, size: tuple[int, int]):
    vector = await inference.embed_picture(noise(*size))
    assert math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-5)
    for found in await inference.detect(noise(*size)):
        assert_inside(found)


def assert_inside(found: Detected) -> None:
    left, top, right, bottom = found.box
    assert 0 <= left <= right <= 1 and 0 <= top <= bottom <= 1
    assert 0.5 <= found.score <= 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [("skimage/astronaut.png", "person"), ("skimage/chelsea.png", "cat"), ("skimage/coffee.png", "cup")],
)
async def test_objects_are_found_in_photos(inference: Inference, name: str, expected: str):
    found = await inference.detect(photo(name, longest=512))
    assert found[0].name == expected
    for object_ in found:
        assert_inside(object_)


async def test_a_box_is_where_the_object_is(inference: Inference):
    """The same photo, pasted into one corner of a larger one: the box moves along."""
    astronaut = photo("skimage/astronaut.png", longest=300)
    canvas = Image.new("RGB", (600, 400), (90, 90, 90))
    canvas.paste(Image.frombytes("RGB", (astronaut.width, astronaut.height), astronaut.pixels), (300, 100))
    (person, *_) = await inference.detect(Picture(600, 400, canvas.tobytes()))
    assert person.name == "person"
    assert person.box[0] >= 0.45 and person.box[1] >= 0.2


async def test_questions_find_their_passage(inference: Inference):
    passages = [
        "The lithium cells lose capacity when they are charged in the cold.",
        "Add two eggs and a cup of flour, then bake for half an hour.",
        "The court held that the contract was void from the beginning.",
    ]
    vectors = await inference.embed_passages(passages)
    questions = await inference.embed_passages(["How does a battery age?", "a recipe for a cake", "a legal ruling"])
    assert (questions @ vectors.T).argmax(1).tolist() == [0, 1, 2]


async def test_a_killed_worker_comes_back(inference: Inference):
    picture = photo("skimage/coffee.png")
    before = await inference.detect(picture)
    os.kill(inference.pids[-1], signal.SIGKILL)
    try:
        again = await inference.detect(picture)
    except errors.WorkerDied:
        again = await inference.detect(picture)
    assert again == before


async def test_damaged_weights_are_a_model_that_is_away(model_dir: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in (model_dir / "embedded" / "clip").iterdir():
        if file.suffix == ".safetensors":
            (broken / file.name).write_bytes(file.read_bytes()[:1_000_000])
        else:
            (broken / file.name).write_bytes(file.read_bytes())
    config = ModelConfig(image_text=f"local-dir:{broken}")
    inference = Inference(config, resolve(config, model_dir))
    try:
        with pytest.raises(errors.ModelUnavailable, match="cannot be loaded"):
            await inference.embed_text("anything")
    finally:
        await inference.close()


async def test_a_checkpoint_may_be_moved(model_dir: Path, tmp_path: Path):
    moved = tmp_path / "moved"
    moved.symlink_to(model_dir / "embedded" / "clip")
    config = ModelConfig(image_text=f"local-dir:{moved}")
    inference = Inference(config, resolve(config, tmp_path))
    try:
        assert len(await inference.embed_text("anything")) == 384
    finally:
        await inference.close()
