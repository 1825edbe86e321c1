"""What the web process counts of its own answers: how many, and how long they took."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from lakewatchd.core.measures import sample_line

BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Of a histogram."""


class Traffic:
    """Bounded: its labels are paths of the API as they are described, and classes of statuses."""

    def __init__(self) -> None:
        self._answers = Counter[tuple[str, str]]()
        self._slower: dict[str, list[int]] = {}
        """Of each path how many took so long, and in the last place those beyond all bounds."""
        self._sums: dict[str, float] = {}

    def count(self, path: str, status: int, seconds: float) -> None:
        """``path`` is one of few."""
        self._answers[path, f"{status // 100}xx"] += 1
        buckets = self._slower.setdefault(path, [0] * (len(BOUNDS_S) + 1))
        buckets[bisect.bisect_left(BOUNDS_S, seconds)] += 1
        self._sums[path] = self._sums.get(path, 0.0) + seconds

    def exposition(self) -> Iterator[str]:
        """As Prometheus reads it, line by line."""
        yield "# HELP lakewatchd_http_answers_total Answers of the API."
        yield "# TYPE lakewatchd_http_answers_total counter"
        for (path, status), count in sorted(self._answers.items()):
            yield sample_line("lakewatchd_http_answers_total", [("path", path), ("status", status)], count)
        yield "# HELP lakewatchd_http_answer_seconds Until the head of an answer was sent."
        yield "# TYPE lakewatchd_http_answer_seconds histogram"
        for path, buckets in sorted(self._slower.items()):
            name = "lakewatchd_http_answer_seconds"
            bounds = [*map(str, BOUNDS_S), "+Inf"]
            for bound, count in zip(bounds, accumulate(buckets), strict=True):
                yield sample_line(f"{name}_bucket", [("path", path), ("le", bound)], count)
            yield sample_line(f"{name}_sum", [("path", path)], self._sums[path])
            yield sample_line(f"{name}_count", [("path", path)], sum(buckets))
