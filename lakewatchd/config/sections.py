"""Every setting by section, with its default. The annotations are the limits that are checked when a file is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from lakewatchd.core.typed_toml import Like, OneOf, Range, Secret

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

_DAY_S = 86_400.0
_PORT = r"(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    state_dir: Path = Path()
    """Queue, lake, thumbnails and models. Set by :func:`defaults` to fit root or user."""
    runtime_dir: Path = Path()
    """The control socket."""
    group: str = ""
    """Whose members may use the control socket; empty: the group the daemon runs as."""
    drain_s: Annotated[float, Range(0, 600)] = 20.0
    metrics: Annotated[str, Like(rf"(.+:{_PORT})?", "HOST:PORT, or nothing")] = ""
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


ADDRESSINGS = ("auto", "path", "virtual")
"""How a bucket is named to its server: in the path, or as a part of the host's name; auto: by path but for AWS."""

_BUCKET = Like(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket: 3 to 63 of a-z, 0-9, . and -")
_HOST = rf"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:{_PORT})?"
_ENDPOINT = Like(rf"({_HOST}/?)?", "such as http://nas:9000")
_CAPTIONER = Like(rf"{_HOST}(/[!-~]*)?", "http://host:port, or .../v1 for an OpenAI-like API")
_LAKE = Like(
    r"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.+(/|$))[A-Za-z0-9_.-]+)*/?)?", "s3://BUCKET/PREFIX of plain letters"
)
_REGION = Like(r"[A-Za-z0-9-]{0,64}", "the name of a region, such as eu-central-1")
_CREDENTIALS = Like(r"(/[^\0]+|[A-Za-z0-9_.@-]+)?", "a file, from /, or the name of a credential of systemd")
_FILE = Like(r"(/[^\0]+)?", "a file, from /")
_TOKEN = Like(r"([!-~]{16,512})?", "16 or more letters, digits and signs without a space")


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """A root that is a bucket. What is None is as in :class:`WatchConfig`; an empty text is "not given"."""

    name: str
    bucket: Annotated[str, _BUCKET]
    endpoint: Annotated[str, _ENDPOINT]
    prefix: str = ""
    """Only keys that begin with it; ends with "/"."""
    region: Annotated[str, _REGION] = ""
    addressing: Annotated[str, OneOf(ADDRESSINGS)] = "auto"
    credentials: Annotated[str, _CREDENTIALS] = ""
    """Where the keys are; the order of all places is told by :func:`lakewatchd.buckets.access.credentials_of`."""
    access_key: Annotated[str, Secret()] = field(default="", repr=False)
    secret_key: Annotated[str, Secret()] = field(default="", repr=False)
    tls_ca: Annotated[str, _FILE] = ""
    rescan_s: Annotated[float, Range(0, 30 * _DAY_S)] | None = None
    listen: bool = True
    mqtt: str = ""
    """``mqtt://user@broker:1883/topic``, or ``mqtts://``."""
    mqtt_password: Annotated[str, Secret()] = field(default="", repr=False)
    mqtt_ca: Annotated[str, _FILE] = ""
    webhook_token: Annotated[str, _TOKEN, Secret()] = field(default="", repr=False)
    redis: str = ""
    """``redis://user@host:6379/0/key``, or ``rediss://``."""
    redis_password: Annotated[str, Secret()] = field(default="", repr=False)
    object_tags: bool = True


AnyRoot = RootConfig | BucketConfig


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
    deep_deadline_s: Annotated[float, Range(1, 7 * _DAY_S)] = 3600.0
    """For what heavy stages ask of one file at once, such as a film scene by scene."""
    memory_mb: Annotated[int, Range(512, 1_048_576)] = 2048
    """Address space of a decoder, of which its libraries take 440 MB before it has seen a file."""
    max_pixels: Annotated[int, Range(1_000_000, 10_000_000_000)] = 250_000_000
    max_text_bytes: Annotated[int, Range(1000, 2_000_000_000)] = 20_000_000
    thumbnail_px: Annotated[int, Range(32, 2048)] = 320
    passage_chars: Annotated[int, Range(100, 20_000)] = 800
    passage_overlap: Annotated[int, Range(0, 10_000)] = 120
    archive_members: Annotated[int, Range(0, 100_000)] = 0
    """Of an archive, so many documents are read; its names always are."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    image_text: str = "embedded"
    text: str = "embedded"
    detector: str = "embedded"
    speech: str = "embedded"
    ocr: str = "embedded"
    device: Annotated[str, Like(r"auto|cpu|cuda(:\d+)?|mps", "auto, cpu, cuda or cuda:1")] = "auto"
    threads: Annotated[int, Range(1, 256)] = 1
    batch: Annotated[int, Range(1, 1024)] = 16


@dataclass(frozen=True, slots=True)
class CaptionConfig:
    """A vision-language model on a server of yours that describes pictures; off until a model is named."""

    model: str = ""
    server: Annotated[str, _CAPTIONER] = "http://127.0.0.1:11434"
    """Of Ollama; one that ends in ``/v1`` speaks as OpenAI does (vLLM, llama.cpp)."""
    api_key: Annotated[str, Like(r"[!-~]*", "letters, digits and signs without a space"), Secret()] = field(
        default="", repr=False
    )
    timeout_s: Annotated[float, Range(1, 3600)] = 120.0
    at_once: Annotated[int, Range(1, 256)] = 2
    """Requests on their way; the server makes batches of them."""
    picture_px: Annotated[int, Range(64, 4096)] = 768


@dataclass(frozen=True, slots=True)
class AskConfig:
    """A language model on a server of yours that answers questions from what is found; off until a model is named."""

    model: str = ""
    server: Annotated[str, _CAPTIONER] = "http://127.0.0.1:11434"
    """As in :class:`CaptionConfig`."""
    api_key: Annotated[str, Like(r"[!-~]*", "letters, digits and signs without a space"), Secret()] = field(
        default="", repr=False
    )
    timeout_s: Annotated[float, Range(1, 3600)] = 120.0
    passages: Annotated[int, Range(1, 50)] = 8
    context_chars: Annotated[int, Range(500, 1_000_000)] = 8000
    """Of all passages together."""


@dataclass(frozen=True, slots=True)
class SqlConfig:
    """Of one query."""

    timeout_s: Annotated[float, Range(0.1, 3600)] = 30.0
    memory_mb: Annotated[int, Range(64, 1_048_576)] = 512
    rows: Annotated[int, Range(1, 1_000_000)] = 10_000
    """Of an answer by HTTP."""


@dataclass(frozen=True, slots=True)
class TagConfig:
    taxonomy: Path = Path()


@dataclass(frozen=True, slots=True)
class LakeConfig:
    commit_rows: Annotated[int, Range(1, 100_000)] = 512
    commit_s: Annotated[float, Range(0.01, 60)] = 1.0
    optimize_commits: Annotated[int, Range(2, 10_000)] = 64
    keep_gone_days: Annotated[float, Range(0, 36_500)] = 30.0
    uri: Annotated[str, _LAKE] = ""
    """Where the tables are; empty: in ``state_dir``. What follows is as in :class:`BucketConfig`."""
    endpoint: Annotated[str, _ENDPOINT] = ""
    region: Annotated[str, _REGION] = ""
    credentials: Annotated[str, _CREDENTIALS] = ""
    access_key: Annotated[str, Secret()] = field(default="", repr=False)
    secret_key: Annotated[str, Secret()] = field(default="", repr=False)
    tls_ca: Annotated[str, _FILE] = ""


DUPLICATE_ORDERS = ("length", "resolution", "oldest", "quality")


@dataclass(frozen=True, slots=True)
class DuplicatesConfig:
    near: bool = True
    prefer: tuple[str, ...] = DUPLICATE_ORDERS
    """Which of a group stands for the others: by the first of these in which they differ."""


@dataclass(frozen=True, slots=True)
class ObjectsConfig:
    """How bytes of buckets are read and kept."""

    cache_mb: Annotated[int, Range(0, 1_000_000_000)] = 10_240
    cache_dir: Annotated[str, Like(r"((/|~/)[^\0]+)?", "a directory, from / or ~/")] = ""
    """Empty: in ``state_dir``."""
    read_ahead_mb: Annotated[int, Range(0, 1024)] = 16
    connections: Annotated[int, Range(1, 256)] = 8
    timeout_s: Annotated[float, Range(0.5, 600)] = 10.0


@dataclass(frozen=True, slots=True)
class SearchConfig:
    warm: bool = True
    """Load the models for questions when the web process starts, not with the first question."""
    idle_s: Annotated[float, Range(1, _DAY_S)] = 900.0
    """Without a question for so long, they are let go."""
    like_mb: Annotated[int, Range(1, 4096)] = 64
    """Of a file from outside that others are to be like."""


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The HTTP door: search, gallery, API, and events of buckets that have a ``webhook_token``."""

    enabled: bool = True
    """Events of buckets are received all the same."""
    listen: Annotated[str, Like(rf".+:{_PORT}", "HOST:PORT")] = "127.0.0.1:8420"
    token: Annotated[str, _TOKEN, Secret()] = field(default="", repr=False)
    """Empty: only who comes from this machine, or by the UNIX socket, is let in."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, besides those of this machine, that the door may be asked for by."""
    max_body_kb: Annotated[int, Range(16, 1024)] = 1024
    max_waiting: Annotated[int, Range(1, 1_000_000)] = 2000


@dataclass(frozen=True, slots=True)
class ViewConfig:
    mountpoint: Path = Path()
    refresh_s: Annotated[float, Range(0.1, 3600)] = 1.0
    allow_other: bool = False
