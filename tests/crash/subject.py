"""One daemon, its files and its fault: started, struck, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakewatchd import config, control
from lakewatchd.errors import DaemonDown, LakewatchError
from lakewatchd.lake.files import Files, files_of
from lakewatchd.testing import WITHOUT_MODELS, LiveDaemon, wait_until
from tests.crash import corpus
from tests.crash.bucket_root import BucketRoot
from tests.servers import S3Server

CHECKOUT = Path(__file__).parents[2]
WAIT_S = 90.0
"""For anything to happen. Generous: a busy machine is no failure."""
NUDGE_S = 15.0

QUICK = """\
[watch]
settle_s = 0.1
settle_open_s = 0.3

[queue]
lease_s = 5.0
backoff_s = 0.1
backoff_max_s = 1.0

[workers]
decoders = 1

[lake]
commit_s = 0.05
optimize_commits = 2
keep_gone_days = 0.0
"""
"""Everything often and soon, so that a short life passes every point."""

OTHER_SETTINGS = "\n[decode]\nthumbnail_px = 200\n"
"""With these, all that was decoded before is stale."""

ROOT = "nas"
SHORT_PATIENCE = "\n[decode]\ndeadline_s = 1.0\n"


class Red(AssertionError):
    """Something is not as promised."""


@dataclass(slots=True)
class Subject:
    """A daemon in a directory of its own."""

    base: Path
    models: Path | None = None
    server: S3Server | None = None
    """In a bucket of which the lake is; without it in the state directory."""
    bucket: BucketRoot | None = None
    """What the daemon watches, if that is no directory."""
    root: Path = field(init=False)
    """The directory that the daemon watches: an empty one beside a bucket."""
    files: Path = field(init=False)
    """Where the case makes its changes: the root, what another host would see of it, or what the bucket mirrors."""
    deaths: int = 0
    """How often it was ended, by the fault or by the case: each may cost a repeat of what was at work."""
    live: LiveDaemon = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.files = self.base / "nas"
        self.root.mkdir(parents=True)
        self.live = LiveDaemon(self.base / "d", self.root, models=self.models)
        if self.bucket is not None:
            self.files = self.base / "mirrored"
            self.files.mkdir()
            self.live.root_name = "beside"
        self.use("")
        self.live.environment = {"PYTHONPATH": str(CHECKOUT)}

    def use(self, settings: str) -> None:
        root = self.bucket.settings(ROOT) if self.bucket else ""
        self.live.settings = QUICK + self._lake() + ("" if self.models else WITHOUT_MODELS) + settings + root

    def _lake(self) -> str:
        """The rest of ``[lake]``."""
        if self.server is None:
            return ""
        keys = f'access_key = "{self.server.access_key}"\nsecret_key = "{self.server.secret_key}"\n'
        return f'uri = "s3://lake/of-a-test"\nendpoint = "{self.server.endpoint}"\n{keys}'

    # --- its files -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        corpus.begin(self.files)
        self._mirror()

    def leave(self) -> None:
        corpus.leave(self.files)
        self._mirror()

    def change(self) -> None:
        corpus.change(self.files)
        self._mirror()

    def _mirror(self) -> None:
        if self.bucket is not None:
            self.bucket.mirror(self.files)

    def originals(self) -> corpus.Originals:
        """What must be the same before and after."""
        return corpus.originals(self.files) | (self.bucket.originals() if self.bucket else {})

    # --- its life ------------------------------------------------------------------------------------------

    @property
    def lake(self) -> Files:
        return files_of(config.load(self.live.config))

    @property
    def trail(self) -> Path:
        return self.base / "trail"

    @property
    def armed(self) -> Path:
        return self.base / "armed"

    def start(self, *fault: str, wait: bool = True) -> None:
        """With ``fault``, the launcher's arguments, or sound."""
        self.live.program = ("-m", "tests.crash.launch", "--trail", str(self.trail), *fault, "--")
        self.live.start(wait=False)
        if wait:
            wait_until(self.is_up, WAIT_S, f"the daemon answers; log:\n{self.live.log}")

    def is_up(self) -> bool:
        if self.exit_code() is not None:
            raise Red(f"the daemon ended with {self.exit_code()}: {self.last_words()}")
        with suppress(DaemonDown):
            self.ask("status")
            return True
        return False

    def ask(self, op: str, **args: object) -> dict[str, Any]:
        return control.ask(self.live.base / "run" / "control.sock", op, timeout_s=WAIT_S, **args)

    def drain(self) -> None:
        """As ``lakewatchd status --wait``."""
        self.ask("wait_idle")

    def stop(self) -> None:
        code = self.live.stop()
        if code:
            raise Red(f"a stop ended with {code}: {self.last_words()}")

    def kill(self) -> None:
        self.live.kill()
        self.deaths += 1

    def end(self) -> None:
        """Whatever is left of it, at once."""
        if self.live.process is not None and self.live.process.poll() is None:
            self.live.process.send_signal(signal.SIGCONT)
            self.live.process.kill()
            self.live.process.wait()

    def exit_code(self) -> int | None:
        assert self.live.process is not None
        return self.live.process.poll()

    def wait_dead(self) -> int:
        """Until it ended by itself; returns how."""
        self.wait_for(lambda: self.exit_code() is not None, "the daemon ended", lives=False)
        self.deaths += 1
        code = self.exit_code()
        assert code is not None
        return code

    def wait_for(self, condition: Callable[[], object], what: str, *, lives: bool = True) -> None:
        """``condition``, with a daemon that ``lives``. After a while a rescan is asked for: others on this machine may
        have used up the kernel's watches, and ours then finds changes only by looking."""
        nudge = threading.Timer(NUDGE_S, self._scan)
        nudge.daemon = True
        nudge.start()

        def holds() -> object:
            if lives and self.exit_code() is not None:
                raise Red(f"the daemon ended with {self.exit_code()} before {what}: {self.last_words()}")
            return condition()

        try:
            wait_until(holds, WAIT_S, f"{what}; struck {self.struck()} times; {self.last_words()}")
        finally:
            nudge.cancel()

    def _scan(self) -> None:
        with suppress(LakewatchError):  # it may end meanwhile
            self.ask("scan")

    def status_says(self, text: str) -> bool:
        """Whether a person is told so."""
        with suppress(DaemonDown):
            return text in str(self.ask("status"))
        return False

    def struck(self) -> int:
        return sum(count for line, count in self.lines().items() if line.startswith("struck "))

    def lines(self) -> Counter[str]:
        return Counter(self.trail.read_text().splitlines()) if self.trail.exists() else Counter()

    def last_words(self) -> str:
        return " | ".join(self.live.log.splitlines()[-6:])


