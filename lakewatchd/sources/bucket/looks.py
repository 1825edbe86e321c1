"""What lies in a bucket at a path now, asked by ``HEAD`` in a few threads; the last answers are remembered for a while,
since who asks for a version asks for its labels next.

The invariant: "nothing is there" is only said while the bucket itself is.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from lakewatchd.buckets.client import Bucket, ObjectInfo
from lakewatchd.core.asset import NO_LABELS, Labels, Version
from lakewatchd.sources.bucket.compare import version_of
from lakewatchd.sources.bucket.crew import Crew
from lakewatchd.sources.bucket.names import Names

REMEMBERED = 1000
FRESH_S = 30.0


@dataclass(frozen=True, slots=True)
class _Answer:
    info: ObjectInfo
    labels: Labels
    at: float


class Looks:
    """Use from one event loop. All raise :class:`~lakewatchd.errors.RootAway`, ``NotReadable`` and ``TimedOut``."""

    def __init__(self, bucket: Bucket, names: Names, crew: Crew, *, read_tags: bool) -> None:
        self._bucket = bucket
        self._names = names
        self._crew = crew
        self._read_tags = read_tags
        self._counts_tags = False
        """Whether the server says how many tags an object has: one that never does has to be asked."""
        self._answers: OrderedDict[str, _Answer] = OrderedDict()

    async def version(self, path: str) -> Version | None:
        """None for nothing, and for what is left out."""
        if self._names.why_ignored(path) is not None:
            return None
        answer = await self._ask(path)
        if answer is None or self._why_left_out(path, answer.info) is not None:
            return None
        return version_of(answer.info, answer.labels.mark)

    async def labels(self, path: str) -> Labels:
        """Of the version that was told last, if that is not long ago."""
        answer = self._answers.get(path)
        if answer is None or time.monotonic() - answer.at > FRESH_S:
            answer = await self._ask(path)
        return answer.labels if answer is not None else NO_LABELS

    async def why_left_out(self, path: str) -> str | None:
        """By rule, or by what lies there."""
        why = self._names.why_ignored(path)
        if why is not None:
            return why
        answer = await self._ask(path)
        return self._why_left_out(path, answer.info) if answer is not None else None

    def _why_left_out(self, path: str, info: ObjectInfo) -> str | None:
        return self._names.why_left_out(path, info.key, info.size_bytes)

    async def _ask(self, path: str) -> _Answer | None:
        self._answers.pop(path, None)
        answer = await self._crew.run(self._head, self._names.key(path))
        if answer is not None:
            self._answers[path] = answer
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return answer

    def _head(self, key: str) -> _Answer | None:
        """In a thread. A bucket that is gone says 404 of each object, too."""
        info = self._bucket.head(key)
        if info is None:
            self._bucket.require()
            return None
        tags = self._bucket.tags(key) if self._read_tags and self._may_have_tags(info) else ()
        return _Answer(info, Labels(tags, info.metadata, info.content_type, info.version_id), time.monotonic())

    def _may_have_tags(self, info: ObjectInfo) -> bool:
        if info.tag_count is not None:
            self._counts_tags = True
        return bool(info.tag_count) or not self._counts_tags
