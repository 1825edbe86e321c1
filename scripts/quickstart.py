"""Index one directory, show it as folders, say where to look, stop cleanly.

Run by ``scripts/quickstart``, which sets up what this needs. The daemon and the view are the ordinary commands, as
processes of their own; this file only starts, watches and stops them. With ``--once`` the view outlives it, and a
later run goes on with it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lakewatchd import __version__
from lakewatchd import config as configs
from lakewatchd.cli import backend
from lakewatchd.cli.output import console, progress_bar, say, show_error
from lakewatchd.cli.render import status_view
from lakewatchd.config import Config, DaemonConfig, RootConfig, ViewConfig
from lakewatchd.control import ask
from lakewatchd.core.status import Status
from lakewatchd.errors import AlreadyRunning, DaemonDown, LakewatchError
from lakewatchd.views.mounted import mountpoint

CHECKOUT = Path(__file__).resolve().parents[1]
READY_S = 120.0
"""How long daemon and view may take to come up."""
STOP_S = 40.0
SHOWN_S = 30.0
"""How long the view may take to show what is indexed. After that we go on: somebody may be changing the files."""
ROOT = "files"

Process = subprocess.Popen[bytes]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="what to index (default: a sample)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="index, leave the view mounted, end")
    how.add_argument("--stop", action="store_true", help="unmount the view that --once left")
    parser.add_argument("--place", type=Path, default=CHECKOUT / ".quickstart", help="where to keep everything")
    args = parser.parse_args()
    for asked_to_stop in (signal.SIGINT, signal.SIGTERM):  # also where a shell started us with SIGINT ignored
        signal.signal(asked_to_stop, signal.default_int_handler)
    try:
        place = args.place.absolute()
        if args.stop:
            return stop_view(place)
        if args.directory and not args.directory.is_dir():
            raise LakewatchError(f"{args.directory} is not a directory", "name the directory to index, or none at all")
        config = write_config(place, args.directory.resolve() if args.directory else sample(place))
        fetch_models(config)
        return show(config, once=args.once)
    except LakewatchError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print(file=sys.stderr)  # below the terminal's ^C
        say("stopped; what is indexed is kept, and the next run goes on from there")
        return 0


def show(config: Config, *, once: bool) -> int:
    """Run daemon and view; return when asked to stop, or after everything is indexed."""
    begun, begun_at = time.monotonic(), time.time()
    with daemon(config) as indexer, view(config, keep=once) as viewer:  # both start at the same time
        wait_ready(config, "run", indexer, lambda: answers(config))
        forget_other(config)
        wait_ready(config, "mount", viewer, lambda: is_shown(config))
        print(f"The view fills while files are read: ls {shlex.quote(str(config.view.mountpoint))}", flush=True)
        status = wait_indexed(config)
        wait_shown(config, sum(root.files for root in status.roots))
        seconds = time.monotonic() - begun
        console().print(status_view(status))
        print(f"\n{summary(config, status, begun_at)}; {seconds:.1f} s.")
        where_to_look(config)
        if not once:
            if status.web:
                print(f"\nThe gallery, for a browser on this machine: {status.web}")
            print("\nDrop files into the directory and watch them appear. Ctrl-C stops everything.", flush=True)
            return watch(config, indexer)
    print(f"\nThe view stays mounted; nothing is indexed any more. To end it: {CHECKOUT / 'scripts/quickstart'} --stop")
    return 0


def stop_view(place: Path) -> int:
    lake = place / "lake"
    if not mountpoint.is_ours(lake):
        print(f"nothing is mounted at {lake}")
    elif not mountpoint.unmount(lake):  # its process ends by that
        raise LakewatchError(f"{lake} cannot be unmounted", f"run: fusermount3 -u -z {shlex.quote(str(lake))}")
    else:
        print(f"unmounted {lake}")
    return 0


def watch(config: Config, indexer: Process) -> int:
    """Until Ctrl-C; or until one of the two is gone, which somebody should look at."""
    while indexer.poll() is None and is_shown(config):
        time.sleep(0.5)
    gone = "run" if indexer.poll() is not None else "mount"
    say(f"`lakewatchd {gone}` has ended; see {log_of(config, gone)}")
    return 1


# --- set-up ------------------------------------------------------------------------------------------------


def sample(place: Path) -> Path:
    from sample import assemble

    target = place / "sample"
    print(f"sample: {assemble(target)} real photos and texts in {target}")
    return target


def write_config(place: Path, directory: Path) -> Config:
    """A configuration that keeps everything below ``place``, as a file that every command can be given.

    A view that shows something else is taken away. Raises :class:`AlreadyRunning` when ``place`` is in use.
    """
    base = configs.defaults()
    config = dataclasses.replace(
        base,
        roots=(RootConfig(ROOT, directory),),
        daemon=DaemonConfig(state_dir=place / "state", runtime_dir=place / "run"),
        view=ViewConfig(mountpoint=place / "lake"),
    )
    if answers(config):
        raise AlreadyRunning(f"a quickstart is running in {place}", "end it with Ctrl-C, or choose another --place")
    for path in (config.daemon.state_dir, config.daemon.runtime_dir, config.view.mountpoint):
        with contextlib.suppress(OSError):  # a mount whose view was killed: `lakewatchd mount` mends that
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
    file = place / "lakewatchd.toml"
    text = f"# Written by scripts/quickstart of lakewatchd {__version__}\n{configs.to_toml(config)}"
    if mountpoint.is_ours(config.view.mountpoint) and (not file.exists() or file.read_text(encoding="utf-8") != text):
        stop_view(place)
    file.write_text(text, encoding="utf-8")
    return configs.load(file)  # checks it as it would be checked for anybody


def fetch_models(config: Config) -> None:
    """The embedded models, shared with the tests of this checkout through ``.cache``."""
    from lakewatchd.models import fetch

    shared = CHECKOUT / ".cache" / "models"
    shared.mkdir(parents=True, exist_ok=True)
    if not config.model_dir.exists():
        config.model_dir.symlink_to(shared)
    with progress_bar("fetching models") as update:
        fetched = fetch.fetch(config.model_dir, lambda line: update(0, None, line))
    for problem in fetched.problems:
        show_error(problem)


# --- running -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def daemon(config: Config) -> Iterator[Process]:
    process = start(config, "run")
    try:
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def view(config: Config, *, keep: bool) -> Iterator[Process | None]:
    """The mounted view; None if an earlier run left it. Unless all went well and it is to be kept, it is unmounted."""
    process = None if is_shown(config) else start(config, "mount", outlives_us=keep)
    is_done = False
    try:
        yield process
        is_done = True
    finally:
        if not (is_done and keep):
            if process is not None:
                stop(process)
            if mountpoint.is_ours(config.view.mountpoint):
                mountpoint.unmount(config.view.mountpoint)


def start(config: Config, command: str, *, outlives_us: bool = False) -> Process:
    """``lakewatchd COMMAND``, in a session of its own: Ctrl-C is for us, who stop things in the right order."""
    argv = [sys.executable, "-m", "lakewatchd", command, "--config", str(config.source)]
    with log_of(config, command).open("wb") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            preexec_fn=None if outlives_us else stop_with_parent,  # noqa: PLW1509  # no thread of ours runs here
        )


def stop_with_parent() -> None:
    """Ask the kernel to send SIGTERM when the quickstart dies without a word (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def wait_ready(config: Config, command: str, process: Process | None, is_ready: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_S
    with progress_bar(f"starting lakewatchd {command}"):
        while (ended := process is not None and process.poll() is not None) or not is_ready():
            if ended or time.monotonic() > until:
                raise failed(config, command, "did not come up")
            time.sleep(0.05)


def failed(config: Config, command: str, how: str) -> LakewatchError:
    log = log_of(config, command)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
    return LakewatchError(f"`lakewatchd {command}` {how}:\n{tail}", f"see {log}")


def stop(process: Process) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(config: Config) -> bool:
    try:
        backend.live_status(config)
    except DaemonDown:
        return False
    return True


def is_shown(config: Config) -> bool:
    """Whether a view is mounted and answers."""
    lake = config.view.mountpoint
    with contextlib.suppress(OSError):
        return mountpoint.is_ours(lake) and bool(os.listdir(lake))
    return False


def forget_other(config: Config) -> None:
    """Say that files of the directory that was shown before are gone, which is held back where it is most of them."""
    note, here = config.daemon.state_dir / "quickstart-shows", os.fsencode(config.roots[0].path)
    if note.exists() and note.read_bytes() != here:
        with progress_bar("another directory than before"):
            backend.scan(config, ROOT, accept_removals=True)
    note.write_bytes(here)


def wait_indexed(config: Config) -> Status:
    most = 1
    with progress_bar("indexing") as update:

        def look() -> None:
            nonlocal most
            status = backend.live_status(config)
            most = max(most, status.queued)
            update(most - status.queued, most, status.headline)

        def wait() -> dict[str, Any]:
            return ask(config.socket_path, "wait_idle", timeout_s=None)

        try:
            backend.meanwhile(wait, look, every_s=0.2)
            return backend.live_status(config)
        except DaemonDown as exc:
            raise failed(config, "run", "ended") from exc


def wait_shown(config: Config, files: int) -> None:
    """Until the view shows as many files as are known, with the size and time they have on disk, and every asset."""
    until = time.monotonic() + SHOWN_S
    with progress_bar("waiting for the view"):
        assets = rows_of(config, "gold_assets")
        while not is_all_shown(config, files, assets) and time.monotonic() < until:
            time.sleep(0.05)


def is_all_shown(config: Config, files: int, assets: int) -> bool:
    lake, originals = config.view.mountpoint, config.roots[0].path
    found = list(files_below(lake / "by-root" / ROOT))
    if len(found) != files or sum(1 for _ in files_below(lake / "by-kind")) != assets:
        return False
    return all(is_same(path, originals / path.relative_to(lake / "by-root" / ROOT)) for path in found)


def is_same(a: Path, b: Path) -> bool:
    with contextlib.suppress(OSError):
        return facts(a) == facts(b)
    return False


def facts(path: Path) -> tuple[int, int]:
    stat = path.lstat()
    return stat.st_size, stat.st_mtime_ns


def files_below(directory: Path) -> Iterator[Path]:
    for parent, _folders, names in os.walk(directory):
        yield from (Path(parent, name) for name in names)


# --- telling -----------------------------------------------------------------------------------------------


def summary(config: Config, status: Status, begun_at: float) -> str:
    files = sum(root.files for root in status.roots)
    photos = sum(1 for _ in files_below(config.view.mountpoint / "by-kind" / "image"))
    embedded = embedded_since(config, begun_at)
    return f"{files:,} files, {photos:,} of them photos; {status.parked_count:,} parked; {embedded:,} embedded now"


def embedded_since(config: Config, at: float) -> int:
    """How many contents were, each counted once: one with much in it comes by more than once."""
    import lance

    runs = lance.dataset(str(config.lake_dir / "lineage.lance"))
    found = runs.to_table(columns=["subject"], filter=f"stage = 'embed' AND started_at >= {at!r}")
    return len(found.column("subject").unique())


def rows_of(config: Config, table: str) -> int:
    import lance

    path = config.lake_dir / f"{table}.lance"
    return int(lance.dataset(str(path)).count_rows()) if path.exists() else 0


def where_to_look(config: Config) -> None:
    """Real folders that are there now, and commands that work as they stand."""
    lake = config.view.mountpoint
    print(f"\nThe view is in {lake}:")
    for folder in ("by-tag", "by-category", "by-date", "by-kind", "by-place", "by-root"):
        names = sorted(os.listdir(lake / folder)) if (lake / folder).is_dir() else []
        print(f"  {folder + '/':<14}{', '.join(names[:8])}{' …' if len(names) > 8 else ''}")
    command = f"{shlex.quote(str(CHECKOUT / '.venv/bin/lakewatchd'))} --config {shlex.quote(str(config.source))}"
    tags = sorted(os.listdir(lake / "by-tag")) if (lake / "by-tag").is_dir() else []
    print("\nTry:")
    print(f"  ls {shlex.quote(str(lake / 'by-tag' / (tags[0] if tags else '')))}")
    print(f"  {command} status")
    print(f"  {command} queue list --parked")
    print(f"  {command} dups")
    newest = next(iter(os.listdir(lake / "recent")), None) if (lake / "recent").is_dir() else None
    if newest:
        print(f"  {command} explain {shlex.quote(str(lake / 'recent' / newest))}")


def log_of(config: Config, command: str) -> Path:
    return config.daemon.runtime_dir / f"{command}.log"


if __name__ == "__main__":
    sys.exit(main())
