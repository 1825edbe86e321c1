"""Rich Text: what stands between the braces."""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media.text import plain, writing
from lakewatchd.media.text.writing import Pen, Writing

_INFO = re.compile(r"\{\\(title|author|subject|keywords)\s([^{}]{1,1000})\}")
_CREATED = re.compile(r"\{\\creatim\\yr(\d{4})\\mo(\d{1,2})\\dy(\d{1,2})(?:\\hr(\d{1,2}))?(?:\\min(\d{1,2}))?")


def is_available() -> bool:
    return importlib.util.find_spec("striprtf") is not None


def load() -> None:
    import striprtf.striprtf  # noqa: F401


def read(stream: BinaryIO, config: DecodeConfig) -> Writing:
    from striprtf.striprtf import rtf_to_text

    data, is_cut = plain.head(stream, config.max_text_bytes)
    text = data.decode("latin-1")
    pen = Pen(config.max_text_bytes)
    try:
        pen.write(rtf_to_text(text, errors="replace"))
        said = {
            key: rtf_to_text("{\\rtf1 " + value + "}", errors="replace") for key, value in _INFO.findall(text[:200_000])
        }
    except (ValueError, IndexError, LookupError, OverflowError) as exc:
        raise errors.DamagedMedia("not Rich Text after all") from exc
    return Writing(
        text=pen.text(),
        title=writing.name(said.get("title", "")) or plain.find_title(pen.text()),
        author=writing.name(said.get("author", "")),
        created=_created(text[:200_000]),
        facts=writing.facts({key: said.get(key) for key in ("subject", "keywords")}),
        problems=(*pen.problems(), *([f"only the first {len(data)} bytes were read"] if is_cut else [])),
    )


def _created(text: str) -> dt.datetime | None:
    match = _CREATED.search(text)
    if match is None:
        return None
    try:
        return writing.wall_clock(dt.datetime(*(int(part or 0) for part in match.groups())))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None
