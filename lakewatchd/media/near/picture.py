"""Are two pictures the same one, saved anew? From a signature of 1152 bytes each: 32x32 grey values and 8x8 colours.

::

    keys     signs of the lowest frequencies (DCT) of 23 windows; two pictures that share none are never compared
    overlay  the window of one that shows what the other shows: all of it, cut on any side, turned or mirrored
    judge    the brightness of one drawn through that of the other; what differs then, block by block

A burst, two moments of a scene or two pages of one template differ in some blocks by much. A copy, however resized,
compressed, lit or cut, differs by little in all; one with a watermark by much in few, and there to one side only.
Invariant: everything here is a pure function of signatures, and :func:`is_same` does not depend on their order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

Values = Any
"""A numpy array of float64, two-dimensional unless said otherwise: ``NDArray[np.float64]``."""

SIDE, COLOURS = 32, 8
BYTES = SIDE * SIDE + 2 * COLOURS * COLOURS

_WINDOWS = ((1.0, 1), (0.94, 2), (0.87, 3), (0.8, 3))
"""Share of each side, and how many positions along it: of two cuts of one picture, some window of the one shows nearly
what some window of the other does."""
_FREQUENCIES = 8
_MIN_CONTRAST = 3.0
"""Standard deviation of grey below which a picture is blank: all blanks look the same."""
_LEAST_CONTRAST = 8.0
"""What differs in a fainter picture is measured by this: strong compression changes values by one or two."""
_UNSURE = 1e-2
"""A frequency weaker than this has no sign: it is noise of the arithmetic."""

_SEEN, _BLOCKS = 24, 6
"""Side of what is compared in pixels, and in blocks."""
_STEP, _SMALLEST = 0.05, 0.75
"""The windows that are tried for an overlay, as shares of a side."""
_WORTH, _WORTH_CUT = 0.75, 0.9
"""Correlation from which an overlay is worth a look; the same of a window, which is fitted first,"""
_BETTER_CUT = 0.001
"""and by how much more it must explain than the whole: pages of one template lie on each other as they are."""
_FIT_ROUNDS = 6
_LIKE, _LIKE_CUT = 0.26, 0.13
"""How much the worst block may differ, as a share of the picture's contrast; the same where one was cut."""
_LIKE_FINE = 0.15
"""The same of fine structure alone: other light changes large areas, and moves no edge."""
_MARKED, _LIKE_UNMARKED = 11, 0.08
"""So many blocks may be written over if the others differ by no more than this,"""
_ONE_SIDED = 0.2
"""and the lesser of what became lighter and what became darker is at most this share of the greater."""
_COLOURED, _LIKE_COLOURED = 5.0, 12.0
"""Mean distance from grey (Cb and Cr, 0..255) of a coloured picture, and up to which two of them may differ."""


def make(image: Image) -> bytes | None:
    """The signature of an upright RGB picture; None for one that is blank."""
    import numpy as np
    from PIL.Image import Resampling

    grey = image.convert("L").resize((SIDE, SIDE), Resampling.LANCZOS)
    if np.asarray(grey, np.float64).std() < _MIN_CONTRAST:
        return None
    colours = np.asarray(image.convert("YCbCr").resize((COLOURS, COLOURS), Resampling.BOX))[:, :, 1:]
    return grey.tobytes() + colours.tobytes()


Key = tuple[int, int]
"""The signs of the lowest frequencies, which must be equal, and those of all others, which may differ in some."""


def keys(signature: bytes) -> tuple[frozenset[Key], frozenset[Key]]:
    """What a picture is found by, and what it looks for. Two are compared when one is found by what the other looks
    for; it does not matter which is which, since every turn of a picture can be undone."""
    grey, _ = _read(signature)
    lows = [_basis(top, share) @ grey @ _basis(left, share).T for share, top, left in _windows()]
    whole, by_frequency = lows[0], _by_frequency()
    windows = {_key(0, low, by_frequency[:22]) for low in lows}
    kinds = ((1, by_frequency[:20]), (2, by_frequency[5:27]))  # each holds (j, i) with (i, j): a turn stays inside
    own = {_key(kind, whole, places) for kind, places in kinds}
    turned = {_key(kind, low, places) for kind, places in kinds for low in _turns(whole)}
    return _known(windows | own), _known(windows | turned)


