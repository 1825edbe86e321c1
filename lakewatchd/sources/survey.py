"""A root as it lies on the disk, directory by directory: files with their versions, and what is left out and why.

For ``audit``: it compares with nothing, tells nobody and changes nothing. Blocks as long as the file system does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from lakewatchd.core.asset import Version
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root


@dataclass(slots=True)
class Directory:
    """``path`` is relative to the root."""

    path: str
    files: dict[str, Version] = field(default_factory=dict)
    """By name; those that a rule leaves out are not among them."""
    subdirectories: set[str] = field(default_factory=set)
    ignored: int = 0
    """Entries left out. What lies in an ignored directory is not counted."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason: the directory itself, or entries in it."""


def survey(root: Root, rules: IgnoreRules, directory: str = "") -> Iterator[Directory]:
    """Everything below ``directory``, a directory before its subdirectories. One that is not there yields nothing."""
    stack = [directory]
    while stack:
        found = _read(os.fspath(root.path), stack.pop(), rules)
        if found is not None:
            yield found
            prefix = f"{found.path}/" if found.path else ""
            stack += [prefix + name for name in sorted(found.subdirectories, reverse=True)]


def _read(base: str, path: str, rules: IgnoreRules) -> Directory | None:
    found, why_ignored = Directory(path), rules.within(path).why
    try:
        with os.scandir(f"{base}/{path}" if path else base) as entries:
            for entry in entries:
                _sort_in(entry, found, rules, why_ignored(entry.name, entry.is_dir(follow_symlinks=False)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        found.unreadable.append((path, exc.strerror or str(exc)))
    return found


def _sort_in(entry: os.DirEntry[str], found: Directory, rules: IgnoreRules, ignored: str | None) -> None:
    try:
        status = None if ignored else entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as exc:
        path = f"{found.path}/{entry.name}" if found.path else entry.name
        found.unreadable.append((path, exc.strerror or str(exc)))
        return
    if status is None or rules.why_special(status) is not None:
        found.ignored += 1
    elif stat.S_ISREG(status.st_mode):
        found.files[entry.name] = Version.of(status)
    else:
        found.subdirectories.add(entry.name)
