"""Every setting, typed and frozen, and the reader that reports all problems of a file at once.

The dataclasses are the truth: ``etc/lakewatchd.toml`` is tested to name every key with these defaults.
Reading never stops at the first problem and never guesses: an unknown key is an error with a suggestion.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

IGNORE_DEFAULT = (
    # unfinished or temporary
    "*.part", "*.partial", "*.crdownload", "*.download", "*.tmp", "*.temp", "*.swp", "*~", ".~lock.*", "~$*",
    # NAS and sync software
    "@eaDir", "#recycle", "#snapshot", ".snapshot", "@Recycle", "lost+found", ".stfolder", ".stversions", ".sync",
    ".syncthing.*", ".Trash-*", ".Trashes", "$RECYCLE.BIN", "System Volume Information",
    # desktops
    ".DS_Store", "._*", ".Spotlight-V100", ".fseventsd", "__MACOSX", "Thumbs.db", "desktop.ini", ".directory",
    ".thumbnails", ".cache",
    # version control
    ".git", ".svn", ".hg",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    state_dir: Path = Path()
    """Queue, lake, thumbnails and models. Set by :func:`defaults` to fit root or user."""
    runtime_dir: Path = Path()
    """The control socket."""
    drain_s: float = 20.0
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class RootConfig:
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class WatchConfig:
    buffer_events: int = 50_000
    settle_s: float = 0.7
    settle_open_s: float = 5.0
    rescan_s: float = 3600.0
    ignore: tuple[str, ...] = IGNORE_DEFAULT
    ignore_file: str = ".lakeignore"


@dataclass(frozen=True, slots=True)
class QueueConfig:
    lease_s: float = 120.0
    max_attempts: int = 5
    backoff_s: float = 5.0
    backoff_max_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    fast: int = 32
    reserved: int = 8
    heavy: int = 1
    decoders: int = 2


@dataclass(frozen=True, slots=True)
class DecodeConfig:
    deadline_s: float = 60.0
    memory_mb: int = 2048
    max_pixels: int = 250_000_000
    max_text_bytes: int = 20_000_000
    thumbnail_px: int = 320
    passage_chars: int = 800
    passage_overlap: int = 120


@dataclass(frozen=True, slots=True)
class ModelConfig:
    image_text: str = "embedded"
    text: str = "embedded"
    detector: str = "embedded"
    device: str = "auto"
    threads: int = 1
    batch: int = 16


@dataclass(frozen=True, slots=True)
class TagConfig:
    taxonomy: Path = Path()


@dataclass(frozen=True, slots=True)
class LakeConfig:
    commit_rows: int = 512
    commit_s: float = 1.0
    optimize_commits: int = 64
    keep_gone_days: float = 30.0


@dataclass(frozen=True, slots=True)
class ViewConfig:
    mountpoint: Path = Path()
    refresh_s: float = 1.0
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


def is_root() -> bool:
    return os.geteuid() == 0