def is_same(one: bytes, other: bytes) -> bool:
    """One is a copy of the other: resized, compressed, lit, cut, turned, mirrored or marked."""
    (grey, colours), (grey_2, colours_2) = map(_read, sorted((one, other)))
    if _differ_in_colour(colours, colours_2):
        return False
    if any(_is_one(a, b) or _is_marked(a, b) or _is_marked(b, a) for a, b in _turned(grey, grey_2)):
        return True
    return any(_is_cut(a, b) for a, b in (*_cuts(grey, grey_2), *_cuts(grey_2, grey)))


# --- keys ------------------------------------------------------------------------------------------------------


def _key(kind: int, low: Values, places: list[tuple[int, int]]) -> Key | None:
    """The signs at ``places`` as bits, below the number of the kind, and all others; None if one has no sign. A turn
    keeps nothing apart only where every frequency has one."""
    others = [place for place in _by_frequency() if place not in places]
    values, rest = ([float(low[place]) for place in some] for some in (places, others))
    if any(abs(value) < _UNSURE for value in values) or (kind and not all(rest)):
        return None
    bits, more = (sum((value > 0) << at for at, value in enumerate(signs)) for signs in (values, rest))
    return kind << 32 | bits, more


def _known(found: Iterable[Key | None]) -> frozenset[Key]:
    return frozenset(key for key in found if key is not None)


def _turns(low: Values) -> Iterator[Values]:
    """The frequencies of the picture in its 8 positions: mirrored, the odd ones of that axis change their sign."""
    odd = [1 - 2 * (i % 2) for i in range(_FREQUENCIES)]
    for turned in (low, low.T):
        for down in (turned, turned * _column(odd)):
            yield down
            yield down * odd


def _column(values: list[int]) -> Values:
    import numpy as np

    return np.asarray(values)[:, None]


@functools.cache
def _windows() -> list[tuple[float, float, float]]:
    """Share, top and left, as shares of the side. The whole is the first."""
    return [
        (share, (1 - share) * down / max(1, count - 1), (1 - share) * along / max(1, count - 1))
        for share, count in _WINDOWS
        for down in range(count)
        for along in range(count)
    ]


@functools.cache
def _by_frequency() -> list[tuple[int, int]]:
    """Rows and columns of the frequencies, the lowest first, without the mean."""
    places = [(i, j) for i in range(_FREQUENCIES) for j in range(_FREQUENCIES) if i or j]
    return sorted(places, key=lambda at: (at[0] + at[1], abs(at[0] - at[1]), at))


@functools.cache
def _basis(start: float, share: float) -> NDArray[Any]:
    """Cosines over the window ``start`` to ``start + share`` of a side, for its values. Shape (8, 32)."""
    import numpy as np

    fine = 8 * SIDE
    t = (np.arange(fine) + 0.5) / fine
    cosines = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * t) / 4
    return np.asarray(cosines @ _sampling((start + share * t) * SIDE - 0.5))


# --- overlays --------------------------------------------------------------------------------------------------


def _turned(grey: Values, other: Values) -> Iterator[tuple[Values, Values]]:
    """All of ``grey``, in each of its 8 positions, beside all of ``other``."""
    seen = _seen(other, _WHOLE, _WHOLE)
    for turned in (grey, grey.T):
        for down in (turned, turned[::-1]):
            for along in (down, down[:, ::-1]):
                if _correlation(along.reshape(1, -1), other.ravel())[0] >= _WORTH:
                    yield _seen(along, _WHOLE, _WHOLE), seen


