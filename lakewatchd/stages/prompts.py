"""The vectors of the taxonomy's descriptions, kept on disk: a restart embeds nothing, an edit only what is new.

Invariant: a vector is only ever used with the model that made it; a file that is torn or of another layout is made
again.
"""

from __future__ import annotations

import asyncio
import os
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

Embed = Callable[[Sequence[str]], Awaitable["Vectors"]]


async def vectors_of(texts: Sequence[str], path: Path, embed: Embed) -> Vectors:
    """One row for each text. What is kept at ``path`` is used; what is not is made, and kept there."""
    kept = await asyncio.to_thread(_load, path)
    missing = [text for text in texts if text not in kept]
    if missing:
        kept |= dict(zip(missing, await embed(missing), strict=True))
        await asyncio.to_thread(_save, path, {text: kept[text] for text in texts})
    return await asyncio.to_thread(_stacked, [kept[text] for text in texts])


def _stacked(rows: list[Vectors]) -> Vectors:
    import numpy as np

    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def _load(path: Path) -> dict[str, Vectors]:
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return dict(zip(kept["texts"].tolist(), np.asarray(kept["vectors"], np.float32), strict=True))
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ):  # not there, or torn by a power cut
        return {}


def _save(path: Path, vectors: dict[str, Vectors]) -> None:
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, texts=np.array(list(vectors)), vectors=_stacked(list(vectors.values())))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
