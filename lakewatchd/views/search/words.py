"""What is meant by what was typed: phrases, times, negation, ``tag:beach``, and the words that are left.

``photos of dogs last summer -beach "blue house"`` is a kind, a subject, a period, something that must not be there, and
a phrase that must. What was read is told back (:attr:`Asked.understood`), and quotes switch all of it off: what is
quoted is a phrase and nothing else. Invariant: nothing that was typed is lost: it is in the words, or it is told back.
"""

from __future__ import annotations

import calendar as days
import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lakewatchd.core.asset import Kind
from lakewatchd.core.found import Query
from lakewatchd.views.search import calendar
from lakewatchd.views.search.calendar import EveryYear, Period

MAX_CHARS = 2000
"""Of a question; what is longer is cut."""
MAX_WORDS = 32
"""That are looked for; models read all of the text."""

KIND_WORDS = {
    Kind.IMAGE: "image images picture pictures photo photos pic pics bild bilder foto fotos",
    Kind.VIDEO: "video videos film films movie movies clip clips filme",
    Kind.AUDIO: "audio sound sounds recording recordings song songs music aufnahme aufnahmen musik",
    Kind.DOCUMENT: "document documents doc docs text texts dokument dokumente texte",
    Kind.TABLE: "table tables spreadsheet spreadsheets tabelle tabellen",
    Kind.OTHER: "other",
}
_KIND = {name: kind for kind, names in KIND_WORDS.items() for name in names.split()}
_FIELDS = {
    "tag": "tags", "tags": "tags", "kind": "kinds", "type": "kinds", "art": "kinds", "category": "category",
    "kategorie": "category", "in": "place", "place": "place", "ort": "place", "city": "city", "country": "country",
    "root": "root", "object": "object", "since": "since", "from": "since", "until": "until", "before": "until",
}  # fmt: skip
"""What may stand before a colon."""
NOT_WORDS = "not without except excluding no nicht ohne außer kein keine keinen keinem keiner"
"""Before what must not be there."""
STOP_WORDS = (
    "a an the of in on at to by for from with and or is are was were be been it its this that these those as i me my "
    "we our you your he she his her they their what which who when where how do does did have has had not no can there "
    "show find search all any some about "
    "der die das den dem des ein eine einen einem einer eines und oder ist sind war waren im in am an auf aus bei mit "
    "von vom zu zum zur für ich mir mein meine wir uns unser du dein er sie es ihr wer was wo wann wie welche nicht "
    "zeige finde suche alle "
    "de la le les du des un une et ou est sont dans sur avec que qui où ce cette ces au aux en je tu il elle nous vous"
)
"""Say nothing by themselves."""
ASKING_WORDS = (
    "when why how does did do will whose wann warum wieso weshalb wie wieviel hat haben wird "
    "quand pourquoi comment combien"
)
"""Begin a question that no picture answers."""
_ASKING = frozenset(ASKING_WORDS.split())
_NOT, _STOP = frozenset(NOT_WORDS.split()), frozenset(STOP_WORDS.split())