def _cuts(grey: Values, other: Values) -> Iterator[tuple[Values, Values]]:
    """What the likeliest window of ``grey`` shows beside all of ``other``."""
    import numpy as np

    views, edges = _tried()
    count = len(edges)
    seen = _blurred(_seen(other, _WHOLE, _WHOLE))
    small = seen.reshape(12, 2, 12, 2).mean((1, 3)).ravel()
    # In small products: for large ones the library starts threads, which takes longer than all of this.
    tried = ((views @ grey)[:, None] @ views.transpose(0, 2, 1)[None]).reshape(count * count, 144)
    likeness = _correlation(tried, small)
    best = int(np.argmax(likeness))
    if likeness[best] >= max(_WORTH_CUT, likeness[0] + _BETTER_CUT):
        down, along = _fitted(grey, seen, edges[best // count], edges[best % count])
        yield _blurred(_seen(grey, down, along)), seen


Edge = tuple[float, float]
"""Where a window begins and ends, as shares of the side."""
_WHOLE: Edge = (0.0, 1.0)


def _fitted(grey: Values, seen: Values, down: Edge, along: Edge) -> tuple[Edge, Edge]:
    """The window near this one whose blurred view comes closest to ``seen``: Gauss and Newton on its four edges."""
    import numpy as np

    at, step = np.asarray([*down, *along]), 1 / SIDE
    target = _level(seen)

    def view(edges: Values) -> Values:
        return _level(_blurred(_seen(grey, (edges[0], edges[1]), (edges[2], edges[3]))))

    best, least = at, np.inf
    for _ in range(_FIT_ROUNDS):
        off = target - view(at)
        if (now := float((off * off).sum())) >= least:
            break
        best, least = at, now
        slopes = np.stack([(view(at + move) - view(at - move)) / (2 * step) for move in np.eye(4) * step], axis=1)
        move, *_ = np.linalg.lstsq(slopes, off, rcond=None)
        at = np.clip(at + np.clip(move, -0.04, 0.04), 0, 1)
    return (float(best[0]), float(best[1])), (float(best[2]), float(best[3]))


def _seen(grey: Values, down: Edge, along: Edge) -> Values:
    """The window in 24x24 values."""
    return _view(down, _SEEN) @ grey @ _view(along, _SEEN).T


def _view(edge: Edge, count: int) -> Values:
    """From the values of a side to ``count`` values of a window of it, each the mean of two places."""
    import numpy as np

    width = (edge[1] - edge[0]) / count
    middles = edge[0] + width * (np.arange(count) + 0.5)
    return (_sampling((middles - width / 4) * SIDE - 0.5) + _sampling((middles + width / 4) * SIDE - 0.5)) / 2


def _sampling(places: Values) -> Values:
    """Linear between the values of a side. Shape (places, 32)."""
    import numpy as np

    places = np.clip(places, 0, SIDE - 1)
    before = np.minimum(places.astype(int), SIDE - 2)
    rows, weights = np.arange(len(places)), np.zeros((len(places), SIDE))
    weights[rows, before] = 1 - (places - before)
    weights[rows, before + 1] = places - before
    return weights


@functools.cache
def _tried() -> tuple[Values, list[Edge]]:
    """Views of 12 values of every window that is tried, (21, 12, 32), the whole first; and where these are."""
    import numpy as np

    edges = []
    for smaller in range(round((1 - _SMALLEST) / _STEP) + 1):
        share = 1 - smaller * _STEP
        edges += [(at * _STEP, at * _STEP + share) for at in range(smaller + 1)]
    return np.stack([_view(edge, 12) for edge in edges]), edges


# --- judging ---------------------------------------------------------------------------------------------------


def _is_one(one: Values, other: Values) -> bool:
    """They show the same, up to light."""
    contrast = _contrast(one, other)
    for a, b in ((one, other), (other, one)):
        off = _drawn_through(a, b) - b
        if _blocks(off).max() <= _LIKE * contrast and _blocks(_fine(off)).max() <= _LIKE_FINE * contrast:
            return True
    return False


def _is_cut(one: Values, other: Values) -> bool:
    """The same of views that were fitted, which takes differences away: there is less left to be lenient with."""
    worst = min(_blocks(_drawn_through(a, b) - b).max() for a, b in ((one, other), (other, one)))
    return bool(worst <= _LIKE_CUT * _contrast(one, other))


def _contrast(one: Values, other: Values) -> float:
    return max(float(min(one.std(), other.std())), _LEAST_CONTRAST)


def _drawn_through(one: Values, other: Values) -> Values:
    """``one`` with the brightness of ``other``: its darkest value becomes the other's darkest, and so on."""
    import numpy as np

    drawn = np.empty(one.size)
    drawn[np.argsort(one, axis=None, kind="stable")] = np.sort(other, axis=None)
    return drawn.reshape(one.shape)


def _is_marked(plain: Values, marked: Values) -> bool:
    import numpy as np

    contrast, off = _contrast(plain, marked), marked - plain
    for _ in range(3):  # light and contrast by what is not written over
        calm = np.abs(off) <= np.quantile(np.abs(off), 0.6)
        slope, level = np.polyfit(plain[calm], marked[calm], 1)
        off = marked - slope * plain - level
    blocks = np.sort(_blocks(off), axis=None)[::-1]
    lighter, darker = off[off > 0].sum(), -off[off < 0].sum()
    is_one_sided = min(lighter, darker) <= _ONE_SIDED * max(lighter, darker)
    return bool(is_one_sided and blocks[_MARKED] <= _LIKE_UNMARKED * contrast and slope > 0.5)


def _blocks(off: Values) -> Values:
    """Root mean square of each block, (6, 6)."""
    import numpy as np

    width = _SEEN // _BLOCKS
    return np.sqrt((off * off).reshape(_BLOCKS, width, _BLOCKS, width).mean((1, 3)))


def _differ_in_colour(one: Values, other: Values) -> bool:
    """Both have colours, and others. By the mean: it hardly moves with a cut, and not with a turn."""
    import numpy as np

    colourful = min(np.abs(colours - 128).mean() for colours in (one, other))
    distance = np.abs(one.mean((0, 1)) - other.mean((0, 1))).mean()
    return bool(colourful > _COLOURED and distance > _LIKE_COLOURED)


def _read(signature: bytes) -> tuple[Values, Values]:
    """Grey values (32, 32) and colours (8, 8, 2). Raises ``ValueError`` for what is no signature."""
    import numpy as np

    if len(signature) != BYTES:
        raise ValueError("not the signature of a picture")
    values = np.frombuffer(signature, np.uint8).astype(np.float64)
    return values[: SIDE * SIDE].reshape(SIDE, SIDE), values[SIDE * SIDE :].reshape(COLOURS, COLOURS, 2)


def _fine(values: Values) -> Values:
    """Without what a blur keeps."""
    smooth = values
    for _ in range(4):
        smooth = _blurred(smooth)
    return values - smooth


def _blurred(values: Values) -> Values:
    import numpy as np

    for _ in range(2):
        wide = np.pad(values, ((1, 1), (0, 0)), mode="edge")
        values = ((wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4).T
    return values


def _level(values: Values) -> Values:
    """Mean 0, length 1, in one row."""
    import numpy as np

    flat = values.ravel() - values.mean()
    return flat / max(float(np.sqrt((flat * flat).sum())), 1e-6)


def _correlation(rows: Values, other: Values) -> Values:
    """Of each row with ``other``, -1..1."""
    import numpy as np

    rows = rows - rows.mean(1, keepdims=True)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.einsum("ij,j->i", rows, _level(other)) / np.maximum(lengths, 1e-6)
