"""One directory as the kernel shows it: names, what ``lstat`` says of each, and one hash of it all.

A directory that still hashes to what it did when it held just what is known need not be compared with anything. The
hash is over every entry with its ctime, so it moves with each change of a file, of a name and of the rules that hold
there; the time of the directory itself, which a write into a file does not touch, plays no part.

Measured on 500,000 files in 5,000 directories, against ``find -printf``: this 1.3, the same by path instead of by
descriptor 1.6, scandir and stat alone 1.2. A child that runs ``find`` saves nothing that counts and could not set a
watch on a directory before it is listed.
"""

from __future__ import annotations

import hashlib
import marshal
import operator
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_numbers = operator.attrgetter("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode")
_FORMAT = 1
"""To be raised when the hash, or what a rule means, is made in another way: everything is then compared once."""


@dataclass(slots=True)
class Listing:
    device: int
    """Of the directory: when devices were numbered anew, what is known of its files is to be brought up to date."""
    names: list[str] = field(default_factory=list)
    stats: list[os.stat_result] = field(default_factory=list)
    unknown: list[tuple[str, bool, OSError]] = field(default_factory=list)
    """Entries that are there and of which nothing more can be told: name, is it a directory, why."""

    def directories(self) -> Iterator[tuple[str, os.stat_result]]:
        return ((name, s) for name, s in zip(self.names, self.stats, strict=True) if stat.S_ISDIR(s.st_mode))

    def digest(self, rules: bytes) -> bytes:
        """``rules`` stands for the ignore rules that hold in it."""
        facts: Any = (_FORMAT, self.device, rules, self.names, list(map(_numbers, self.stats)))
        return hashlib.blake2b(marshal.dumps(facts, 2), digest_size=16).digest()


def read(path: str, *, follow: bool = False) -> Listing:
    """The directory at ``path``, which is a link only if ``follow``. Raises ``OSError``; what vanishes meanwhile is
    left out."""
    fd = os.open(path, _FLAGS if follow else _FLAGS | os.O_NOFOLLOW)
    try:
        listing = Listing(os.fstat(fd).st_dev)
        names, stats = listing.names, listing.stats
        with os.scandir(fd) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as exc:
                    listing.unknown.append((entry.name, entry.is_dir(follow_symlinks=False), exc))
                    continue
                names.append(entry.name)
                stats.append(status)
    finally:
        os.close(fd)
    return listing
