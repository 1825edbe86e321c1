"""How an endpoint answers: any of our dataclasses as JSON, and what is wrong as a :class:`Trouble`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from lakewatchd import errors
from lakewatchd.core.wire import to_json


@dataclass(frozen=True, slots=True)
class Trouble:
    """Every answer that is no success."""

    error: str
    hint: str
    """What to do about it; empty where nobody knows."""


def answer(value: object, status: int = 200, **headers: str) -> Response:
    """``value`` is what :func:`lakewatchd.core.wire.to_json` takes."""
    body = json.dumps(to_json(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, {"Cache-Control": "no-store", **headers}, "application/json")


def trouble(exc: errors.LakewatchError) -> Response:
    return refusal(status_of(exc), exc.message, exc.hint or "", **_AGAIN.get(status_of(exc), {}))


def refusal(status: int, message: str, hint: str = "", **headers: str) -> Response:
    return answer(Trouble(message, hint), status, **headers)


def status_of(exc: errors.LakewatchError) -> int:
    """400 is a person's mistake, 503 may pass by itself, 500 does not."""
    if isinstance(exc, errors.DaemonDown | errors.PauseError | errors.TransientError):
        return 503
    return 500 if isinstance(exc, errors.FatalError | errors.ConfigError) else 400


_AGAIN: dict[int, dict[str, str]] = {503: {"Retry-After": "3"}}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"model": Trouble, "description": "What is wrong, and what to do about it"}
}
"""For the description of every endpoint."""
