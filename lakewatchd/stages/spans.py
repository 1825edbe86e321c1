"""The pieces of an asset: which stage makes which, and in which order they are numbered.

The invariant: numbers depend on the pieces only, not on which stage ran when; a stage replaces its own and no others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from lakewatchd.lake.rows import SpanRow
from lakewatchd.stages.base import Work

DECODED = ("image", "frame", "page", "passage")
"""What decoding makes, whichever stage that is for the kind."""
CLIPS, READ, SPOKEN = ("clip",), ("text",), ("speech",)
_ORDER = {kind: at for at, kind in enumerate((*DECODED, *CLIPS, *READ, *SPOKEN))}

PICTURED = ("image", "frame", "page")
"""Those whose pictures :func:`lakewatchd.stages.base.decode` gives."""


def put(work: Work, kinds: tuple[str, ...], made: Iterable[SpanRow]) -> None:
    """``made`` in the place of all spans of these ``kinds``. Whatever numbers they have, they are numbered anew."""
    spans = [span for span in work.spans if span.kind not in kinds] + list(made)
    spans.sort(key=lambda span: _ORDER[span.kind])  # stable: within a kind as they came
    work.spans = [dataclasses.replace(span, span=number) for number, span in enumerate(spans)]
