"""Folders that are questions: ``search/<text>/`` and ``similar/<file name>/``.

A question is a folder as soon as somebody names it, and is asked when somebody looks in: so a file manager that probes
for names asks nothing. What was asked last is listed. The invariants: an answer is asked for once, however many look at
it, and stands until who lists it finds it old; a server that is slow or away is a text in the folder, never a hang.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lakewatchd import errors
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.found import MARK_CLOSES, MARK_OPENS, Found, Hit, Query
from lakewatchd.views.mounted.entries import Branch, Folders, RankedFile, Shown, Text
from lakewatchd.views.mounted.folders import Folder
from lakewatchd.views.mounted.names import file_name, folder_text
from lakewatchd.views.mounted.waiting import Crowded, WaitingRoom

SEARCH, SIMILAR = b"search", b"similar"
README = b"README.txt"
HITS = 100
KEPT = 64
OLD_S = 30.0
FAILED_S = 2.0
"""After a failure the server is asked again that much later: a listing and what is in it are of one answer."""
DEADLINE_S = 10.0
SEEN_IN_A_NAME = 2
"""Files of one name to tell whether it means one only."""

_PROBED = re.compile(
    rb"(\.|~|\$).*|.*~|(desktop|autorun|thumbs|ehthumbs|ehthumbs_vista)\.(ini|inf|db)|folder\.(jpe?g|png|gif)"
    rb"|albumart.*\.jpg|autorun\.exe|system volume information|recycler|lost\+found|trash-?\d*|(video|audio)_ts|bdmv"
    rb"|\d*\.svn|cvs",
    re.IGNORECASE | re.DOTALL,
)
"""What shells, file managers and media players look for in any folder: never a question."""


class Asked(Protocol):
    async def find(self, query: Query) -> Found:
        """Raises LakewatchError."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    entries: dict[bytes, Shown]
    """In order of their rank."""
    revision: int
    asked_at: float
    """By the monotonic clock."""
    has_failed: bool = False


@dataclass(slots=True)
class Question:
    """``branch`` is how the folder is shown."""

    branch: Branch
    answer: Answer | None = None
    under_way: asyncio.Task[Answer] | None = None


def is_probed(name: bytes) -> bool:
    return _PROBED.fullmatch(name) is not None


@dataclass(slots=True)
class Answers:
    """One room: of texts (:func:`searching`) or of files (:func:`looking_like`).

    ``query_of`` makes the question of a folder's name, with what is to be said about it, or None if it is none.
    ``revision`` is that of the view.
    """

    name: bytes
    about: Text
    query_of: Callable[[bytes], tuple[Query, str] | None]
    asked: Asked | None
    folders: Folders
    revision: Callable[[], int]
    deadline_s: float = DEADLINE_S
    clock: Clock = field(default_factory=SystemClock)
    _questions: OrderedDict[bytes, Question] = field(default_factory=OrderedDict)
    """Those that were looked into, the latest last."""
    _waiting: WaitingRoom = field(default_factory=WaitingRoom)

    async def folder(self, folder: Folder) -> Branch | None:
        if len(folder) == 1:
            return Branch(0, 2 + len(self._questions))
        return self._branch(folder[1]) if len(folder) == 2 else None

    async def lookup(self, folder: Folder, name: bytes) -> Shown | None:
        if len(folder) == 1:
            return self.about if name == README else self._branch(name)
        if len(folder) > 2 or is_probed(name) or self._branch(folder[1]) is None:
            return None
        return (await self._answer(folder[1], may_be_old=True)).entries.get(name)

    async def entries(self, folder: Folder) -> Sequence[tuple[bytes, Shown]]:
        if len(folder) == 1:
            latest = [(name, question.branch) for name, question in reversed(self._questions.items())]
            return [(README, self.about), *latest]
        if len(folder) > 2 or self._branch(folder[1]) is None:
            raise KeyError(folder)
        return list((await self._answer(folder[1], may_be_old=False)).entries.items())

    def _branch(self, name: bytes) -> Branch | None:
        if (question := self._questions.get(name)) is not None:
            return question.branch
        return None if is_probed(name) or name == README or self.query_of(name) is None else Branch(0, 2)

    async def _answer(self, name: bytes, *, may_be_old: bool) -> Answer:
        question = self._questions.setdefault(name, Question(Branch(0, 2)))
        self._questions.move_to_end(name)
        while len(self._questions) > KEPT:
            self._questions.popitem(last=False)
        if question.answer is not None and (may_be_old or not self._is_old(question.answer)):
            return question.answer
        if question.under_way is None:
            question.under_way = asyncio.create_task(self._ask(name, question))
        try:
            return await self._waiting.until_done(question.under_way, self.deadline_s)
        except Crowded:
            why = "Too many people are looking for something just now. Look again in a moment."
        except TimeoutError:
            why = f"There was no answer within {self.deadline_s:.0f} seconds. Look again in a moment."
        return self._failure(why, question.answer)

    def _is_old(self, answer: Answer) -> bool:
        age_s = self.clock.monotonic() - answer.asked_at
        if answer.has_failed:
            return age_s > FAILED_S
        return age_s > OLD_S or answer.revision != self.revision()

    async def _ask(self, name: bytes, question: Question) -> Answer:
        try:
            question.answer = await self._asked(name, question.answer)
        finally:
            question.under_way = None
        question.branch = Branch(int(self.clock.now() * 1e9), 2)
        return question.answer

    async def _asked(self, name: bytes, before: Answer | None) -> Answer:
        asked_at, revision = self.clock.monotonic(), self.revision()
        found = self.query_of(name)
        if found is None:
            return self._failure("There is no such file any more.")
        if self.asked is None:
            return self._failure("This view was started without a way to ask.")
        query, said = found
        try:
            answer = await self.asked.find(query)
        except errors.LakewatchError as exc:
            hint = f"\nWhat helps: {exc.hint}" if exc.hint else ""
            return self._failure(f"Nothing can be looked for just now: {exc.message}{hint}", before)
        entries = dict(self._ranked(answer.hits))
        if readme := "\n".join(_remarks(answer, said, is_empty=not entries)):
            entries[README] = Text(readme.encode(errors="replace") + b"\n", int(self.clock.now() * 1e9))
        return Answer(entries, revision, asked_at)

    def _ranked(self, hits: Sequence[Hit]) -> Iterator[tuple[bytes, Shown]]:
        """``0001 name.jpg``. What the view does not know yet, or no more, has no rank."""
        rank = 0
        for hit in hits[:HITS]:
            if (file := self.folders.file_of(hit.asset_id)) is not None:
                rank += 1
                yield file_name(b"%04d %b" % (rank, file.name)), RankedFile.of(file, tuple(_notes(rank, hit)))

    def _failure(self, why: str, before: Answer | None = None) -> Answer:
        """What was found before stays: who mirrors the folder must not take a pause for deletions."""
        text = Text(why.encode(errors="replace") + b"\n", int(self.clock.now() * 1e9))
        entries = {**(before.entries if before is not None else {}), README: text}
        return Answer(entries, self.revision(), self.clock.monotonic(), has_failed=True)


