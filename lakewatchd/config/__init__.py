"""Every setting, typed and frozen, and the reader that reports all problems of a file at once.

The dataclasses are the truth: ``etc/lakewatchd.toml`` is tested to name every key with these defaults, and the
annotations are the limits that :mod:`lakewatchd.core.typed_toml` checks. Here live the settings, where the file
is looked for, and what one setting demands of another; not how TOML is read.
"""

from lakewatchd.config.places import SYSTEM_CONFIG, defaults, find, packaged
from lakewatchd.config.reader import load, parse
from lakewatchd.config.sections import (
    DUPLICATE_ORDERS,
    IGNORE_DEFAULT,
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
from lakewatchd.config.whole import SECTIONS, Config, is_root, place_of, watch_of
from lakewatchd.config.writer import to_toml

__all__ = [
    "DUPLICATE_ORDERS",
    "IGNORE_DEFAULT",
    "SECTIONS",
    "SYSTEM_CONFIG",
    "AnyRoot",
    "AskConfig",
    "BucketConfig",
    "CaptionConfig",
    "Config",
    "DaemonConfig",
    "DecodeConfig",
    "DuplicatesConfig",
    "LakeConfig",
    "ModelConfig",
    "ObjectsConfig",
    "QueueConfig",
    "RootConfig",
    "SearchConfig",
    "SqlConfig",
    "TagConfig",
    "ViewConfig",
    "WatchConfig",
    "WebConfig",
    "WorkerConfig",
    "defaults",
    "find",
    "is_root",
    "load",
    "packaged",
    "parse",
    "place_of",
    "to_toml",
    "watch_of",
]
