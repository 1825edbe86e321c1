"""Start lakewatchd and its view on one directory, wait until all is indexed, say where to look, stop cleanly.

Run by ``scripts/quickstart``, which sets up what this needs. The daemon and the view are the ordinary commands, as
processes of their own; this file only starts, watches and stops them.
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

from lakewatchd import config as configs
from lakewatchd.cli import backend
from lakewatchd.cli.output import console, progress_bar, say, show_error
from lakewatchd.cli.render import status_view
from lakewatchd.config import Config, DaemonConfig, RootConfig, ViewConfig
from lakewatchd.control import ask
from lakewatchd.errors import DaemonDown, LakewatchError

CHECKOUT = Path(__file__).resolve().parents[1]
READY_S = 120.0
"""How long daemon and view may take to come up."""
STOP_S = 40.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="what to index (default: a sample)")
    parser.add_argument("--once", action="store_true", help="index, print the summary, end")
    parser.add_argument("--place", type=Path, default=CHECKOUT / ".quickstart", help="where to keep everything")
    args = parser.parse_args()
    for asked_to_stop in (signal.SIGINT, signal.SIGTERM):  # also where a shell started us with SIGINT ignored
        signal.signal(asked_to_stop, signal.default_int_handler)
    try:
        place = args.place.absolute()
        config = write_config(place, args.directory.resolve() if args.directory else sample(place))
        fetch_models(config)
        return show(config, once=args.once)
    except LakewatchError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def show(config: Config, *, once: bool) -> int:
    """Run daemon and view; return when asked to stop, or after everything is indexed."""
    begun = time.monotonic()
    with (
        running(config, "run", lambda: answers(config)),
        running(config, "mount", config.view.mountpoint.is_mount) as view,
    ):
        wait_indexed(config)
        console().print(status_view(backend.live_status(config)))
        print(f"\nIndexed after {time.monotonic() - begun:.1f} s.")
        where_to_look(config)
        if not once:
            print("\nDrop files into the directory and watch them appear. Ctrl-C stops everything.")
            view.wait()
            say("the view ended by itself; see the log: " + str(log_of(config, "mount")))
            return 1
    return 0


# --- set-up ------------------------------------------------------------------------------------------------


def sample(place: Path) -> Path:
    from sample import assemble

    target = place / "sample"
    print(f"sample: {assemble(target)} real photos and texts in {target}")
    return target


def write_config(place: Path, directory: Path) -> Config:
    """A configuration that keeps everything below ``place``, as a file that every command can be given."""
    base = configs.defaults()
    config = dataclasses.replace(
        base,
        roots=(RootConfig("files", directory),),
        daemon=DaemonConfig(state_dir=place / "state", runtime_dir=place / "run"),
        view=ViewConfig(mountpoint=place / "lake"),
    )
    for path in (config.daemon.state_dir, config.daemon.runtime_dir, config.view.mountpoint):
        with contextlib.suppress(OSError):  # a mount whose view was killed: `lakewatchd mount` mends that
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
    file = place / "lakewatchd.toml"
    file.write_text(configs.to_toml(config), encoding="utf-8")
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
def running(config: Config, command: str, is_ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """``lakewatchd COMMAND`` as a process that is ready; stopped on the way out, however that happens."""
    argv = [sys.executable, "-m", "lakewatchd", command, "--config", str(config.source)]
    with log_of(config, command).open("wb") as log:
        # A session of its own: Ctrl-C is for us, who stop things in the right order.
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=stop_with_parent,  # noqa: PLW1509  # no thread of ours runs here
        )
    try:
        wait_ready(process, command, is_ready, config)
        yield process
    finally:
        stop(process)


def stop_with_parent() -> None:
    """Ask the kernel to send SIGTERM when the quickstart dies without a word (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def wait_ready(process: subprocess.Popen[bytes], command: str, is_ready: Callable[[], bool], config: Config) -> None:
    until = time.monotonic() + READY_S
    with progress_bar(f"starting lakewatchd {command}"):
        while (ended := process.poll() is not None) or not is_ready():
            if ended or time.monotonic() > until:
                log = log_of(config, command)
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
                raise LakewatchError(f"`lakewatchd {command}` did not come up:\n{tail}", f"see {log}")
            time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
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


def wait_indexed(config: Config) -> None:
    most = 1
    with progress_bar("indexing") as update:

        def look() -> None:
            nonlocal most
            status = backend.live_status(config)
            most = max(most, status.queued)
            update(most - status.queued, most, status.headline)

        def wait() -> dict[str, Any]:
            return ask(config.socket_path, "wait_idle", timeout_s=None)

        backend.meanwhile(wait, look, every_s=0.2)
    time.sleep(config.view.refresh_s + 0.2)  # until the view has looked once more


def where_to_look(config: Config) -> None:
    """Real folders that are there now, and three commands that work as they stand."""
    lake = config.view.mountpoint
    print(f"\nThe view is in {lake}:")
    for folder in ("by-tag", "by-category", "by-date", "by-kind", "by-root"):
        names = sorted(os.listdir(lake / folder)) if (lake / folder).is_dir() else []
        print(f"  {folder + '/':<14}{', '.join(names[:8])}{' …' if len(names) > 8 else ''}")
    command = f"{shlex.quote(str(CHECKOUT / '.venv/bin/lakewatchd'))} --config {shlex.quote(str(config.source))}"
    tags = sorted(os.listdir(lake / "by-tag")) if (lake / "by-tag").is_dir() else []
    print("\nTry:")
    print(f"  ls {shlex.quote(str(lake / 'by-tag' / (tags[0] if tags else '')))}")
    print(f"  {command} status")
    print(f"  {command} queue list --parked")


def log_of(config: Config, command: str) -> Path:
    return config.daemon.runtime_dir / f"{command}.log"


if __name__ == "__main__":
    sys.exit(main())
