"""Digests of weights, which can be gigabytes: computed once, remembered by path, size and modification time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def digest_of_files(paths: Sequence[Path], model_dir: Path) -> str:
    """SHA-256 over the digests of the files, in order. Raises OSError if one cannot be read."""
    stats = [path.stat() for path in paths]
    seen = [(os.fsencode(path.resolve()), s.st_size, s.st_mtime_ns) for path, s in zip(paths, stats, strict=True)]
    cache = model_dir / "digests" / hashlib.sha256(repr(seen).encode()).hexdigest()[:32]
    try:
        return cache.read_text()
    except OSError:
        digest = _read_all(paths)
    with contextlib.suppress(OSError):  # a model directory that is read-only for us: computed again next time
        cache.parent.mkdir(parents=True, exist_ok=True)
        scratch = cache.with_name(f".{cache.name}.{os.getpid()}")
        scratch.write_text(digest)
        scratch.replace(cache)
    return digest


def _read_all(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def digest_of_weights(model: Any) -> str:
    """SHA-256 over the tensors of a loaded torch model: the same weights, from wherever they came."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()