@dataclass(slots=True)
class View:
    """``lakewatchd mount`` beside a subject."""

    subject: Subject
    process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> Path:
        return self.subject.live.base / "mnt"

    def start(self, *fault: str, wait: bool = True) -> None:
        self.place.mkdir(exist_ok=True) if not os.path.lexists(self.place) else None
        argv = [sys.executable, "-m", "tests.crash.launch", "--trail", str(self.subject.trail), *fault, "--"]
        with (self.subject.base / "view.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*argv, "--config", str(self.subject.live.config), "mount"],
                stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            )  # fmt: skip
        if wait:
            wait_until(self.place.is_mount, WAIT_S, "the view is mounted")

    def files(self) -> dict[str, bytes]:
        """What by-root shows, read through the kernel; nothing while the view is dead."""
        shown = self.place / "by-root" / ROOT
        try:
            return {str(path.relative_to(shown)): path.read_bytes() for path in shown.rglob("*") if path.is_file()}
        except OSError:
            return {}

    def wait_shows(self, expected: dict[str, bytes]) -> None:
        wait_until(lambda: self.files() == expected, WAIT_S, "the view shows what lies on the disk")

    def wait_dead(self) -> int:
        assert self.process is not None
        return self.process.wait(WAIT_S)

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            self.process.kill()
            self.process.wait()
        subprocess.run(["umount", "-l", str(self.place)], capture_output=True, check=False)


def pause(seconds: float) -> None:
    """Time for the daemon to do what it must not, where there is nothing to wait for."""
    time.sleep(seconds)
