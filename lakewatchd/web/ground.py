"""What the web process still reaches once it has enclosed itself: the lake, the roots, its models, and nobody else.

It may write into the cache of buckets and into a scratch directory; start Python, for the models that read questions
and for what must be more confined than itself; and connect to the servers in its configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from lakewatchd.config import Config
from lakewatchd.confine import Ground

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/proc", "/sys/devices", "/sys/fs/cgroup", "/sys/class",
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/hosts", "/etc/resolv.conf",
    "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf", "/etc/services", "/etc/localtime", "/etc/timezone",
    "/etc/mime.types", "/etc/passwd", "/etc/group", "/run/systemd/resolve", "/run/nscd",
)  # fmt: skip
"""What any program of the machine reads: libraries, processors, certificates, names of hosts."""
_PROGRAMS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
"""The loader of programs; libraries need no right to run."""


def scratch_dir(config: Config) -> Path:
    """Where a picture that was sent lies while it is looked at."""
    return config.daemon.runtime_dir / "web"


def ground_of(config: Config) -> Ground:
    roots = [str(root.path) for root in config.roots]
    python = [sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent)]
    ours = [config.daemon.state_dir, config.model_dir, config.tags.taxonomy]  # not what lies beside it: secrets
    writable = [scratch_dir(config), "/dev", *([config.cache_dir] if config.buckets else [])]
    return Ground(
        readable=(*_SYSTEM, *roots, *python, *map(str, ours)),
        writable=tuple(map(str, writable)),
        runnable=(*_PROGRAMS, sys.executable, str(Path(sys.executable).resolve())),
        ports=tuple(sorted(set(_ports(config)))),
    )


def _ports(config: Config) -> Iterator[int]:
    yield 53  # names of hosts, where an answer is long
    servers = [root.endpoint for root in config.buckets] + [config.lake.endpoint, config.ask.server]
    for server in filter(None, servers):
        parts = urlsplit(server)
        yield parts.port or (443 if parts.scheme == "https" else 80)
