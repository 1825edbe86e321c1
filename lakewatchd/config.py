"""Every setting, typed and frozen, and the reader that reports all problems of a file at once.

The dataclasses are the truth: ``etc/lakewatchd.toml`` is tested to name every key with these defaults, and the
annotations are the limits that :mod:`lakewatchd.core.typed_toml` checks. Here live the settings, where the file
is looked for, and what one setting demands of another; not how TOML is read.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from lakewatchd.core.patience import within
from lakewatchd.core.typed_toml import Document, Like, OneOf, Range, secret_fields
from lakewatchd.errors import ConfigError

IGNORE_DEFAULT = (
    # unfinished or temporary
    "*.part", "*.partial", "*.crdownload", "*.download", "*.tmp", "*.temp", "*.swp", "*~", ".~lock.*", "~$*",
    # NAS and sync software
    "@eaDir", "#recycle", "#snapshot", ".snapshot", "@Recycle", "lost+found", ".stfolder", ".stversions", ".sync",
    ".syncthing.*", ".Trash-*", ".Trashes", "$RECYCLE.BIN", "System Volume Information",
    # control files of JuiceFS, which can be read without end
    ".accesslog", ".config", ".stats", ".trash", ".jfs*",
    # desktops
    ".DS_Store", "._*", ".Spotlight-V100", ".fseventsd", "__MACOSX", "Thumbs.db", "desktop.ini", ".directory",
    ".thumbnails", ".cache",
    # version control
    ".git", ".svn", ".hg",
)  # fmt: skip

MODES = ("auto", "events", "poll")
"""How changes are noticed: by what fits the file system, or what a person says."""

RESOLVE_S = 1.0
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    state_dir: Path = Path()
    """Queue, lake, thumbnails and models. Set by :func:`defaults` to fit root or user."""
    runtime_dir: Path = Path()
    """The control socket."""
    group: str = ""
    """Whose members may use the control socket; empty: the group the daemon runs as."""
    drain_s: Annotated[float, Range(0, 600)] = 20.0
    metrics: Annotated[str, Like(r"(.+:\d{1,5})?", "HOST:PORT, or nothing")] = ""
    """Where Prometheus may scrape; empty: nowhere."""
    min_free_mb: Annotated[int, Range(0, 10_000_000)] = 200
    log_level: Annotated[str, OneOf(("debug", "info", "warning", "error"))] = "info"


@dataclass(frozen=True, slots=True)
class RootConfig:
    """What is None is as in :class:`WatchConfig`."""

    name: str
    path: Path
    marker: str = ""
    mode: Annotated[str, OneOf(MODES)] | None = None
    poll_s: Annotated[float, Range(0, 30 * _DAY_S)] | None = None
    poll_stats_per_s: Annotated[int, Range(1, 1_000_000)] | None = None
    rescan_s: Annotated[float, Range(0, 30 * _DAY_S)] | None = None
    canary: str | None = None


@dataclass(frozen=True, slots=True)
class WatchConfig:
    buffer_events: Annotated[int, Range(100, 10_000_000)] = 50_000
    settle_s: Annotated[float, Range(0.05, 600)] = 0.7
    settle_open_s: Annotated[float, Range(0.05, 3600)] = 5.0
    settle_group_s: Annotated[float, Range(0, 3600)] = 30.0
    mode: Annotated[str, OneOf(MODES)] = "auto"
    watcher: Annotated[str, OneOf(("auto", "fanotify", "inotify", "watchdog"))] = "auto"
    events_socket: Path = Path("/run/lakewatchd-events.sock")
    """Where the helper of fanotify listens."""
    poll_s: Annotated[float, Range(0, 30 * _DAY_S)] = 300.0
    poll_stats_per_s: Annotated[int, Range(1, 1_000_000)] = 1000
    rescan_s: Annotated[float, Range(0, 30 * _DAY_S)] = 3600.0
    canary: str = ""
    removal_share: Annotated[float, Range(0, 1)] = 0.2
    removal_files: Annotated[int, Range(1, 1_000_000_000)] = 50
    ignore: tuple[str, ...] = IGNORE_DEFAULT
    ignore_file: str = ".lakeignore"


@dataclass(frozen=True, slots=True)
class QueueConfig:
    lease_s: Annotated[float, Range(5, _DAY_S)] = 120.0
    max_attempts: Annotated[int, Range(1, 100)] = 5
    backoff_s: Annotated[float, Range(0.01, 3600)] = 5.0
    backoff_max_s: Annotated[float, Range(0.01, 7 * _DAY_S)] = 3600.0


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    fast: Annotated[int, Range(1, 1024)] = 32
    reserved: Annotated[int, Range(0, 1023)] = 8
    heavy: Annotated[int, Range(1, 64)] = 1
    decoders: Annotated[int, Range(1, 256)] = 2


@dataclass(frozen=True, slots=True)
class DecodeConfig:
    deadline_s: Annotated[float, Range(1, 3600)] = 60.0
    memory_mb: Annotated[int, Range(256, 1_048_576)] = 2048
    max_pixels: Annotated[int, Range(1_000_000, 10_000_000_000)] = 250_000_000
    max_text_bytes: Annotated[int, Range(1000, 2_000_000_000)] = 20_000_000
    thumbnail_px: Annotated[int, Range(32, 2048)] = 320
    passage_chars: Annotated[int, Range(100, 20_000)] = 800
    passage_overlap: Annotated[int, Range(0, 10_000)] = 120


@dataclass(frozen=True, slots=True)
class ModelConfig:
    image_text: str = "embedded"
    text: str = "embedded"
    detector: str = "embedded"
    device: Annotated[str, Like(r"auto|cpu|cuda(:\d+)?|mps", "auto, cpu, cuda or cuda:1")] = "auto"
    threads: Annotated[int, Range(1, 256)] = 1
    batch: Annotated[int, Range(1, 1024)] = 16


@dataclass(frozen=True, slots=True)
class TagConfig:
    taxonomy: Path = Path()


@dataclass(frozen=True, slots=True)
class LakeConfig:
    commit_rows: Annotated[int, Range(1, 100_000)] = 512
    commit_s: Annotated[float, Range(0.01, 60)] = 1.0
    optimize_commits: Annotated[int, Range(2, 10_000)] = 64
    keep_gone_days: Annotated[float, Range(0, 36_500)] = 30.0


@dataclass(frozen=True, slots=True)
class ViewConfig:
    mountpoint: Path = Path()
    refresh_s: Annotated[float, Range(0.1, 3600)] = 1.0
    allow_other: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    roots: tuple[RootConfig, ...] = ()
    daemon: DaemonConfig = field(default_factory=DaemonConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    queue: QueueConfig = field(default_factory=QueueConfig)
    workers: WorkerConfig = field(default_factory=WorkerConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    models: ModelConfig = field(default_factory=ModelConfig)
    tags: TagConfig = field(default_factory=TagConfig)
    lake: LakeConfig = field(default_factory=LakeConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    source: Path | None = None
    """The file it was read from, None for defaults."""

    @property
    def queue_path(self) -> Path:
        return self.daemon.state_dir / "queue.db"

    @property
    def lake_dir(self) -> Path:
        return self.daemon.state_dir / "lake"

    @property
    def thumbnail_path(self) -> Path:
        return self.daemon.state_dir / "thumbnails.db"

    @property
    def model_dir(self) -> Path:
        return self.daemon.state_dir / "models"

    @property
    def socket_path(self) -> Path:
        return self.daemon.runtime_dir / "control.sock"


SECTIONS = ("daemon", "watch", "queue", "workers", "decode", "models", "tags", "lake", "view")
SYSTEM_CONFIG = Path("/etc/lakewatchd/lakewatchd.toml")


def is_root() -> bool:
    return os.geteuid() == 0


def watch_of(root: RootConfig, watch: WatchConfig) -> WatchConfig:
    """The settings of one root: its own where it has them, else those of ``[watch]``."""
    shared = {item.name for item in dataclasses.fields(WatchConfig)} & {item.name for item in dataclasses.fields(root)}
    own = {name: value for name in shared if (value := getattr(root, name)) is not None}
    return dataclasses.replace(watch, **own)


# --- where things are --------------------------------------------------------------------------------------


def defaults(*, system: bool | None = None, source: Path | None = None) -> Config:
    """The settings of an empty file. ``system``: a machine's daemon rather than a user's; by default, if root."""
    state, runtime, mountpoint = _places(is_root() if system is None else system)
    return Config(
        daemon=DaemonConfig(state_dir=state, runtime_dir=runtime),
        tags=TagConfig(taxonomy=_taxonomy(source)),
        view=ViewConfig(mountpoint=mountpoint),
        source=source,
    )


def find(explicit: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file to read: ``--config``, ``$LAKEWATCHD_CONFIG``, the user's own, the system's. None if there is none.

    A user without a file of their own gets the system's: ``lakewatchd status`` then means the machine's daemon.
    """
    named = explicit or environ.get("LAKEWATCHD_CONFIG")
    if named:
        return Path(named).expanduser().absolute()
    own = [] if is_root() else [_xdg("XDG_CONFIG_HOME", ".config", environ) / "lakewatchd" / "lakewatchd.toml"]
    return next((path for path in (*own, SYSTEM_CONFIG) if path.exists()), None)


