"""What every torch adapter does the same way: choose a device, run, survive a full one, normalise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from lakewatchd import errors
from lakewatchd.models.base import Vectors

Item = TypeVar("Item")


def choose(device: str, threads: int) -> Any:
    """``auto`` is CUDA where there is one. Two threads on busy cores are slower than one, hence ``threads``."""
    import torch

    torch.set_num_threads(max(1, threads))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as exc:  # torch built without it, or a name it does not know
        message = f"device {device!r} cannot be used: {str(exc).splitlines()[0]}"
        raise errors.ModelUnavailable(message, 'set models.device = "auto"') from exc
    return chosen


def one_by_one(embed: Callable[[Sequence[Item]], Vectors], items: Sequence[Item], dim: int, device: Any) -> Vectors:
    """As :func:`in_halves`, but each item alone on a CPU.

    There a batch is not faster (convolutions even lose, their maps no longer fit the cache), and an item that is
    alone gets the same bits whatever company it came in: a lake does not depend on its history.
    """
    if device.type != "cpu":
        return in_halves(embed, items, dim)
    return np.concatenate([np.empty((0, dim), np.float32), *(in_halves(embed, [item], dim) for item in items)])


def in_halves(embed: Callable[[Sequence[Item]], Vectors], items: Sequence[Item], dim: int) -> Vectors:
    """``embed(items)`` without gradients; where the device has no room for all, in two parts."""
    import torch

    if not items:
        return np.empty((0, dim), np.float32)
    try:
        with torch.inference_mode():
            return embed(items)
    except torch.OutOfMemoryError as exc:
        if len(items) == 1:
            hint = 'another program may hold the device\'s memory; or set models.device = "cpu"'
            raise errors.ModelUnavailable("no room on the device for a single item", hint) from exc
    torch.cuda.empty_cache()
    half = len(items) // 2
    return np.concatenate([in_halves(embed, items[:half], dim), in_halves(embed, items[half:], dim)])


def to_unit_rows(rows: Any) -> Vectors:
    """float32 rows of length 1 on the CPU. A zero row stays zero."""
    import torch

    unit: Vectors = torch.nn.functional.normalize(rows.float(), dim=-1).cpu().numpy()
    return unit
