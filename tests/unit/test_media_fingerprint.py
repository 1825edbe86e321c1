"""The content hash is BLAKE3 of all bytes; the perceptual hash gives the bits imagehash gives."""

import os
import random
from pathlib import Path

import blake3
import pytest
from PIL import Image, ImageFilter

from lakewatchd.media.fingerprint import BUFFER_BYTES, Hasher, phash


@pytest.mark.parametrize("size", [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 7])
def test_digest_is_blake3_of_everything(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "f").write_bytes(data)
    hasher = Hasher()
    with (tmp_path / "f").open("rb") as stream:
        for _ in range(2):  # the buffer is used again, and nothing of the last file may remain
            digest = hasher.digest(stream.fileno(), size)
            assert digest.hex == blake3.blake3(data).hexdigest()
            assert digest.size_bytes == size
            assert digest.head == data[: 64 << 10]


def test_a_file_without_end_is_given_up() -> None:
    fd = os.open("/dev/zero", os.O_RDONLY)
    try:
        assert Hasher().digest(fd, 5_000_000).size_bytes <= 5_000_000 + 2 * BUFFER_BYTES
    finally:
        os.close(fd)


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Smooth random shapes: like a photo, most of the energy lies in low frequencies."""
    small = Image.frombytes("RGB", (12, 9), random.Random(seed).randbytes(12 * 9 * 3))
    return small.resize(size, Image.Resampling.BICUBIC)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(20))
def test_phash_agrees_with_imagehash(seed: int) -> None:
    imagehash = pytest.importorskip("imagehash")
    expected = int(str(imagehash.phash(scene(seed))), 16)
    assert (phash(scene(seed)) ^ expected).bit_count() <= 1


def test_phash_survives_what_leaves_a_picture_itself_and_tells_others_apart() -> None:
    original = phash(scene(1))
    smaller = phash(scene(1).resize((160, 120)))
    softer = phash(scene(1).filter(ImageFilter.GaussianBlur(1)))
    assert (original ^ smaller).bit_count() <= 4
    assert (original ^ softer).bit_count() <= 4
    assert all((original ^ phash(scene(seed))).bit_count() > 12 for seed in range(2, 20))


@pytest.mark.parametrize("color", ["black", "white", "#777"])
def test_phash_of_a_flat_picture_is_no_noise(color: str) -> None:
    assert phash(Image.new("RGB", (300, 200), color)).bit_count() <= 1
