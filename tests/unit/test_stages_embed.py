"""Which texts have a vector depends on what there is, not on what there was before."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lakewatchd.core.asset import Kind
from lakewatchd.core.job import Priority
from lakewatchd.lake.rows import AssetRow, SpanRow
from lakewatchd.models.base import ModelInfo
from lakewatchd.stages import embed, spans
from lakewatchd.stages.base import Context, Work


class Letters:
    """A model for which a text is its first letter."""

    async def embed_passages(self, texts: Sequence[str], *, priority: Priority) -> Any:
        return np.array([[float(ord(text[0])), 1.0] for text in texts])


async def test_texts_beyond_the_bound_have_no_vector_whatever_came_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "MAX_PASSAGES", 2)
    model = cast("ModelInfo", SimpleNamespace(transform_config={"name": "letters"}))
    ctx = cast("Context", SimpleNamespace(models=Letters()))
    read = [SpanRow("f" * 64, 0, "text", text=text) for text in ("x", "y")]

    async def vectors(*histories: Sequence[str]) -> list[SpanRow]:
        work = Work("f" * 64, Kind.DOCUMENT, "", "a.pdf", Priority.FRESH, (), AssetRow("f" * 64, Kind.DOCUMENT, "", 1))
        spans.put(work, spans.READ, read)
        for passages in histories:
            spans.put(work, spans.DECODED, [SpanRow("f" * 64, 0, "passage", text=text) for text in passages])
            await embed.stage(None, model).run(work, ctx)
        return work.spans

    assert await vectors([], ["a"]) == await vectors(["a"]) == await vectors(["b", "c"], ["a"])
    assert [span.text for span in await vectors([], ["a"]) if span.text_vector] == ["a", "x"]