def packaged(name: str) -> Path:
    """A file that ships with lakewatchd: from the wheel, or from ``etc/`` of a checkout."""
    here = Path(__file__).parent
    installed = here / "data" / name
    return installed if installed.exists() else here.parent / "etc" / name


def _places(system: bool, environ: Mapping[str, str] = os.environ) -> tuple[Path, Path, Path]:
    """State directory, runtime directory, mountpoint."""
    if system:
        return Path("/var/lib/lakewatchd"), Path("/run/lakewatchd"), Path("/mnt/lake")
    state = _xdg("XDG_DATA_HOME", ".local/share", environ) / "lakewatchd"
    session = environ.get("XDG_RUNTIME_DIR", "")
    # Without a session (cron, su) the socket goes beside the state: /tmp could be anybody's.
    runtime = Path(session) / "lakewatchd" if session.startswith("/") else state / "run"
    return state, runtime, Path.home() / "lake"


def _xdg(variable: str, fallback: str, environ: Mapping[str, str]) -> Path:
    value = environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / fallback


def _taxonomy(source: Path | None) -> Path:
    beside = source.parent / "taxonomy.toml" if source else None
    return beside if beside and beside.exists() else packaged("taxonomy.toml")


# --- reading -----------------------------------------------------------------------------------------------


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
    sections = [("root", root) for root in config.roots] + [(name, getattr(config, name)) for name in SECTIONS]
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
    _check_roots(document, roots, config)
    _check_pairs(document, config)
    if document.problems:
        lines = sorted({(problem.line, problem.message) for problem in document.problems})
        raise ConfigError("\n".join(f"{source}:{line}: {message}" for line, message in lines))
    return dataclasses.replace(config, roots=tuple(root for _, root in roots))


