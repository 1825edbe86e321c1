"""The engine with all it needs, opened from the settings and closed together: the same behind every door."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from lakewatchd.config import Config
from lakewatchd.core.garbage import keep_what_is_here
from lakewatchd.errors import LakewatchError
from lakewatchd.lake.files import files_of
from lakewatchd.lake.finder import Finder
from lakewatchd.media.sandbox import Decoders
from lakewatchd.views.search.example import Examples
from lakewatchd.views.search.finding import PATIENCE_S, Search
from lakewatchd.views.search.queries import Encoder


@dataclass(frozen=True, slots=True)
class Opened:
    engine: Search
    finder: Finder


@contextlib.asynccontextmanager
async def opened(
    config: Config,
    *,
    words_only: bool = False,
    patience_s: float = PATIENCE_S,
    is_warm: bool = False,
    scratch: Path | None = None,
) -> AsyncIterator[Opened]:
    """No process is started before something is asked, and none for models with ``words_only``; ``is_warm``: what the
    first question needs is loaded at once, which is not waited for. ``scratch`` is for files to compare with;
    None: where the system has such.
    """
    finder = Finder(files_of(config))
    encoder = None
    if not words_only:
        encoder = Encoder(config.models, config.model_dir, decode=config.decode, idle_s=config.search.idle_s)
    decoders = Decoders(config.decode, 1)
    warming = asyncio.create_task(_warm(finder, encoder), name="warm") if is_warm else None
    try:
        yield Opened(Search(finder, encoder, Examples(decoders, scratch), patience_s=patience_s), finder)
    finally:
        if warming is not None:
            warming.cancel()
        await decoders.close()
        if encoder is not None:
            await encoder.close()
        finder.close()


async def _warm(finder: Finder, encoder: Encoder | None) -> None:
    """The first question need not wait for any of it. What fails here is told to who asks."""
    with contextlib.suppress(LakewatchError):
        await finder.warm()
    if encoder is not None:
        with contextlib.suppress(LakewatchError):
            await encoder.warm()
    keep_what_is_here()
