"""Texts of members: documents in an archive, unpacked in memory one at a time and read as any other.

Each becomes passages of the archive's own, which begin with the member's path. The invariant: whatever the archive
claims, one member takes :data:`_MOST_BYTES` at most, all together ``max_text_bytes``, and no archive in it is opened.
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind, path_text
from lakewatchd.core.content import Content, Passage
from lakewatchd.media import document, exif
from lakewatchd.media.archive.listing import Member
from lakewatchd.media.kinds import HEAD_BYTES, kind_of
from lakewatchd.media.text.passages import passages

Unpack = Callable[[int], bytes]
"""The next bytes of a member: so many, or less at its end. Raises :class:`errors.DamagedMedia`."""

_MOST_BYTES = 8 << 20
_MOST_LOOKED_AT = 2000
"""Members of which the beginning is unpacked, to see whether they are documents."""
_MOST_RATIO = 200
_RATIO_FROM_BYTES = 1 << 20
_TIME_SHARE = 0.5
"""Of the deadline. Afterwards no further member is begun: an archive must not be parked for what it is asked on top."""
_PATH_CHARS = 200
_PROBLEMS = 20


class Texts:
    """Of up to ``config.archive_members`` members, by and by."""

    def __init__(self, config: DecodeConfig) -> None:
        self._config = config
        self._left_bytes = self._left_chars = config.max_text_bytes
        self._left_looks = _MOST_LOOKED_AT
        self._until = time.monotonic() + _TIME_SHARE * config.deadline_s
        self._read: list[tuple[str, str]] = []
        self._problems: list[str] = []
        self._stopped = ""

    def want(self, member: Member) -> bool:
        """Whether to :meth:`take` it."""
        if self.is_done or member.is_folder or member.is_encrypted or not member.name:
            return False
        if self._left_looks <= 0 or time.monotonic() > self._until:
            self.stop("reading its members takes too long")
        elif min(self._left_bytes, self._left_chars) <= 0:
            self.stop(self._too_much)
        self._left_looks -= 1
        return not self._stopped

    def stop(self, problem: str) -> None:
        """Read no more, because of ``problem``; nothing if that is empty."""
        if problem and not self._stopped:
            self._stopped = f"not all of its texts were read: {problem}"

    @property
    def is_done(self) -> bool:
        return bool(self._stopped) or len(self._read) >= self._config.archive_members

    @property
    def _too_much(self) -> str:
        return f"they are more than {self._config.max_text_bytes} bytes"

    def take(self, member: Member, unpack: Unpack, packed_bytes: int | None = None) -> None:
        """Read ``member`` if it is a document. What is wrong with it alone is noted; storage that fails is not."""
        try:
            text = self._text(member, unpack, packed_bytes)
        except (errors.DamagedMedia, errors.TooLarge, errors.UnsupportedMedia) as exc:
            self._note(member, str(exc))
        else:
            if text.strip():
                self._read.append((member.name, text))

    def _text(self, member: Member, unpack: Unpack, packed_bytes: int | None) -> str:
        """Nothing of what is no document."""
        head = unpack(HEAD_BYTES)
        mime, kind = kind_of(head, member.name)
        if kind is not Kind.DOCUMENT or not document.is_readable(mime):
            return ""
        size = member.size_bytes or 0
        if packed_bytes is not None and size > max(_RATIO_FROM_BYTES, _MOST_RATIO * packed_bytes):
            raise errors.TooLarge(f"it is packed more than {_MOST_RATIO} times")
        if size > self._left_bytes:
            self.stop(self._too_much)
            return ""
        at_most = min(_MOST_BYTES, self._left_bytes)
        is_longer = len(head) == HEAD_BYTES and size <= at_most
        data = head + unpack(max(0, at_most + 1 - len(head))) if is_longer else head
        if max(size, len(data)) > at_most:
            raise errors.TooLarge(f"it has more than {at_most} bytes")
        self._left_bytes -= len(data)
        config = dataclasses.replace(self._config, max_text_bytes=self._left_chars)
        content, text = _described(data, mime, member.name, config)
        for problem in content.warnings:
            self._note(member, problem)
        self._left_chars -= len(text)
        return text

    def _note(self, member: Member, problem: str) -> None:
        if len(self._problems) < _PROBLEMS:
            self._problems.append(f"{path_text(member.name)[:_PATH_CHARS]}: {exif.clean(problem)}")

    def added_to(self, content: Content, text: str) -> tuple[Content, str]:
        """``content`` of an archive and its ``text``, and behind them what was read."""
        parts, found, at = [text], list(content.passages), len(text)
        for name, words in self._read:
            for piece in self._pieces(name, words):
                if at - len(text) + len(piece) > self._config.max_text_bytes:
                    self.stop(self._too_much)
                    break
                at += 2
                parts += ("\n\n", piece)
                found.append(Passage(piece, at, at + len(piece)))
                at += len(piece)
        whole, problems = "".join(parts), [*self._problems, *([self._stopped] if self._stopped else [])]
        return (
            dataclasses.replace(
                content,
                passages=tuple(found),
                text_chars=len(whole),
                warnings=(*content.warnings, *problems),
            ),
            whole,
        )

    def _pieces(self, name: str, words: str) -> list[str]:
        chars = self._config.passage_chars
        path = path_text(name)[: min(_PATH_CHARS, chars // 4)]
        room = chars - len(path) - 1
        spans = passages(words, room, min(self._config.passage_overlap, room // 3))
        return [f"{path}\n{words[start:end]}" for start, end in spans]


def _described(data: bytes, mime: str, name: str, config: DecodeConfig) -> tuple[Content, str]:
    """A bug that one member finds is about that member."""
    try:
        return document.describe_document(io.BytesIO(data), mime, name, config)
    except (errors.LakewatchError, MemoryError):
        raise
    except Exception as exc:
        raise errors.DamagedMedia(f"the decoder failed: {type(exc).__name__}: {exif.clean(str(exc))}") from exc