def _read_roots(document: Document) -> list[tuple[int, RootConfig]]:
    """The roots that could be read, each with its number in the file."""
    tables = document.data.get("root", [])
    if not isinstance(tables, list):
        document.complain("write [[root]] with two brackets: there can be several", "root")
        return []
    read = ((number, document.read(RootConfig, table, "root", number)) for number, table in enumerate(tables))
    return [(number, root) for number, root in read if root is not None]


def _check_roots(document: Document, roots: list[tuple[int, RootConfig]], config: Config) -> None:
    seen: list[RootConfig] = []
    resolve = functools.cache(_resolved)  # a path that hangs is waited for once
    for number, root in roots:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", root.name):
            document.complain(f"name: {root.name!r} is not made of a-z, 0-9, _ and -", "root", number, "name")
        if "/" in root.marker or root.marker in (".", "..") or "\0" in root.marker:
            document.complain(f"marker: {root.marker!r} is not the name of a file", "root", number, "marker")
        if root.name in {other.name for other in seen}:
            document.complain(f"name: a second root named {root.name!r}", "root", number, "name")
        for name in _wrong_watch(watch_of(root, config.watch)):
            document.complain(_WATCH_WORDS[name], "root", number, name)
        others = [(other.path, f"root {other.name!r}") for other in seen]
        own = (config.daemon.state_dir, "daemon.state_dir"), (config.view.mountpoint, "view.mountpoint")
        found = (problem for path, what in (*others, *own) if (problem := _overlap(root.path, path, what, resolve)))
        if problem := "; ".join(found):
            document.complain(f"path: {problem}", "root", number, "path")
        seen.append(root)


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


def _check_pairs(document: Document, config: Config) -> None:
    """What one setting demands of another."""
    for path, what in (
        (config.daemon.state_dir, "daemon.state_dir"),
        (config.daemon.runtime_dir, "daemon.runtime_dir"),
    ):
        if _resolved(path).is_relative_to(_resolved(config.view.mountpoint)):
            document.complain(f"mountpoint: {config.view.mountpoint} would hide {what} ({path})", "view", "mountpoint")
    if config.decode.passage_overlap * 2 > config.decode.passage_chars:
        document.complain("passage_overlap: more than half of passage_chars", "decode", "passage_overlap")
    if config.workers.reserved >= config.workers.fast:
        document.complain("reserved: must be less than fast, or nothing else ever runs", "workers", "reserved")
    if config.queue.backoff_max_s < config.queue.backoff_s:
        document.complain("backoff_max_s: less than backoff_s", "queue", "backoff_max_s")
    for name in _wrong_watch(config.watch):
        document.complain(_WATCH_WORDS[name], "watch", name)
    if "/" in config.watch.ignore_file or config.watch.ignore_file in ("", ".", ".."):
        document.complain("ignore_file: a plain file name is expected", "watch", "ignore_file")


_WATCH_WORDS = {
    "rescan_s": "rescan_s: between 0 (never by itself) and 10 is too often",
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


# --- writing -----------------------------------------------------------------------------------------------


def to_toml(config: Config) -> str:
    """The effective settings as a file that :func:`parse` reads back to the same values. Secrets are left out."""
    blocks = [_block("[[root]]", root) for root in config.roots]
    blocks += [_block(f"[{name}]", getattr(config, name)) for name in SECTIONS]
    return "\n".join(blocks)


def _block(header: str, section: object) -> str:
    return "\n".join([header, *_key_values(section)]) + "\n"


def _key_values(section: object) -> Iterator[str]:
    secret = secret_fields(type(section))
    for item in dataclasses.fields(section):  # type: ignore[arg-type]  # a section is a dataclass
        value = getattr(section, item.name)
        if value is not None:
            yield f"# {item.name} is set" if item.name in secret and value else f"{item.name} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
