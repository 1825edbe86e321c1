"""Pixels: shared memory keeps them exact; the detector's arithmetic is right for any shape."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lakewatchd import errors
from lakewatchd.core.content import Picture
from lakewatchd.models.arena import MAX_PICTURE_BYTES, Arena, Window, checked
from lakewatchd.models.yolox import COCO, decode, fit, grid, suppress

shapes = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(st.lists(st.lists(shapes, max_size=6), max_size=5), st.randoms(use_true_random=False))
def test_batches_of_any_shapes_arrive_as_they_were(batches, random):
    arena = Arena()
    window = Window(arena.fd)
    try:
        for batch in batches:
            pictures = [Picture(w, h, random.randbytes(w * h * 3)) for w, h in batch]
            seen = window.get(arena.put(pictures)) if pictures else []
            assert [array.shape for array in seen] == [(p.height, p.width, 3) for p in pictures]
            assert [array.tobytes() for array in seen] == [p.pixels for p in pictures]
    finally:
        arena.close()


def test_the_child_cannot_write_and_the_memory_cannot_shrink():
    arena = Arena()
    (array,) = Window(arena.fd).get(arena.put([Picture(1, 1, b"abc")]))
    with pytest.raises(ValueError, match="read-only"):
        array[:] = 0
    with pytest.raises(PermissionError):
        os.ftruncate(arena.fd, 0)
    arena.close()
    arena.close()


def test_a_picture_too_large_for_any_model_is_refused():
    class Pixels(bytes):
        def __len__(self) -> int:
            return 3 * 10_000 * 10_000

    with pytest.raises(errors.TooLarge):
        checked(Picture(10_000, 10_000, Pixels()))
    assert MAX_PICTURE_BYTES < 3 * 10_000 * 10_000


def test_the_network_has_eighty_names():
    assert len(COCO) == len(set(COCO)) == 80
    assert (COCO[0], COCO[9], COCO[79]) == ("person", "traffic light", "toothbrush")


@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (5000, 3), (416, 416), (2, 417), (1000, 999)])
def test_any_shape_fits_the_square(shape: tuple[int, int]):
    picture = np.full((*shape, 3), (10, 20, 30), np.uint8)
    square, scale = fit(picture, 416)
    assert square.shape == (1, 3, 416, 416)
    assert square[0, :, 0, 0].tolist() == [30, 20, 10]  # BGR
    assert scale == 416 / max(shape)


def test_a_cell_is_decoded_into_its_box():
    cells, strides = grid(416)
    assert cells.shape == (3549, 2)
    answer = np.zeros((3549, 85), np.float32)
    at = 52 * 52 + 26 * 3 + 4  # second grid (stride 16), row 3, column 4
    answer[at, :4] = 0.5, 0.25, np.log(2.0), np.log(3.0)
    answer[at, 4], answer[at, 5 + 15] = 0.9, 1.0
    boxes, scores, classes = decode(answer, cells, strides, 0.5)
    np.testing.assert_allclose(boxes, [[72 - 16, 52 - 24, 72 + 16, 52 + 24]], rtol=1e-5)
    assert (COCO[classes[0]], pytest.approx(scores[0])) == ("cat", 0.9)


def test_absurd_sizes_do_not_overflow():
    cells, strides = grid(416)
    answer = np.full((3549, 85), 1e30, np.float32)
    answer[:, 4:] = 1.0
    boxes, _, _ = decode(answer, cells, strides, 0.5)
    assert np.isfinite(boxes).all()


@given(hnp.arrays(np.float32, (12, 4), elements=st.floats(0, 1, width=32)), st.integers(1, 3))
def test_suppression_keeps_the_surest_and_no_two_that_overlap(corners, kinds):
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    scores = np.linspace(0.99, 0.5, 12).astype(np.float32)[::-1]
    classes = np.arange(12) % kinds
    keep = suppress(boxes, scores, classes)
    assert keep[0] == 11
    assert sorted(keep, reverse=True) == keep  # surest first
    for i in keep:
        for j in keep:
            if i < j and classes[i] == classes[j]:
                assert overlap(boxes[i], boxes[j]) <= 0.45 + 1e-5


def overlap(a, b) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - np.prod(sides)
    return float(np.prod(sides) / union) if union > 0 else 0.0
