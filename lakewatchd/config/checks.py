"""What one setting demands of another, and what a root may be."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from lakewatchd.config.sections import DUPLICATE_ORDERS, AnyRoot, BucketConfig, LakeConfig, RootConfig, WatchConfig
from lakewatchd.config.whole import Config, watch_of
from lakewatchd.core.patience import within
from lakewatchd.core.typed_toml import Document

RESOLVE_S = 1.0


def check_names(document: Document, roots: list[tuple[int, AnyRoot]]) -> None:
    """Directories and buckets share one space of names."""
    seen: set[str] = set()
    for number, root in roots:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", root.name):
            document.complain(f"name: {root.name!r} is not made of a-z, 0-9, _ and -", "root", number, "name")
        if root.name in seen:
            document.complain(f"name: a second root named {root.name!r}", "root", number, "name")
        seen.add(root.name)


def check_directories(document: Document, roots: list[tuple[int, RootConfig]], config: Config) -> None:
    seen: list[RootConfig] = []
    resolve = functools.cache(_resolved)  # a path that hangs is waited for once
    own = (
        (config.daemon.state_dir, "daemon.state_dir"),
        (config.daemon.runtime_dir, "daemon.runtime_dir"),
        (config.view.mountpoint, "view.mountpoint"),
        *([(config.cache_dir, "objects.cache_dir")] if config.objects.cache_dir else ()),
    )
    for number, root in roots:
        if "/" in root.marker or root.marker in (".", "..") or "\0" in root.marker:
            document.complain(f"marker: {root.marker!r} is not the name of a file", "root", number, "marker")
        for name in _wrong_watch(watch_of(root, config.watch)):
            document.complain(_WATCH_WORDS[name], "root", number, name)
        others = [(other.path, f"root {other.name!r}") for other in seen]
        found = (problem for path, what in (*others, *own) if (problem := _overlap(root.path, path, what, resolve)))
        if problem := "; ".join(found):
            document.complain(f"path: {problem}", "root", number, "path")
        seen.append(root)


def check_buckets(document: Document, roots: list[tuple[int, BucketConfig]], config: Config) -> None:
    seen: list[BucketConfig] = []
    readers: dict[object, BucketConfig] = {}
    """Of lists: what one cuts off, no other gets to see."""
    for number, root in roots:
        problems = {
            "prefix": _wrong_prefix(root.prefix),
            "mqtt": _wrong_url(root.mqtt, ("mqtt", "mqtts"), r"/[^#+\0]{1,1024}", "mqtt://user@broker:1883/TOPIC"),
            "redis": _wrong_url(root.redis, ("redis", "rediss"), r"/\d{1,4}/[^\0]{1,1024}", "redis://host:6379/0/KEY"),
            "rescan_s": "" if "rescan_s" not in _wrong_watch(watch_of(root, config.watch)) else _RESCAN_WORDS,
        }
        for name, problem in problems.items():
            if problem:
                document.complain(f"{name}: {problem}", "root", number, name)
        for key in ("secret_key", "access_key"):
            if bool(root.access_key) != bool(root.secret_key) and not getattr(root, key):
                document.complain(f"{key} is missing: access_key and secret_key go together", "root", number)
        if root.redis and not problems["redis"] and (reader := readers.setdefault(_list_of(root.redis), root)) != root:
            document.complain(f"redis: root {reader.name!r} reads that list: each has its own", "root", number, "redis")
        for other in seen:
            if _same_objects(root, other):
                document.complain(f"bucket: root {other.name!r} has some of the same keys", "root", number, "bucket")
        if problem := _lake_within(root, config.lake):
            document.complain(f"bucket: {problem}", "root", number, "bucket")
        seen.append(root)


def _wrong_prefix(prefix: str) -> str:
    if prefix and not prefix.endswith("/"):
        return f"{prefix!r} also fits {prefix + '-and-more'!r}; end it with /"
    too_long = len(prefix.encode(errors="surrogateescape")) > 1000
    return "not the beginning of any key" if too_long or "\0" in prefix else ""


def _wrong_url(url: str, schemes: tuple[str, ...], path: str, example: str) -> str:
    """What is wrong with the address of a broker, or nothing. It is not repeated: it may hold a password."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return f"not an address such as {example}"
    if parts.password is not None:
        return f"a password has a key of its own, {schemes[0]}_password: it is kept secret there"
    # Whatever follows a "?" or "#" would be lost silently.
    is_plain = not re.search(r"[?#]", url) and parts.scheme in schemes
    return "" if is_whole and is_plain and re.fullmatch(path, parts.path) else f"not like {example}"


