"""What the labels of objects say of an asset: tags, words to find it by, its media type, when it was modified.

Pure. Anybody who may write to a bucket may say anything, so everything is bounded, and labels decide only what the
content itself leaves open. Invariant: the outcome depends on the places and their labels, not on their order in time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lakewatchd.core.asset import Labels, Tag
from lakewatchd.lake.rows import OccurrenceRow
from lakewatchd.media.kinds import UNKNOWN

ORIGIN = "bucket"
MAX_TAGS = 50
MAX_TAG_CHARS = 256
MAX_WORDS_CHARS = 2000

_YES = frozenset({"", "1", "true", "yes"})
_MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_PLAIN_TIME = "mtime"
"""Written by rclone and s3fs: seconds since the epoch, with a fraction or without."""
_ATTRIBUTES = ("s3cmd-attrs", "mc-attrs")
"""Written by s3cmd and mc: ``atime:1611594183/gid:0/mtime:1611594183#268553000/...``."""
_SECONDS = re.compile(r"(-?[0-9]{1,11})([.#][0-9]*)?")


def tags(places: Iterable[OccurrenceRow]) -> tuple[Tag, ...]:
    """Of all places, by name: the object tag ``k=v`` as ``k=v``, or as ``k`` where the value only says yes."""
    names = {_name(key.strip(), value.strip()) for place in places for key, value in place.labels.tags if key.strip()}
    return tuple(Tag(name, 1.0, ORIGIN) for name in sorted(names)[:MAX_TAGS])


def words(places: Iterable[OccurrenceRow]) -> str:
    """The values of user metadata, but for times."""
    values = (
        value for place in places for key, value in place.labels.metadata if key not in (_PLAIN_TIME, *_ATTRIBUTES)
    )
    return " ".join(dict.fromkeys(value.strip() for value in values))[:MAX_WORDS_CHARS].strip()


def mime(found: str, labels: Labels) -> str:
    """The type that content and name told, else the one that whoever put the object claims."""
    claimed = labels.content_type.partition(";")[0].strip().lower()
    return claimed if found == UNKNOWN[0] and _MIME.fullmatch(claimed) else found


def modified_s(place: OccurrenceRow) -> int:
    """When it was modified, in seconds since the epoch: as the tool that uploaded it noted, else as its root says (an
    object: when it was put)."""
    metadata = dict(place.labels.metadata)
    attributes = (pair for name in _ATTRIBUTES for pair in metadata.get(name, "").split("/"))
    noted = [metadata.get(_PLAIN_TIME, ""), *(text[6:] for text in attributes if text.startswith("mtime:"))]
    times = (_SECONDS.fullmatch(text) for text in noted)
    return next((int(time[1]) for time in times if time), place.version.mtime_ns // 1_000_000_000)


def _name(key: str, value: str) -> str:
    return (key if value.lower() in _YES else f"{key}={value}")[:MAX_TAG_CHARS]
