"""What tests of lakewatchd, ours and other people's, need: a clock to turn by hand, files to make, a daemon to run.

The fakes here pass the same contract suites as the real thing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lakewatchd.control import ask
from lakewatchd.errors import DaemonDown, TimedOut

T = TypeVar("T")


@dataclass(slots=True)
class FakeClock:
    """Time that stands still until told. ``now`` and ``monotonic`` are moved together by :meth:`advance`."""

    wall_s: float = 1_700_000_000.0
    ticks_s: float = 1000.0

    def now(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.ticks_s

    def advance(self, seconds: float) -> None:
        self.wall_s += seconds
        self.ticks_s += seconds


def make_tree(base: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write ``{relative path: content}`` below ``base``, making directories as needed."""
    for name, content in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return base


def wait_until(condition: Callable[[], T], timeout_s: float = 60.0, what: str = "") -> T:
    """Poll ``condition`` until it is true; its last value is returned, or ``AssertionError`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what or condition}")
        time.sleep(0.02)
    return value


WITHOUT_MODELS = '[models]\nimage_text = "off"\ntext = "off"\ndetector = "off"\nspeech = "off"\nocr = "off"\n'
"""For what does not depend on models: a start takes a second instead of six."""


def config_text(
    base: Path, root: Path | None = None, settings: str = "", *, root_name: str = "nas", daemon_settings: str = ""
) -> str:
    """TOML of a daemon with one root (``base/nas`` unless told), everything of its own below ``base``, and ``settings``
    as its last sections."""
    return (
        f'[[root]]\nname = "{root_name}"\npath = "{root or base / "nas"}"\n\n'
        f'[daemon]\nstate_dir = "{base / "state"}"\nruntime_dir = "{base / "run"}"\n{daemon_settings}\n\n'
        f'[view]\nmountpoint = "{base / "mnt"}"\n\n{settings}'
    )


@dataclass(slots=True)
class LiveDaemon:
    """A real ``lakewatchd run`` in a process of its own, on a root and a state directory of its own."""

    base: Path
    root: Path
    models: Path | None = None
    """A directory with fetched models, shared by tests; without it the daemon works without models."""
    settings: str = ""
    """More TOML for the configuration."""
    daemon_settings: str = ""
    """More TOML for its ``[daemon]``."""
    environment: Mapping[str, str] = field(default_factory=dict)
    root_name: str = "nas"
    program: Sequence[str] = ("-m", "lakewatchd")
    """What Python runs as the daemon: tests that inject faults have a launcher of their own."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def config(self) -> Path:
        return self.base / "lakewatchd.toml"

    @property
    def log(self) -> str:
        return (self.base / "log").read_text(errors="replace")

    def write_config(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(exist_ok=True)
        if self.models is not None and not (self.state / "models").exists():
            (self.state / "models").symlink_to(self.models)
        self.config.touch(mode=0o600)  # it may hold secrets
        settings = self.settings + ("" if "[web]" in self.settings else "\n\n[web]\nenabled = false\n")
        text = config_text(
            self.base, self.root, settings, root_name=self.root_name, daemon_settings=self.daemon_settings
        )
        self.config.write_text(text)

    def start(self, *, wait: bool = True) -> LiveDaemon:
        self.write_config()
        log = (self.base / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *self.program, "--config", str(self.config), "run"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **self.environment},
        )
        log.close()
        if wait:
            try:
                wait_until(self._answers, 120, "the daemon answers")
            except BaseException:
                self.__exit__()  # nobody else will: it was not entered
                raise
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"daemon ended with {self.process.returncode}; log:\n{self.log}")
        try:
            self.ask("status", timeout_s=5)
        except (DaemonDown, TimedOut):
            return False
        return True

    def ask(self, op: str, timeout_s: float = 180, **args: object) -> dict[str, Any]:
        """What a command would ask of the daemon, without the start of a process. Errors as :func:`control.ask`."""
        return ask(self.base / "run" / "control.sock", op, timeout_s=timeout_s, **args)

    def run(self, *args: str, check: bool = True, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        """A ``lakewatchd`` command against this daemon."""
        argv = [sys.executable, "-m", "lakewatchd", "--config", str(self.config), *args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
        if check and done.returncode:
            raise AssertionError(f"{args} -> {done.returncode}\n{done.stdout}{done.stderr}\nlog:\n{self.log}")
        return done

    def wait_idle(self, timeout_s: float = 600) -> None:
        """As ``lakewatchd status --wait``: all that lies there now is indexed or parked."""
        self.ask("wait_idle", timeout_s)

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(120)

    def kill(self) -> None:
        """``kill -9``."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def __enter__(self) -> LiveDaemon:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