_TOKEN = re.compile(
    r'(?P<minus>(?<!\S)-)?(?:(?P<name>[^\W\d]\w*):)?["“”„«»](?P<quoted>[^"“”„«»]*)["“”„«»]'
    r"|(?P<minus2>(?<!\S)-)?(?P<field>[^\W\d]\w*):(?P<value>[^\s\"“”„«»]+)"
    r"|(?<!\S)-(?P<without>[^\W_][^\s\"“”„«»]*)"
)
_NEGATED = re.compile(
    rf"(?<!\S)(?:{'|'.join(sorted(_NOT, key=len, reverse=True))})\s+"
    r"(?:(?:any|the|a|an|die|der|das)\s+)?(?P<word>[^\W_][\w\-’']*)",
    re.IGNORECASE,
)
_KIND_FIRST = re.compile(
    r"^\s*(?:all\s|my\s|alle\s|meine\s)?(?P<kind>\w+)\s+(?:of|from|with|in|von|vom|mit|aus)\s(?=\s*\S)", re.IGNORECASE
)
WORD = re.compile(r"\w(?:[\w'’\-./]*\w)?")
_NAME = re.compile(r"[_/]|\.\w|[^\W\d]-?\d|\d-?[^\W\d]|\d-\d")
"""In the name of a file, and hardly in another word."""
_SEQUENCE = re.compile(
    r"^\s*(?P<text>.+?)\s+(?:after|nach)\s+(?P<after>.+?)"
    r"(?:\s+(?:within|binnen|innerhalb(?:\s+von)?)\s+(?P<count>\d{1,5})\s*(?P<unit>s|secs?|seconds?|sekunden?|mins?|minutes?|minuten?))?\s*$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'["“”„«»]([^"“”„«»]+)["“”„«»]')


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, taken apart."""

    query: Query
    """With every filter that was typed; ``text`` is as it was typed."""
    text: str = ""
    """What is left for models, which read meaning: words and phrases in their order."""
    words: tuple[str, ...] = ()
    """Any of these; the more, the better."""
    phrases: tuple[str, ...] = ()
    """All of these, word by word."""
    without: tuple[str, ...] = ()
    """None of these: words, phrases."""
    years: tuple[str, ...] = ()
    """Bare numbers that were read as a year and may be a part of a name as well."""
    every: tuple[EveryYear, ...] = ()
    """Days of any year, all of which must hold."""
    place: str = ""
    """A city or a country."""
    no_kinds: tuple[Kind, ...] = ()
    longer: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Words of the lake that a word is a part of: those are as good as it."""
    understood: tuple[tuple[str, ...], ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def has_words(self) -> bool:
        return bool(self.words or self.phrases)

    @property
    def names(self) -> tuple[str, ...]:
        """Words that look like the name of a file, or a path."""
        return tuple(word for word in self.words if _NAME.search(word))

    @property
    def asks(self) -> bool:
        """For what is said somewhere, and not for what something looks like."""
        said = self.text.lower().split()
        return bool(said) and said[0] in _ASKING and _KIND.keys().isdisjoint(said)

    @property
    def forms(self) -> dict[str, str]:
        """What may be said -> the word that it stands for."""
        longer = {form: word for word, forms in self.longer.items() for form in forms}
        return longer | {word: word for word in self.words}


def read(query: Query, today: dt.date, *, every: bool = True) -> Asked:
    """Take ``query.text`` apart. Filters that were given apart from it hold as well. Without ``every``, days of any
    year (``in spring``) stay words."""
    return _Reader(query, today, every).read()


class _Reader:
    def __init__(self, query: Query, today: dt.date, reads_every: bool) -> None:
        self._reads_every = reads_every
        self._today = today
        self._text = clean(query.text)
        self._query = query
        self._phrases: list[str] = []
        self._without: list[str] = []
        self._years: list[str] = []
        self._every: list[EveryYear] = []
        self._place = ""
        self._no_kinds: list[Kind] = []
        self._understood: list[tuple[str, ...]] = []
        self._advice: list[str] = []

    def read(self) -> Asked:
        plain = self._sequence(self._text)
        plain = _TOKEN.sub(self._token, plain)
        plain = self._times(plain)
        plain = _NEGATED.sub(self._negated, plain)
        plain = _KIND_FIRST.sub(self._kind_first, plain)
        plain = plain.replace(_OPENS, " ").replace(_CLOSES, " ")
        text = re.sub(r"\s+", " ", plain).strip()
        typed = tuple(dict.fromkeys(WORD.findall(text)))
        words = tuple(word for word in typed if not is_stop(word)) or typed
        return Asked(
            query=self._query,
            text=text,
            words=words[:MAX_WORDS],
            phrases=tuple(self._phrases),
            without=tuple(dict.fromkeys(self._without)),
            years=tuple(self._years),
            every=tuple(self._every),
            place=self._place,
            no_kinds=tuple(self._no_kinds),
            understood=tuple(self._understood),
            advice=tuple(self._advice),
        )

    def _sequence(self, text: str) -> str:
        """``"goal" after "kick-off" within 30s``: surely meant so where both are quoted, or a time is given."""
        found = _SEQUENCE.match(text)
        if found is None or self._query.after:
            return text
        both = all(_QUOTED.fullmatch(found[side].strip()) for side in ("text", "after"))
        if not (both or found["count"]):
            return text
        within_s = self._query.within_s
        if found["count"]:
            within_s = float(found["count"]) * (60 if found["unit"].lower().startswith("min") else 1)
        after = found["after"].strip(' "“”„«»')
        self._query = dataclasses.replace(self._query, after=after, within_s=within_s)
        self._tell("after", f"{after} (within {within_s:g} s)", text[found.end("text") :])
        return found["text"]

    def _token(self, found: re.Match[str]) -> str:
        """A phrase, a field or a ``-word``; what it leaves in the text."""
        if found["without"]:
            self._deny(found["without"], found.group())
            return " "
        is_denied = bool(found["minus"] or found["minus2"])
        name, value = (
            (found["name"], found["quoted"]) if found["quoted"] is not None else (found["field"], found["value"])
        )
        value = value.strip()
        if not value:
            return " "
        if name and name.lower() in _FIELDS:
            return (
                " " if self._field(_FIELDS[name.lower()], value, found.group(), is_denied=is_denied) else found.group()
            )
        if found["quoted"] is None:
            return found.group()  # a colon as in 12:30 or C:\
        if is_denied:
            self._deny(value, found.group())
            return " "
        self._phrases.append(value)
        return f" {name + ':' if name else ''}{_OPENS}{value}{_CLOSES} "

    def _field(self, field: str, value: str, typed: str, *, is_denied: bool) -> bool:
        if is_denied and field not in ("tags", "kinds"):
            return False
        match field:
            case "tags":
                side = "no_tags" if is_denied else "tags"
                self._set(side, (*getattr(self._query, side), value.lower()), value, typed)
            case "kinds":
                kind = _KIND.get(value.lower())
                if kind is None:
                    self._advice.append(f"no kind {value!r}: there are {', '.join(Kind)}")
                    return False
                if is_denied:
                    self._no_kinds.append(kind)
                    self._tell("no_kinds", kind.value, typed)
                else:
                    self._set("kinds", (*self._query.kinds, kind), kind.value, typed)
            case "place":
                self._place = value
                self._tell("place", value, typed)
            case "since" | "until":
                said = next(calendar.find(value, self._today), None)
                if said is None or not isinstance(said.time, Period):
                    self._advice.append(
                        f"{value!r} is no day: write {field}:2024-05-31, {field}:2024-05 or {field}:2024"
                    )
                    return False
                self._period(
                    Period(said.time.since, None) if field == "since" else Period(None, said.time.since), typed
                )
            case _:
                self._set(field, value, value, typed)
        return True

    def _times(self, text: str) -> str:
        """Times outside of quotes. Several are alternatives to nobody: the first that fits the others counts."""
        masked = re.sub(f"{_OPENS}[^{_CLOSES}]*{_CLOSES}", lambda found: _OPENS * len(found.group()), text)
        left = list(text)
        for said in calendar.find(masked, self._today):
            typed = text[said.start : said.end]
            if isinstance(said.time, EveryYear) and not self._reads_every:
                continue
            if isinstance(said.time, EveryYear):
                self._every.append(said.time)
                self._tell("every", _every_text(said.time), typed)
            elif not self._period(said.time, typed):
                continue
            if said.is_bare_year:
                self._years.append(typed)
            left[said.start : said.end] = " " * (said.end - said.start)
        return "".join(left)

    def _period(self, period: Period, typed: str) -> bool:
        """False where it would leave no day at all together with what was said before."""
        since = _latest(self._query.since, _midnight(period.since))
        until = _earliest(self._query.until, _midnight(period.until))
        if since and until and since >= until:
            return False
        self._query = dataclasses.replace(self._query, since=since, until=until)
        for field, day in (("since", period.since), ("until", period.until)):
            if day is not None:
                self._tell(field, day.isoformat(), typed)
        return True

    def _negated(self, found: re.Match[str]) -> str:
        if is_stop(found["word"]) or found["word"].lower() in _NOT:  # to be or not to be
            return found.group()
        self._deny(found["word"], found.group())
        return " "

    def _kind_first(self, found: re.Match[str]) -> str:
        """``photos of`` at the beginning; a photo of a film is asked for in quotes."""
        kind = _KIND.get(found["kind"].lower())
        if kind is None or kind is Kind.OTHER or self._query.kinds:
            return found.group()
        self._set("kinds", (kind,), kind.value, found.group())
        return " "

    def _deny(self, value: str, typed: str) -> None:
        self._without.append(value)
        self._tell("without", value, typed)

    def _set(self, field: str, value: object, shown: str, typed: str) -> None:
        set_field: Callable[..., Query] = dataclasses.replace
        values: Mapping[str, object] = {field: value}
        self._query = set_field(self._query, **values)
        self._tell(field, shown, typed)

    def _tell(self, field: str, value: str, typed: str) -> None:
        self._understood.append(
            (field, value, re.sub(r"\s+", " ", typed.replace(_OPENS, "").replace(_CLOSES, "")).strip())
        )


_OPENS, _CLOSES = "\x02", "\x03"
"""Around a phrase while the text is read."""


def is_stop(word: str) -> bool:
    return word.lower() in _STOP


def clean(text: str) -> str:
    """Without control characters and lone surrogates, on one line."""
    text = text[:MAX_CHARS].encode("utf-8", "replace").decode()
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+", " ", text).strip()


def _every_text(every: EveryYear) -> str:
    names = ", ".join(days.month_name[month] for month in every.months)
    return f"{names} {every.days[0]} to {every.days[-1]}" if every.days else names


def _midnight(day: dt.date | None) -> dt.datetime | None:
    return None if day is None else dt.datetime.combine(day, dt.time())


def _latest(first: dt.datetime | None, second: dt.datetime | None) -> dt.datetime | None:
    return max(first, second) if first and second else first or second


def _earliest(first: dt.datetime | None, second: dt.datetime | None) -> dt.datetime | None:
    return min(first, second) if first and second else first or second
