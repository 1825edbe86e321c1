"""Reading a file of settings: all its problems at once, each with its line."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from lakewatchd.config.checks import check_buckets, check_directories, check_names, check_pairs
from lakewatchd.config.places import SYSTEM_CONFIG, defaults, find, packaged
from lakewatchd.config.sections import AnyRoot, BucketConfig, RootConfig
from lakewatchd.config.whole import SECTIONS, Config, is_root
from lakewatchd.core.typed_toml import Document, secret_fields
from lakewatchd.errors import ConfigError


def load(path: str | Path | None = None) -> Config:
    """The settings of the file that :func:`find` finds, or the defaults if there is none.

    Raises :class:`ConfigError`; its message has one line ``file:line: problem`` for each problem.
    """
    source: Path | None = None
    try:
        source = find(path)
        return _read(source) if source else defaults()
    except FileNotFoundError as exc:
        raise ConfigError(f"{source}: no such file", f"write one: cp {packaged('lakewatchd.toml')} {source}") from exc
    except OSError as exc:
        hint = f"name the file, such as {source}/lakewatchd.toml" if isinstance(exc, IsADirectoryError) else None
        raise ConfigError(f"{exc.filename}: {exc.strerror}", hint) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{source}: not UTF-8 text") from exc


def _read(source: Path) -> Config:
    with source.open("rb") as file:
        status = os.fstat(file.fileno())
        config = parse(file.read().decode(), source)
    if stat.S_ISREG(status.st_mode):
        _check_mode(status.st_mode, config, source)
    return config


def _check_mode(mode: int, config: Config, source: Path) -> None:
    """Whoever may write the file decides what the daemon reads; who may read it knows its secrets."""
    if mode & stat.S_IWOTH:
        raise ConfigError(f"{source}: anybody can change it", f"chmod o-w {source}")
    if mode & (stat.S_IROTH | stat.S_IXOTH) and (secrets := list(_secrets(config))):
        raise ConfigError(f"{source}: anybody can read {', '.join(secrets)}", f"chmod o= {source}")


def _secrets(config: Config) -> Iterator[str]:
    """Keys with a value that is nobody's business."""
    roots = [("root", root) for root in config.all_roots]
    sections = roots + [(name, getattr(config, name)) for name in SECTIONS]
    for name, section in sections:
        yield from (f"{name}.{key}" for key in sorted(secret_fields(type(section))) if getattr(section, key))


def parse(text: str, source: Path) -> Config:
    """``text`` as a :class:`Config`; raises as :func:`load` does. ``source`` names it and is not read."""
    base = defaults(system=is_root() or source == SYSTEM_CONFIG, source=source)
    document = Document(text)
    document.check_keys(("root", *SECTIONS), document.data)
    sections = {
        name: document.read(type(getattr(base, name)), document.data[name], name, default=getattr(base, name))
        for name in SECTIONS
        if name in document.data
    }
    roots, config = _read_roots(document), dataclasses.replace(base, **sections)  # type: ignore[arg-type]
    check_names(document, roots)
    check_directories(document, [(number, root) for number, root in roots if isinstance(root, RootConfig)], config)
    check_buckets(document, [(number, root) for number, root in roots if isinstance(root, BucketConfig)], config)
    check_pairs(document, config)
    if document.problems:
        lines = sorted({(problem.line, problem.message) for problem in document.problems})
        raise ConfigError("\n".join(f"{source}:{line}: {message}" for line, message in lines))
    return dataclasses.replace(
        config,
        roots=tuple(root for _, root in roots if isinstance(root, RootConfig)),
        buckets=tuple(root for _, root in roots if isinstance(root, BucketConfig)),
    )


def _read_roots(document: Document) -> list[tuple[int, AnyRoot]]:
    """The roots that could be read, each with its number in the file."""
    tables = document.data.get("root", [])
    if not isinstance(tables, list):
        document.complain("write [[root]] with two brackets: there can be several", "root")
        return []
    read = ((number, _read_root(document, table, number)) for number, table in enumerate(tables))
    return [(number, root) for number, root in read if root is not None]


def _read_root(document: Document, table: object, number: int) -> AnyRoot | None:
    """A directory has a ``path``, a bucket a ``bucket`` and an ``endpoint``."""
    given = table.keys() if isinstance(table, dict) else set()
    if {"path", "bucket"} <= given:
        document.complain("path, bucket: a root is a directory or a bucket, so write one of them", "root", number)
        return None
    if isinstance(table, dict) and not {"path", "bucket", "endpoint"} & given:
        document.complain("path is missing (for a bucket: bucket and endpoint)", "root", number)
        document.read(RootConfig, {"path": "/", **table}, "root", number)  # for its other problems
        return None
    if {"bucket", "endpoint"} & given:
        return document.read(BucketConfig, table, "root", number)
    return document.read(RootConfig, table, "root", number)
