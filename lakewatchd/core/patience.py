"""Asking a file system that may never answer, without waiting for ever. For places that have no event loop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(answer_s: float, call: Callable[[], T]) -> T | None:
    """What the call returns; None when it has not after ``answer_s``, or failed. A thread that hangs is left behind."""
    answers: queue.SimpleQueue[T | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(call())
        except OSError:
            answers.put(None)

    threading.Thread(target=ask, name="patience", daemon=True).start()
    try:
        return answers.get(timeout=answer_s)
    except queue.Empty:
        return None
