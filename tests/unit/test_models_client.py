"""The client against a real child process whose models are arithmetic."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lakewatchd import errors
from lakewatchd.config import ModelConfig
from lakewatchd.core.content import Picture
from lakewatchd.models import client, hub
from lakewatchd.models.base import ModelInfo, ModelSpec, Role
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import Problem, Resolved
from lakewatchd.testing import wait_until
from tests.unit.models_fake_worker import LETHAL

REPOSITORY = str(Path(__file__).resolve().parents[2])
RESOLVED = Resolved(
    {role: ModelSpec(ModelInfo(role, f"fake {role}", 3, "d"), "nowhere") for role in (Role.IMAGE_TEXT, Role.TEXT)},
    (Problem(Role.DETECTOR, "no onnxruntime", "install it"),),
)


@pytest.fixture
async def inference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(hub, "WORKER", "tests.unit.models_fake_worker")
    monkeypatch.setenv("PYTHONPATH", REPOSITORY)
    inference = Inference(ModelConfig(batch=8), dataclasses.replace(RESOLVED, model_dir=tmp_path))
    yield inference
    await inference.close()


def picture(first: int, width: int = 5, height: int = 3) -> Picture:
    return Picture(width, height, bytes([first]) + bytes(width * height * 3 - 1))


def inode_of(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def open_inodes() -> Iterator[tuple[int, int]]:
    """Of all that this process has open."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            yield inode_of(int(name))


async def test_pictures_of_many_sizes_share_a_batch(inference: Inference):
    pictures = [picture(n, width=1 + n * 37 % 90, height=1 + n * 11 % 50) for n in range(20)]
    vectors = await asyncio.gather(*(inference.embed_picture(p) for p in pictures))
    assert [(v[0], v[1]) for v in vectors] == [(n, n) for n in range(20)]
    assert [v[2] for v in vectors] == [8.0] * 16 + [4.0] * 4


async def test_a_child_that_died_is_started_again(inference: Inference):
    assert (await inference.embed_picture(picture(1)))[0] == 1
    (pid,) = inference.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(errors.WorkerDied):
        while True:  # the death may not have been seen yet, or only by the next request
            await inference.embed_picture(picture(2))
            if inference.pids != [pid]:
                raise errors.WorkerDied("seen before the request")
    assert (await inference.embed_picture(picture(3)))[0] == 3


async def test_a_lethal_picture_dies_alone(inference: Inference):
    ask = [inference.embed_picture(picture(n)) for n in (1, LETHAL, 2)]
    one, lethal, two = await asyncio.gather(*ask, return_exceptions=True)
    assert isinstance(lethal, errors.WorkerDied)
    assert (one[0], two[0]) == (1, 2)


async def test_a_model_that_is_away_is_reported_with_its_hint(inference: Inference):
    with pytest.raises(errors.ModelUnavailable) as caught:
        await inference.embed_passages(["away"])
    assert caught.value.hint == "fetch them"
    assert (await inference.embed_passages(["back"]))[0][0] == 4


async def test_a_role_without_a_model_raises_its_problem(inference: Inference):
    with pytest.raises(errors.ModelUnavailable, match="no onnxruntime") as caught:
        await inference.detect(picture(1))
    assert caught.value.hint == "install it"


@pytest.mark.parametrize("size", [(0, 5, 0), (5, 0, 0), (5, 3, 44), (5, 3, 46), (-1, -1, 3)])
async def test_pixels_that_lie_about_their_size_never_reach_the_child(inference: Inference, size: tuple[int, int, int]):
    width, height, count = size
    with pytest.raises(errors.DamagedMedia):
        await inference.embed_picture(Picture(width, height, bytes(count)))
    assert inference.pids == []


async def test_texts_of_any_characters_arrive(inference: Inference):
    texts = ["", "\0", "\udc80 undecodable", "x" * 1_000_000, "naïve 🦊"]
    lengths = [vector[0] for vector in await inference.embed_texts(texts)]
    assert lengths == [0, 1, 13, client.MAX_TEXT_CHARS, 7]


async def test_no_texts_are_an_empty_array_of_the_right_width(inference: Inference):
    assert (await inference.embed_texts([])).shape == (0, 3)


async def test_passages_go_in_smaller_batches(inference: Inference):
    vectors = await inference.embed_passages(["text"] * 6)
    assert max(vector[2] for vector in vectors) == 2


async def test_status_says_what_is_loaded(inference: Inference):
    embed, detect, *_ = inference.status()
    assert (embed.pid, embed.loaded, detect.batches) == (None, (), 0)
    await inference.embed_picture(picture(1))
    embed, *_ = inference.status()
    assert (embed.loaded, embed.waiting, embed.batches, embed.items) == ((Role.IMAGE_TEXT,), 0, 1, 1)
    assert embed.items_per_s > 0
    assert inference.pids == [embed.pid]


async def test_closing_leaves_no_process_and_no_shared_memory(inference: Inference):
    await inference.embed_picture(picture(1))
    (pid,) = inference.pids
    arenas = {inode_of(group.arena.fd) for group in inference._groups.values()}
    assert arenas and arenas <= set(open_inodes())
    await inference.close()
    await asyncio.to_thread(wait_until, lambda: not psutil.pid_exists(pid))  # killed, and buried a moment later
    assert not arenas & set(open_inodes())  # it has no name: what nobody has open is no more


async def test_workers_know_the_machine_and_no_secret(inference: Inference, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    await inference.close()
    inference = Inference(ModelConfig(), inference.resolved)
    await inference.embed_picture(picture(1))
    known = psutil.Process(inference.pids[0]).environ()
    assert known["CUDA_VISIBLE_DEVICES"] == "7" and "the-secret" not in known.values()
    await inference.close()


def test_workers_may_not_use_the_network(tmp_path: Path):
    environment = hub.environment(ModelConfig(threads=3), tmp_path)
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "3"
    assert str(tmp_path) in environment["HF_HOME"]