def _is_address(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:  # an IPv6 that is none
        return False


def _list_of(redis: str) -> object:
    parts = urlsplit(redis)
    return parts.hostname, parts.port or 6379, parts.path


def _same_objects(mine: BucketConfig, other: BucketConfig) -> bool:
    place, others = ((root.endpoint.rstrip("/").lower(), root.bucket) for root in (mine, other))
    return place == others and (mine.prefix.startswith(other.prefix) or other.prefix.startswith(mine.prefix))


def _lake_within(root: BucketConfig, lake: LakeConfig) -> str:
    """A lake that lies among the keys of a root would index itself."""
    bucket, _, prefix = lake.uri.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
    is_same = (root.endpoint.rstrip("/").lower(), root.bucket) == (lake.endpoint.rstrip("/").lower(), bucket)
    if not lake.uri or not is_same or not (prefix.startswith(root.prefix) or root.prefix.startswith(prefix)):
        return ""
    return f"the lake ({lake.uri}) lies among its keys; give the lake a bucket of its own, or the root another prefix"


def _overlap(mine: Path, other: Path, what: str, resolve: Callable[[Path], Path]) -> str:
    """What is wrong with two directories that must lie apart, or nothing. Symbolic links are followed."""
    a, b = resolve(mine), resolve(other)
    if a == b:
        return f"{mine} is {what} too"
    if b.is_relative_to(a):
        return f"{mine} contains {what} ({other}), which must lie outside"
    return f"{mine} lies inside {what} ({other}); they must lie apart" if a.is_relative_to(b) else ""


def _resolved(path: Path) -> Path:
    """Without links; as written where the file system does not answer. A root that hangs must not stop the rest."""
    return within(RESOLVE_S, path.resolve) or path


def check_pairs(document: Document, config: Config) -> None:
    """What one setting demands of another."""
    for path, what in (
        (config.daemon.state_dir, "daemon.state_dir"),
        (config.daemon.runtime_dir, "daemon.runtime_dir"),
    ):
        if _resolved(path).is_relative_to(_resolved(config.view.mountpoint)):
            document.complain(f"mountpoint: {config.view.mountpoint} would hide {what} ({path})", "view", "mountpoint")
    if bool(config.lake.access_key) != bool(config.lake.secret_key):
        document.complain("access_key and secret_key go together", "lake", "access_key")
    if config.decode.passage_overlap * 2 > config.decode.passage_chars:
        document.complain("passage_overlap: more than half of passage_chars", "decode", "passage_overlap")
    if config.workers.reserved >= config.workers.fast:
        document.complain("reserved: must be less than fast, or nothing else ever runs", "workers", "reserved")
    if config.queue.backoff_max_s < config.queue.backoff_s:
        document.complain("backoff_max_s: less than backoff_s", "queue", "backoff_max_s")
    if not set(config.duplicates.prefer) <= set(DUPLICATE_ORDERS):
        document.complain(f"prefer: only {', '.join(DUPLICATE_ORDERS)} can be told apart", "duplicates", "prefer")
    if not _is_address(config.ask.server):
        document.complain(f"server: {config.ask.server!r} is no address", "ask", "server")
    if not _is_address(config.captions.server):
        document.complain(f"server: {config.captions.server!r} is no address", "captions", "server")
    for name in _wrong_watch(config.watch):
        document.complain(_WATCH_WORDS[name], "watch", name)
    if "/" in config.watch.ignore_file or config.watch.ignore_file in ("", ".", ".."):
        document.complain("ignore_file: a plain file name is expected", "watch", "ignore_file")


_RESCAN_WORDS = "between 0 (never by itself) and 10 is too often"
_WATCH_WORDS = {
    "rescan_s": f"rescan_s: {_RESCAN_WORDS}",
    "poll_s": "poll_s: between 0 (never) and 1 is too often",
    "canary": "canary: a file name is expected, which is then written in the root",
}


def _wrong_watch(watch: WatchConfig) -> Iterator[str]:
    if 0 < watch.rescan_s < 10:
        yield "rescan_s"
    if 0 < watch.poll_s < 1:
        yield "poll_s"
    if "/" in watch.canary or "\0" in watch.canary or watch.canary in (".", ".."):
        yield "canary"
