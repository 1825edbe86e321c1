"""All settings of one file together, and what follows from them."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path

from lakewatchd.config.sections import (
    AnyRoot,
    AskConfig,
    BucketConfig,
    CaptionConfig,
    DaemonConfig,
    DecodeConfig,
    DuplicatesConfig,
    LakeConfig,
    ModelConfig,
    ObjectsConfig,
    QueueConfig,
    RootConfig,
    SearchConfig,
    SqlConfig,
    TagConfig,
    ViewConfig,
    WatchConfig,
    WebConfig,
    WorkerConfig,
)


@dataclass(frozen=True, slots=True)
class Config:
    roots: tuple[RootConfig, ...] = ()
    buckets: tuple[BucketConfig, ...] = ()
    """Roots too: both kinds share one space of names."""
    daemon: DaemonConfig = field(default_factory=DaemonConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    queue: QueueConfig = field(default_factory=QueueConfig)
    workers: WorkerConfig = field(default_factory=WorkerConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    models: ModelConfig = field(default_factory=ModelConfig)
    captions: CaptionConfig = field(default_factory=CaptionConfig)
    tags: TagConfig = field(default_factory=TagConfig)
    lake: LakeConfig = field(default_factory=LakeConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    objects: ObjectsConfig = field(default_factory=ObjectsConfig)
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    web: WebConfig = field(default_factory=WebConfig)
    ask: AskConfig = field(default_factory=AskConfig)
    sql: SqlConfig = field(default_factory=SqlConfig)
    source: Path | None = None
    """The file it was read from, None for defaults."""

    @property
    def all_roots(self) -> tuple[AnyRoot, ...]:
        return (*self.roots, *self.buckets)

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
    def neighbours_path(self) -> Path:
        return self.daemon.state_dir / "neighbours.db"

    @property
    def web_socket(self) -> Path:
        """HTTP for who may use the control socket too."""
        return self.daemon.runtime_dir / "web.sock"

    @property
    def model_dir(self) -> Path:
        return self.daemon.state_dir / "models"

    @property
    def cache_dir(self) -> Path:
        """Bytes of buckets, kept to be read again; shared by the daemon and the view."""
        named = self.objects.cache_dir
        return Path(named).expanduser() if named else self.daemon.state_dir / "objects"

    @property
    def socket_path(self) -> Path:
        return self.daemon.runtime_dir / "control.sock"


SECTIONS = (
    "daemon",
    "watch",
    "queue",
    "workers",
    "decode",
    "models",
    "captions",
    "tags",
    "lake",
    "view",
    "objects",
    "duplicates",
    "search",
    "web",
    "ask",
    "sql",
)


def is_root() -> bool:
    return os.geteuid() == 0


def place_of(root: AnyRoot) -> str:
    """Where it lies: a path, or ``s3://bucket/prefix``."""
    return str(root.path) if isinstance(root, RootConfig) else f"s3://{root.bucket}/{root.prefix}"


def watch_of(root: AnyRoot, watch: WatchConfig) -> WatchConfig:
    """The settings of one root: its own where it has them, else those of ``[watch]``."""
    shared = {item.name for item in dataclasses.fields(WatchConfig)} & {item.name for item in dataclasses.fields(root)}
    own = {name: value for name in shared if (value := getattr(root, name)) is not None}
    return dataclasses.replace(watch, **own)
