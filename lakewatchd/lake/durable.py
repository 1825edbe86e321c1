"""What makes a commit survive a power cut: the order of syncs and ledger, and what is undone after one.

Lance itself never calls fsync (seen with strace): a manifest that was renamed into place may be empty after a
power cut, and then the whole table is unreadable. So the writer syncs all new files after a commit and writes
the table versions it synced into ``lake.json``. When the lake is opened in another era (:attr:`Files.era`: of a
directory, another boot) than the one of the ledger, versions newer than the ledger's are dropped (:func:`roll_back`):
nobody was told that they exist.

Invariant: every version in the ledger is on the disk, not only in the page cache.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath

from lakewatchd.errors import LakeDamaged, SchemaTooNew
from lakewatchd.lake.files import Files
from lakewatchd.lake.schema import SCHEMA_VERSION

log = logging.getLogger(__name__)

LEDGER = "lake.json"


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known to be durable."""

    schema: int = SCHEMA_VERSION
    identity: str = ""
    """Made with the lake, at random: what lies beside it can tell whether it belongs to it."""
    boot: str = ""
    """The era in which it was written."""
    writer: str = ""
    """Who wrote it, where there could be two."""
    revision: int = 0
    """All rows up to this one are in the tables."""
    forgotten: int = 0
    """Withdrawals up to this revision may have been purged: a reader that is older must read everything."""
    versions: dict[str, int] = field(default_factory=dict)
    """Newest synced version of each table."""
    days: tuple[int, ...] = ()
    """The revision at the begin of each day of work, the newest last: what has been gone for long is told by them."""
    day_began: float = 0.0
    """The newest of those days, by the wall clock."""


def is_lake(files: Files) -> bool:
    return files.read(LEDGER) is not None


def read_ledger(files: Files) -> Ledger:
    """Raises ``SchemaTooNew``, ``LakeDamaged`` if it makes no sense or is gone. Of any schema up to today's."""
    content = files.read(LEDGER)
    if content is None:
        if files.tables():
            raise LakeDamaged(f"{files.uri}/{LEDGER} is missing")
        return Ledger()
    try:
        raw = json.loads(content)
        schema = raw["schema"]
        if isinstance(schema, int) and schema > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"the lake has schema {schema}, this lakewatchd knows up to {SCHEMA_VERSION}",
                "install the newer lakewatchd again, or point daemon.state_dir at an empty directory",
            )
        return Ledger(**raw | {"days": tuple(map(int, raw.get("days", ())))})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise LakeDamaged(f"{files.uri}/{LEDGER} is damaged: {exc}") from exc


def write_ledger(files: Files, ledger: Ledger, *, sync: bool = True) -> None:
    """Replace it in one step."""
    written = asdict(replace(ledger, boot=files.era, writer=files.writer))
    files.write(LEDGER, json.dumps(written).encode(), sync=sync)


def recover(files: Files) -> Ledger:
    """The ledger, after :func:`roll_back`. A new lake gets one before its first table, in case that is torn."""
    ledger = read_ledger(files)
    if not ledger.boot and not files.tables():
        write_ledger(files, ledger)
    roll_back(files, ledger)
    return ledger


def roll_back(files: Files, ledger: Ledger) -> dict[str, int]:
    """Drop what a power cut may have torn. Returns how many versions of which table were dropped.

    Does nothing within the era that wrote the ledger: what was written in it is whole, whoever died.
    Raises ``LakeDamaged`` before it drops anything if a version of the ledger is not there: no power cut does that, but
    a lost directory does, and a copy that was made while the lake was written.
    """
    for name, version in ledger.versions.items():
        if version not in map(version_of, manifests(files, name)):
            raise LakeDamaged(f"{name}: version {version} is missing, which {LEDGER} speaks of")
    if not ledger.boot or ledger.boot == files.era:
        return {}
    dropped = {}
    for table in files.tables():
        torn = [name for name in manifests(files, table) if version_of(name) > ledger.versions.get(table, 0)]
        for name in torn:
            files.remove(name)
        if torn:
            forget_hint(files, table)
            dropped[table] = len(torn)
            log.warning("dropped unsynced versions after a power cut", extra={"table": table, "count": len(torn)})
        if not manifests(files, table):
            files.remove(f"{table}.lance/")
    return dropped


def manifests(files: Files, table: str) -> list[str]:
    """Names of those of all versions of a table, the newest first."""
    names = files.sizes(f"{table}.lance/_versions/")
    return sorted(name for name in names if name.endswith(".manifest") and PurePosixPath(name).stem.isdigit())


def version_of(manifest: str) -> int:
    """Manifests are named so that the newest sorts first."""
    return (1 << 64) - 1 - int(PurePosixPath(manifest).stem)


def forget_hint(files: Files, table: str) -> None:
    """Of which version is the newest: to be called by who took that one away."""
    files.remove(f"{table}.lance/_versions/latest_version_hint.json")