def searching(asked: Asked | None, folders: Folders, revision: Callable[[], int]) -> Answers:
    def query_of(name: bytes) -> tuple[Query, str] | None:
        text = _text_of(name)
        return (Query(text=text, limit=HITS), "") if text is not None and text.strip() else None

    return Answers(SEARCH, _ABOUT_SEARCH, query_of, asked, folders, revision)


def looking_like(asked: Asked | None, folders: Folders, revision: Callable[[], int]) -> Answers:
    def query_of(name: bytes) -> tuple[Query, str] | None:
        text = _text_of(name) or ""
        if re.fullmatch("[0-9a-f]{64}", text) and folders.file_of(text) is not None:
            return Query(like=text, limit=HITS), ""
        places = folders.named(name, SEEN_IN_A_NAME)
        if not places:
            return None
        said = ""
        if len({place.asset.asset_id for place in places}) > 1:
            said = (
                f"Several files have this name. These look like {places[0].root}/{places[0].path}.\n"
                "For another one, use its asset id, which getfattr -n user.lakewatchd.asset FILE tells: "
                f"similar/{places[0].asset.asset_id}"
            )
        return Query(like=places[0].asset.asset_id, limit=HITS), said

    return Answers(SIMILAR, _ABOUT_SIMILAR, query_of, asked, folders, revision)


def _text_of(name: bytes) -> str | None:
    try:
        text = folder_text(name)
    except UnicodeDecodeError:
        return None
    return text if text is not None and not re.search(r"[\x00\ud800-\udfff]", text) else None


def _notes(rank: int, hit: Hit) -> Iterator[tuple[bytes, bytes]]:
    texts = {"score": f"{hit.score:.4f}", "rank": f"{rank}", "doors": ",".join(reason.door for reason in hit.reasons)}
    if (piece := hit.piece) is not None:
        texts["start_s"] = f"{piece.start_s:.1f}" if piece.start_s is not None else ""
        texts["page"] = f"{piece.page}" if piece.page is not None else ""
        texts["snippet"] = piece.snippet.replace(MARK_OPENS, "").replace(MARK_CLOSES, "")
    yield from ((key.encode(), text.encode(errors="replace")) for key, text in texts.items() if text)


def _remarks(found: Found, said: str, *, is_empty: bool) -> Iterator[str]:
    if said:
        yield said
    if is_empty:
        yield "Nothing was found."
    if is_empty or found.is_partial:
        yield from found.advice
    if found.is_partial:
        yield f"Not everybody was asked; without an answer: {', '.join(found.is_partial)}."


_ABOUT_SEARCH = Text(
    b"""Name a folder in here, and it holds what fits its name best, the best first:

    ls "/mnt/lake/search/sunset at the beach"
    0001 evening.jpg  0002 bay.mp4 ...

A file manager goes there when the path is typed into its location bar. Words, "phrases", -words and dates (2019, last
summer) are understood as everywhere else; write %2F for a slash. What was looked for last is listed here.
Extended attributes say more: getfattr -d FILE shows score, page, second and the words that fit.
"""
)
_ABOUT_SIMILAR = Text(
    b"""Name a folder in here like a file of the lake, and it holds what looks or sounds like that file, the best first:

    ls /mnt/lake/similar/evening.jpg
    0001 evening-2.jpg  0002 bay.jpg ...

A name is one as it stands in by-root, or an asset id. Where several files have the name, README.txt in the folder says
which of them it is.
"""
)
