"""Where one scene of a film ends and the next begins, and how a film is cut into clips.

It works on *looks*: what was seen at some moments, a second or more apart. Nothing here decodes. The invariant: clips
follow each other without a gap from the beginning of the film to its end, and there are never more than
:data:`MOST_CLIPS`, however long it is.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MOST_CLIPS = 240
SHORTEST_S, LONGEST_S = 10.0, 60.0
"""Of a clip, in a film of up to 40 minutes; of a longer one, clips are longer."""
CUT = 0.4
"""Where looks differ by so much, a new scene begins (chosen on films of ``tests/quality/films.py``)."""

_CHROMA, _LUMA = 12, 8
_CHROMA_SHARE = 0.7


def colours(image: Image) -> NDArray[np.float32]:
    """What colours are seen and how bright it is, wherever in the picture: a unit vector, shape (152,).

    It moves little while a camera pans or somebody walks by, and far when there is another scene.
    """
    import numpy as np
    from PIL.Image import Resampling

    small = image.resize((64, 36), Resampling.BOX).convert("YCbCr")
    pixels = np.asarray(small).reshape(-1, 3).astype(np.intp)
    blue, red = (np.clip((pixels[:, axis] - 64) * _CHROMA // 128, 0, _CHROMA - 1) for axis in (1, 2))
    chroma = np.bincount(blue * _CHROMA + red, minlength=_CHROMA**2) / len(pixels)
    luma = np.bincount(pixels[:, 0] * _LUMA // 256, minlength=_LUMA) / len(pixels)
    # roots of shares: then the scalar product of two is their Bhattacharyya coefficient
    return np.sqrt(np.concatenate((chroma * _CHROMA_SHARE, luma * (1 - _CHROMA_SHARE)))).astype(np.float32)


def changes(looks: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each look is from those before, 0 to 1: Hellinger distances, shape (n,); 0 for the first one.

    Both looks before must differ from both that follow, since a flash or a passing truck is no new scene.
    """
    import numpy as np

    def apart(near: int, far: int) -> NDArray[np.float64]:
        """Distance between the looks ``near`` and ``far`` places before and after the border; 1 where there is none."""
        found = np.ones(count)
        first, last = 1 + near, count - far
        if last > first:
            same = np.einsum("ij,ij->i", looks[first - 1 - near : last - 1 - near], looks[first + far : last + far])
            found[first:last] = np.sqrt(np.clip(1.0 - same, 0.0, 1.0))
        return found

    count = len(looks)
    apart_most = np.min([apart(near, far) for near in (0, 1) for far in (0, 1)], axis=0)
    return np.where(np.arange(count) > 0, apart_most, 0.0)


_IDEAL_S = 25.0
_WORTH_A_CUT = 0.5
"""What a border between clips costs, in units of a clear change of scene."""
_UNEVEN = 0.05
_TOO_SHORT = _TOO_LONG = 10.0
"""Only where looks are too far apart for anything better; of two clips that are too long one is worse."""


def clips(times: Sequence[float], changed: NDArray[np.float64], end_s: float) -> list[tuple[int, int]]:
    """The best way to cut a film into clips: pairs of (first look, look after the last one).

    ``times`` are those of the looks, in seconds, rising; ``end_s`` is the end of the film. A clip begins at a look
    (the first one at 0), preferably where much changed, and lasts :data:`SHORTEST_S` to :data:`LONGEST_S` where looks
    and the length of the film allow it.
    """
    import numpy as np

    count = len(times)
    borders = np.array([0.0, *times[1:], max(end_s, times[-1])])
    shortest = max(SHORTEST_S, borders[-1] / MOST_CLIPS)
    longest, ideal = max(LONGEST_S, 2 * shortest), max(_IDEAL_S, 1.25 * shortest)
    gains = np.append(np.minimum(changed / CUT, 2.0), 0.0)
    costs, cut_at = np.zeros(count + 1), np.zeros(count + 1, dtype=np.intp)
    for end in range(1, count + 1):
        lengths = borders[end] - borders[:end]
        total = costs[:end] + _UNEVEN * (lengths / ideal - 1) ** 2
        total += np.where(lengths < shortest, _TOO_SHORT, 0.0)
        total += np.where(lengths > longest, _TOO_LONG * (lengths / longest) ** 2, 0.0)
        cut_at[end] = np.argmin(total)
        costs[end] = total[cut_at[end]] + _WORTH_A_CUT - gains[end]
    found, end = list[tuple[int, int]](), count
    while end > 0:
        found.append((int(cut_at[end]), end))
        end = int(cut_at[end])
    return found[::-1]


# --- to be found again -------------------------------------------------------------------------------------

_RECORD = struct.Struct("<IQ")


def signature(seen: Sequence[tuple[float, int]]) -> bytes:
    """``seen``: seconds from the beginning and perceptual hashes, in order. Near-equal films have runs of near-equal
    hashes at nearly the same distances, wherever they begin."""
    return b"".join(_RECORD.pack(round(at_s * 1000) & 0xFFFFFFFF, fingerprint) for at_s, fingerprint in seen)


def seen_of(signature: bytes) -> list[tuple[float, int]]:
    """The inverse of :func:`signature`. Raises ``ValueError`` for what is none."""
    if len(signature) % _RECORD.size:
        raise ValueError("not the signature of a film")
    return [(at_ms / 1000, fingerprint) for at_ms, fingerprint in _RECORD.iter_unpack(signature)]
