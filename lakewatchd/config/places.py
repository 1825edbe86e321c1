"""Where the file is looked for, and where things are by default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lakewatchd.config.sections import DaemonConfig, TagConfig, ViewConfig
from lakewatchd.config.whole import Config, is_root

SYSTEM_CONFIG = Path("/etc/lakewatchd/lakewatchd.toml")


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
    here = Path(__file__).parent.parent
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
