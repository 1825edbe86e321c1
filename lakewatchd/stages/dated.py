"""When was it? Of all that says so, the best evidence that is not absurd. A table to read.

Times are wall-clock times, as a person there would have said. What is told in Greenwich time becomes one by the zone of
the place where it was taken, or by this machine's where that is not known. A day, a month or a year alone is made finer
by lesser evidence that agrees with it. Invariant: the outcome depends on the asset, its places and its sidecars, and on
today's date only for what claims to be from the future.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lakewatchd.core.asset import Kind
from lakewatchd.lake.rows import AssetRow, OccurrenceRow
from lakewatchd.media.exif import day_in_name, moment_in_name
from lakewatchd.stages import labelled

EVIDENCE = (
    "sidecar",  # XMP beside it: a person's correction, or a copy of EXIF
    "exif",  # the clock of the camera
    "container",  # the same of a film or a recording
    "document",  # what a document, a mail or a table says of itself
    "gps",  # satellites; in Greenwich time
    "container-utc",  # the clock of the camera, set to Greenwich time as the format wants it
    "name",  # of the file, to the second: IMG_20240712_101500.jpg
    "takeout",  # Google's guess where nothing else was told; in Greenwich time
    "day",  # of the file's name: IMG-20240712-WA0001.jpg
    "folder",  # 2019/07, 2019-07-12 Italy, 2019
    "mtime",  # when the file was last written, or as noted with the object
)
"""Best first. What content says by a word that is not here ranks as ``document``."""
_GREENWICH = frozenset(("gps", "container-utc", "takeout"))
_SHOWN = {"container-utc": "container", "takeout": "sidecar", "day": "name"}
"""``gold_assets.dated_by`` has fewer words: how it was told, not in which zone."""
_RESET = frozenset((dt.date(1904, 1, 1), dt.date(1970, 1, 1), dt.date(1980, 1, 1)))
"""Where clocks begin that nobody has set."""
_FIRST_YEAR = 1826
"""No photograph is older. A scan may well be dated back to its original."""
_AHEAD = dt.timedelta(days=2)
"""As far as a clock in another zone, and not quite right, may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Claim:
    at: dt.datetime
    by: str
    """One of :data:`EVIDENCE`, or another word of a decoder."""
    until: dt.datetime | None = None
    """It is some time from ``at`` until then. None: ``at`` is the moment."""

    @property
    def rank(self) -> int:
        return EVIDENCE.index(self.by if self.by in EVIDENCE else "document")


def dated(
    row: AssetRow, sidecars: Iterable[AssetRow], best: OccurrenceRow, zone: str, now_s: float
) -> tuple[dt.datetime, str]:
    """Wall-clock time to file the asset under, and the evidence for it.

    ``best`` is the place whose name counts; ``zone`` that of where it was taken (IANA), or empty.
    """
    latest = _here(now_s) + _AHEAD
    claims = [_local(claim, zone) for claim in _claims(row, sidecars, best) if not _is_absurd(claim.at, latest)]
    if not claims:
        return _here(labelled.modified_s(best)), "mtime"
    claims.sort(key=lambda claim: claim.rank)
    first = claims[0]
    until = first.until
    if until is not None:
        finer = (claim.at for claim in claims if claim.until is None and first.at <= claim.at < until)
        return next(finer, first.at), _SHOWN.get(first.by, first.by)
    return first.at, _SHOWN.get(first.by, first.by)


def _claims(row: AssetRow, sidecars: Iterable[AssetRow], best: OccurrenceRow) -> Iterator[Claim]:
    for said in (row, *sidecars):
        if said.captured_at is not None:
            yield Claim(said.captured_at, said.captured_from)
    directory, _, name = best.key.path.rpartition("/")
    if (moment := moment_in_name(name)) is not None:
        yield Claim(moment, "name")
    if (day := day_in_name(name)) is not None:
        yield Claim(day, "day", day + dt.timedelta(days=1))
    if row.kind in _MEDIA and (folder := _folder(directory)) is not None:
        yield folder
    yield Claim(_here(labelled.modified_s(best)), "mtime")


_MEDIA = frozenset((Kind.IMAGE, Kind.VIDEO, Kind.AUDIO))
"""What is filed by when it was taken. What lies in ``2019/`` besides has more to go by."""

_PART = re.compile(r"((?:19|20)\d\d)(?:([-_. ]?)(\d\d)(?:\2(\d\d))?)?(?![A-Za-z0-9])", re.ASCII)
_NUMBER = re.compile(r"(\d\d)(?![A-Za-z0-9])", re.ASCII)


def _folder(directory: str) -> Claim | None:
    """The year, month or day that names of directories tell: ``2019/07/12``, ``2019/2019-07 Italy``, ``2019 Italy``."""
    claim: Claim | None = None
    for part in directory.split("/"):
        if (match := _PART.match(part)) is not None:
            claim = _span(*(int(number) if number else None for number in match.group(1, 3, 4))) or claim
        elif claim is not None and (deeper := _NUMBER.match(part)) is not None:
            claim = _deeper(claim, int(deeper[1]))
    return claim


def _deeper(claim: Claim, number: int) -> Claim:
    """Below a year comes its month, below a month its day; what can be neither says nothing."""
    days = (claim.until - claim.at).days if claim.until else 1
    if days > 31:
        return _span(claim.at.year, number, None) or claim
    if days > 1:
        return _span(claim.at.year, claim.at.month, number) or claim
    return claim


def _span(year: int | None, month: int | None, day: int | None) -> Claim | None:
    try:
        start = dt.datetime(year or 0, month or 1, day or 1)  # noqa: DTZ001 - wall clock
    except ValueError:
        return None
    if day:
        return Claim(start, "folder", start + dt.timedelta(days=1))
    if month:
        return Claim(start, "folder", (start + dt.timedelta(days=31)).replace(day=1))
    return Claim(start, "folder", start.replace(year=start.year + 1))


def _is_absurd(at: dt.datetime, latest: dt.datetime) -> bool:
    return at.year < _FIRST_YEAR or at > latest or at.date() in _RESET


def _local(claim: Claim, zone: str) -> Claim:
    if claim.by not in _GREENWICH:
        return claim
    moment = claim.at.replace(tzinfo=dt.UTC)
    try:
        local = moment.astimezone(zoneinfo.ZoneInfo(zone) if zone else None)
    except (zoneinfo.ZoneInfoNotFoundError, OverflowError, ValueError):
        local = moment
    return Claim(local.replace(tzinfo=None), claim.by)


def _here(seconds: float) -> dt.datetime:
    """Wall-clock time in this machine's zone, without one; absurd times become the epoch."""
    try:
        return dt.datetime.fromtimestamp(seconds)  # noqa: DTZ006 - wall clock is what is wanted
    except (OverflowError, ValueError, OSError):
        return dt.datetime(1970, 1, 1)  # noqa: DTZ001
