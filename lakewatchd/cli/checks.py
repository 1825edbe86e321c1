"""What ``lakewatchd check`` looks at. Each check is a function from settings to findings, and changes nothing.

The invariant: a finding that is no ``OK`` says what to do, in a command or a line to write, wherever there is one.
"""

from __future__ import annotations

import enum
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lakewatchd.config import SYSTEM_CONFIG, Config, WatchConfig, watch_of
from lakewatchd.control import whoami
from lakewatchd.core.asset import path_text
from lakewatchd.core.patience import within
from lakewatchd.core.status import Layer
from lakewatchd.errors import AlreadyRunning, LakeDamaged
from lakewatchd.sources import budget
from lakewatchd.sources.ears import trial
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.roots import Root

FUSE_CONF = Path("/etc/fuse.conf")
COUNT_S = 2.0
"""How long directories are counted. A count that was cut short is a lower bound, and said to be one."""
ANSWER_S = 4.0
"""A root that does not answer for so long hangs."""
_LOW_SPACE_BYTES = 2_000_000_000


class Level(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    about: str
    text: str
    fix: str = ""


def check_all(config: Config) -> tuple[Finding, ...]:
    """Every check there is, in the order in which problems are best mended."""
    machine = (check_user, check_roots, check_state, check_space, check_watch, check_inotify, check_fuse, check_sandbox)
    checks = (*machine, check_lake, check_extras, check_models)
    return tuple(finding for check in checks for finding in check(config))


def check_user(config: Config) -> Iterator[Finding]:
    """Rights are those of who asks. Where the daemon is another user, what is said of them is not about it."""
    if whoami() != _daemon_user(config):
        text = f"you are {whoami()}, the daemon is {_daemon_user(config)}: what follows is about your rights"
        yield Finding(Level.WARNING, "user", text, f"sudo -u {_daemon_user(config)} lakewatchd check")


def check_roots(config: Config) -> Iterator[Finding]:
    if not config.roots:
        where = config.source or "the configuration"
        yield Finding(Level.ERROR, "roots", "no root is configured", f"add [[root]] with name and path to {where}")
    for root in config.roots:
        about, shown = f"root {root.name}", path_text(str(root.path))
        is_there = within(ANSWER_S, root.path.is_dir)
        if is_there is None:
            yield Finding(Level.ERROR, about, f"{shown} does not answer", "check the server behind it")
        elif not is_there:
            fix = "name the directory that holds it" if os.path.lexists(root.path) else f"mount it, or mkdir -p {shown}"
            yield Finding(Level.ERROR, about, f"{shown} is no directory", fix)
        elif not os.access(root.path, os.R_OK | os.X_OK):
            fix = f"setfacl -R -m u:{_daemon_user(config)}:rX {shown}   (as the owner, or root)"
            yield Finding(Level.ERROR, about, f"{shown} cannot be read by {whoami()}", fix)
        else:
            yield Finding(Level.OK, about, shown)


def check_watch(config: Config) -> Iterator[Finding]:
    """How each root would be watched if the daemon started now, and why."""
    for root in config.roots:
        about = f"watch {root.name}"
        settings, place = watch_of(root, config.watch), Root(root.name, root.path)
        strategy = within(ANSWER_S, lambda place=place, settings=settings: trial(place, settings))  # type: ignore[misc]
        if strategy is None:
            yield Finding(Level.WARNING, about, "nothing is known of a root that does not answer")
        elif strategy.events or settings.mode == "poll":
            yield Finding(Level.OK, about, strategy.text)
        else:
            yield Finding(Level.WARNING, about, strategy.text, "lakewatchd status tells more while the daemon runs")


def check_state(config: Config) -> Iterator[Finding]:
    for about, path in (("state", config.daemon.state_dir), ("runtime", config.daemon.runtime_dir)):
        nearest = _nearest(path)
        if about == "runtime" and nearest != path and config.source == SYSTEM_CONFIG:
            yield Finding(Level.OK, about, f"{path} is made when the service starts")
        elif not os.access(nearest, os.W_OK | os.X_OK) and whoami() != _daemon_user(config):
            yield Finding(Level.OK, about, f"{path} belongs to {_daemon_user(config)}")
        elif not os.access(nearest, os.W_OK | os.X_OK):
            fix = f"install -d -o {whoami()} -m 750 {path}   (as root)"
            yield Finding(Level.ERROR, about, f"{path} cannot be written by {whoami()}", fix)
        elif path.is_dir() and path.stat().st_mode & 0o007 and about == "state":
            yield Finding(Level.WARNING, about, f"{path} can be read by anybody", f"chmod o= {path}")
        else:
            yield Finding(Level.OK, about, str(path))


def check_lake(config: Config) -> Iterator[Finding]:
    """Are all its files there? Not asked while a daemon writes: it looked when it started."""
    from lakewatchd.lake import durable, verify

    if not durable.is_lake(config.lake_dir):
        return
    try:
        os.close(durable.take_lock(config.lake_dir))
        verify.require_whole(config.lake_dir)
    except AlreadyRunning:
        return
    except LakeDamaged as exc:
        yield Finding(Level.ERROR, "lake", exc.message, exc.hint or "")
    except OSError as exc:
        yield Finding(Level.WARNING, "lake", f"cannot be looked at: {exc.strerror}", f"run this as root or {whoami()}")
    else:
        yield Finding(Level.OK, "lake", f"{config.lake_dir} is whole")


def check_space(config: Config) -> Iterator[Finding]:
    free = shutil.disk_usage(_nearest(config.daemon.state_dir)).free
    text = f"{free / 1e9:.1f} GB free for {config.daemon.state_dir}"
    if free < _LOW_SPACE_BYTES:
        yield Finding(Level.WARNING, "space", text, "make room, or set daemon.state_dir to a larger disk")
    else:
        yield Finding(Level.OK, "space", text)


def check_inotify(config: Config) -> Iterator[Finding]:
    """One watch for each directory; the limit is per user and shared with every other program of that user."""
    limit = budget.limit()
    if not limit:
        yield Finding(Level.ERROR, "inotify", "this kernel has none", "roots are rescanned only")
        return
    watched = [root.path for root in config.roots if watch_of(root, config.watch).mode != "poll"]
    counted = within(COUNT_S + ANSWER_S, lambda: count_directories(watched, COUNT_S, config.watch))
    if counted is None:
        yield Finding(Level.WARNING, "inotify", "directories could not be counted: a root does not answer")
        return
    found, complete = counted
    text = f"{found:,}{'' if complete else ' or more'} directories, {limit:,} watches allowed"
    if fix := budget.fix(found, limit):
        text += "; what is over the limit is polled" if found > limit else ""
        yield Finding(Level.WARNING, "inotify", text, fix)
    else:
        yield Finding(Level.OK, "inotify", text)


def check_fuse(config: Config) -> Iterator[Finding]:
    if not Path("/dev/fuse").exists():
        yield Finding(
            Level.ERROR, "fuse", "/dev/fuse is missing", "modprobe fuse (in a container: pass --device /dev/fuse)"
        )
    elif not os.access("/dev/fuse", os.R_OK | os.W_OK):
        yield Finding(Level.ERROR, "fuse", f"/dev/fuse is closed to {whoami()}", "chmod 666 /dev/fuse")
    elif os.geteuid() != 0 and shutil.which("fusermount3") is None:
        yield Finding(Level.ERROR, "fuse", "fusermount3 is missing", "apt-get install fuse3")
    elif importlib.util.find_spec("pyfuse3") is None:
        fix = f"apt-get install libfuse3-dev pkg-config gcc && {sys.prefix}/bin/pip install 'lakewatchd[view]'"
        yield Finding(Level.ERROR, "fuse", "pyfuse3 is not installed: no view", fix)
    elif config.view.allow_other and os.geteuid() != 0 and not _user_allow_other():
        fix = f"echo user_allow_other >> {FUSE_CONF}   (as root)"
        yield Finding(Level.ERROR, "fuse", "view.allow_other is not allowed to users", fix)
    else:
        yield Finding(Level.OK, "fuse", f"the view can be mounted on {config.view.mountpoint}")


def check_sandbox(config: Config) -> Iterator[Finding]:
    """Starts a decoder, which confines itself, and asks how far it got."""
    import asyncio

    from lakewatchd.errors import TransientError
    from lakewatchd.media.sandbox import Decoders

    async def layers() -> tuple[Layer, ...]:
        decoders = Decoders(config.decode, 1)
        try:
            await decoders.start()
        finally:
            await decoders.close()
        return decoders.layers

    try:
        found = asyncio.run(layers())
    except TransientError as exc:
        yield Finding(Level.ERROR, "sandbox", exc.message, "see the message above; is memory_mb in [decode] too low?")
        return
    for layer in found:
        fix = "" if layer.holds else "decoders go on with what is left; docs/operations.md says what that means"
        yield Finding(Level.OK if layer.holds else Level.WARNING, f"sandbox {layer.name}", layer.detail, fix)


EXTRAS = (
    ("clip", ("open_clip", "torch", "transformers"), "tags and search for pictures and texts"),
    ("detect", ("onnxruntime",), "objects in pictures (people, cats, cups), and better tags"),
    ("systemd", ("systemd",), "log fields in the journal"),
)
"""Extra, the modules it brings, what they add. ``view`` is told by :func:`check_fuse`."""


def check_extras(config: Config) -> Iterator[Finding]:
    for extra, modules, adds in EXTRAS:
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        about = f"extra {extra}"
        if missing and extra == "systemd":
            yield Finding(Level.OK, about, f"not installed; would add {adds}")
        elif missing:
            text = f"{', '.join(missing)} not installed; without: no {adds}"
            yield Finding(Level.WARNING, about, text, f"{sys.prefix}/bin/pip install 'lakewatchd[{extra}]'")
        else:
            yield Finding(Level.OK, about, adds)


def check_models(config: Config) -> Iterator[Finding]:
    """What would be used if the daemon started now. Reads names and manifests only; loads no model."""
    from lakewatchd.models.resolve import resolve

    resolved = resolve(config.models, config.model_dir)
    for problem in resolved.problems:
        yield Finding(Level.WARNING, f"model {problem.role.value}", problem.message, problem.hint)
    for role, spec in resolved.specs.items():
        yield Finding(Level.OK, f"model {role.value}", spec.info.name)


def count_directories(
    roots: Iterable[Path], budget_s: float, watch: WatchConfig, clock: Callable[[], float] = time.monotonic
) -> tuple[int, bool]:
    """How many directories no rule leaves out, and whether the time allowed was enough to count them all."""
    until, count = clock() + budget_s, 0
    for root in roots:
        rules, waiting = IgnoreRules(root, watch.ignore, watch.ignore_file), [""]
        while waiting:
            if clock() > until:
                return count + len(waiting), False
            directory = waiting.pop()
            count += 1
            why = rules.within(directory).why
            try:
                with os.scandir(root / directory) as entries:
                    names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue  # counted, though not readable: whether that matters is check_roots' business
            waiting += [f"{directory}/{name}" if directory else name for name in names if why(name, True) is None]
    return count, True


def _nearest(path: Path) -> Path:
    """``path``, or the directory in which it would be made."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110 - raises nothing


def _daemon_user(config: Config) -> str:
    """Whose the state is; where there is none yet, whoever asks."""
    try:
        return config.daemon.state_dir.owner()
    except (OSError, KeyError):
        return whoami()


def _user_allow_other() -> bool:
    try:
        lines = FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)
