"""What texts are like that are about something else: of a sample of them, how alike each description is to these.

There are two samples, and they count together: one of other people's texts, which comes with the package for the
embedded model, and one of this lake's own, drawn anew when the lake has doubled (:mod:`lakewatchd.daemon.tutor`). A tag
whose background is low and narrow needs less likeness to be told from it than one that everything resembles.

The invariant: a background only lowers what makes even odds, and not below ``Calibration.lowest``. From one lake nobody
can tell "much of it is about this" from "this is said too easily", so a lake full of recipes keeps ``recipe``.
Pure but for :func:`shipped`, which reads one file of the package.
"""

from __future__ import annotations

import base64
import functools
import importlib.resources
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Sample = NDArray[np.int8]
    """``(N, dim)``: unit vectors, each number as 127ths."""

LEAST = 128
"""Texts that make a background; fewer say nothing."""
MOST = 512
"""Texts of the lake."""
SPREADS = 3.0
"""How many spreads above the middle a background ends (decision 26 has what others did)."""
STEP = 0.02
"""Even points are multiples of it: another sample of the same lake changes few of them."""
_UNIT = 127.0


@functools.cache
def shipped(model: str) -> Sample | None:
    """The sample that comes with the package, for a model of texts; None for those that are not ours."""
    import numpy as np

    file = importlib.resources.files("lakewatchd.stages") / "backgrounds" / f"{model.rpartition('/')[2]}.npy"
    if not file.is_file():
        return None
    return np.asarray(np.load(io.BytesIO(file.read_bytes()), allow_pickle=False), dtype=np.int8)


@dataclass(frozen=True, slots=True)
class Own:
    """The sample of this lake."""

    rows: bytes = b""
    """A :data:`Sample`, row by row."""
    dim: int = 0
    embedded_by: str = ""
    """The transform that made the vectors: others cannot be compared with them."""
    size: int = 0
    """Of the lake it was drawn from: how many assets that had, in binary digits."""

    @classmethod
    def of(cls, vectors: Matrix, embedded_by: str, size: int = 0) -> Own:
        """Of unit rows; those that are no numbers are left out. Nothing of fewer than :data:`LEAST`."""
        import numpy as np

        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        return cls(pack(vectors).tobytes(), vectors.shape[1], embedded_by, size) if len(vectors) >= LEAST else cls()

    def is_of(self, embedded_by: str, size: int) -> bool:
        """Whether there is one, by today's model, of a lake that has not doubled since."""
        return bool(self.rows) and self.embedded_by == embedded_by and self.size >= size

    def sample(self, embedded_by: str) -> Sample | None:
        """It, if it was made by ``embedded_by``."""
        import numpy as np

        if not self.rows or self.embedded_by != embedded_by:
            return None
        return np.frombuffer(self.rows, np.int8).reshape(-1, self.dim)

    def packed(self) -> dict[str, Any]:
        """As JSON can hold it."""
        rows = base64.b64encode(self.rows).decode()
        return {"rows": rows, "dim": self.dim, "embedded_by": self.embedded_by, "size": self.size}

    @classmethod
    def unpacked(cls, kept: Mapping[str, Any]) -> Own:
        """What :meth:`packed` gave. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for anything else."""
        rows, dim = base64.b64decode(kept["rows"], validate=True), int(kept["dim"])
        if rows and (dim < 1 or len(rows) % dim):
            raise ValueError(f"{len(rows)} bytes are no rows of {dim}")
        return cls(rows, dim, str(kept["embedded_by"]), int(kept.get("size", 0)))


NO_SAMPLE = Own()


def pack(vectors: Matrix) -> Sample:
    """``vectors`` have unit length."""
    import numpy as np

    return np.asarray(np.round(vectors * _UNIT), dtype=np.int8)


def together(*samples: Sample | None) -> Matrix | None:
    """All of them, as unit vectors; None where they are too few. Of another length than the first, one is left out."""
    import numpy as np

    there = [sample for sample in samples if sample is not None]
    rows = [sample for sample in there if sample.shape[1] == there[0].shape[1]]
    if sum(len(sample) for sample in rows) < LEAST:
        return None
    vectors = np.concatenate(rows).astype(np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def ends(fits: Matrix) -> Matrix:
    """For each description, a column, where its background ends: of the likeness of each text of a sample, a row."""
    import numpy as np

    middle = np.median(fits, axis=0)
    spread = 1.4826 * np.median(np.abs(fits - middle), axis=0)
    return np.asarray(np.round((middle + SPREADS * spread) / STEP) * STEP)
