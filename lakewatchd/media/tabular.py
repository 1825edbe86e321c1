"""Which reader a table gets. A file in which none finds a table is text, and read as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.core.content import Content
from lakewatchd.media import document, exif
from lakewatchd.media.original import Original
from lakewatchd.media.table import columnar, database, delimited, records, sheets
from lakewatchd.media.table.described import Described, to_content

_FETCHED_BYTES = 256 << 20
"""Of a database in a bucket, which SQLite must have whole."""
_SQLITE = "application/vnd.sqlite3"

_READERS: Mapping[str, Callable[[BinaryIO], Described | None]] = {
    "text/csv": delimited.describe,
    "text/tab-separated-values": delimited.describe,
    "application/gzip": lambda stream: delimited.describe(stream, is_gzip=True),
    "application/json": records.describe,
    "application/geo+json": records.describe,
    "application/x-ndjson": records.describe_lines,
    "application/vnd.apache.parquet": columnar.describe_parquet,
    "application/vnd.apache.arrow.file": columnar.describe_arrow,
}


def load() -> None:
    """All libraries, with the parts that they would load later."""
    import csv  # noqa: F401
    import sqlite3  # noqa: F401
    import zoneinfo  # noqa: F401

    import pyarrow.ipc
    import pyarrow.parquet  # noqa: F401

    if sheets.is_available():
        import python_calamine  # noqa: F401


def is_readable(mime: str) -> bool:
    """Whether there is a reader for it here: an extra may be missing."""
    return mime in _READERS or mime == _SQLITE or (mime in sheets.MIMES and sheets.is_available())


def describe(original: Original) -> tuple[Content, str]:
    """What the tables of a file are, or what stands in it where there are none. Raises what its reader does."""
    config, mime = original.config, original.mime
    if not is_readable(mime):
        return Content(title=exif.title_of(original.name), warnings=(sheets.NOT_INSTALLED,)), ""
    others: list[str] = []
    with original.stream() as stream:
        if mime == _SQLITE:
            _fetch(original)
            tables, others = database.describe(original.fd)
        elif mime in sheets.MIMES:
            tables, others = sheets.describe(stream)
        elif (found := _READERS[mime](stream)) is not None:
            tables = [found]
        else:
            return _text(original, stream)
    return to_content(tables, original.name, config.passage_chars, config.passage_overlap, others=others)


def _text(original: Original, stream: BinaryIO) -> tuple[Content, str]:
    if original.mime == "application/gzip":
        return Content(title=exif.title_of(original.name)), ""
    return document.describe_document(stream, original.mime, original.name, original.config)


def _fetch(original: Original) -> None:
    """Have all of it present: SQLite reads the file on its own."""
    if original.need is None:
        return
    if original.identity.version.size_bytes > _FETCHED_BYTES:
        raise errors.TooLarge(f"a database in a bucket is read up to {_FETCHED_BYTES >> 20} MB")
    file = original.ranged()
    while file.read(1 << 20):
        pass
