"""A mounted view over real files, in a process of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lakewatchd.config import BucketConfig
from lakewatchd.core.asset import path_text

VIEW = Path(__file__).with_name("view_of_a_log.py")


@dataclass
class Lake:
    """Originals below ``root``, what the lake says of them in ``log``, and the view at ``mount``."""

    folder: Path
    process: subprocess.Popen[str] | None = None
    ages: int = field(default=0)
    buckets: list[BucketConfig] = field(default_factory=list)
    """More roots."""
    timeout_s: float = 5.0
    """How long a bucket may be silent."""
    is_plain: bool = False
    """The view asks the kernel for nothing that is for root."""

    def __post_init__(self) -> None:
        for path in (self.root, self.mount):
            path.mkdir()
        self.log.touch()

    @property
    def root(self) -> Path:
        return self.folder / "photos"

    @property
    def mount(self) -> Path:
        return self.folder / "view"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def write(self, path: str, content: bytes) -> Path:
        original = self.root / path
        original.parent.mkdir(parents=True, exist_ok=True)
        original.write_bytes(content)
        return original

    def add(
        self,
        path: str,
        content: bytes,
        tags: Sequence[str] = ("sea",),
        category: str = "people",
        caption: str = "a dog",
        kind: str = "image",
    ) -> str:
        """Write an original and index it. Returns the asset id."""
        self.write(path, content)
        return self.index(path, content, tags, category, caption, kind=kind)

    def index(
        self, path: str, content: bytes, tags: Sequence[str] = (), category: str = "", caption: str = "", **said: object
    ) -> str:
        asset = hashlib.sha256(content).hexdigest()
        self.ages += 1
        kind = said.pop("kind", "image")
        place = {
            "root": "photos", "path": path_text(path), "asset": asset, "presence": "present", "size": len(content),
            "mtime_ns": 1_700_000_000_123_456_789, "first_seen": self.ages,
        }  # fmt: skip
        fact = {"asset": asset, "tags": list(tags), "category": category, "caption": caption, "kind": kind}
        self.append(place | said, fact)
        return asset

    def answers(self, answers: dict[str, dict[str, object]]) -> None:
        """What a server will say to whoever asks: see ``view_of_a_log.Script``."""
        new = self.folder / "answers.new"
        new.write_text(json.dumps(answers))
        new.replace(self.folder / "answers")

    @property
    def asked(self) -> list[str]:
        """What that server was asked, in order."""
        note = self.folder / "answers.asked"
        return [json.loads(line) for line in note.read_text().splitlines()] if note.exists() else []

    def append(self, *lines: dict[str, object]) -> None:
        with self.log.open("a") as log:
            log.write("".join(json.dumps(line) + "\n" for line in lines))

    def start(self) -> str:
        """Start the view and return what it says first: ``mounted``, or why not."""
        buckets = [json.dumps(dataclasses.asdict(settings)) for settings in self.buckets]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", VIEW, self.log, self.mount, self.root, *buckets],
            stdout=subprocess.PIPE, text=True,
            env=os.environ | {"TIMEOUT_S": str(self.timeout_s)} | ({"PLAIN": "1"} if self.is_plain else {}),
        )  # fmt: skip
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, how: int = signal.SIGTERM) -> int:
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.process.stdout.close()
        self.process = None
        return code


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing: nothing can be mounted here")
    made = Lake(tmp_path)
    yield made
    if made.process is not None:
        made.end(signal.SIGKILL)
    subprocess.run(["umount", "-l", made.mount], capture_output=True, check=False)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
        """How soon the view follows is for ``bench/view.py`` to say."""
        until = time.monotonic() + within_s
        while not is_so():
            assert time.monotonic() < until, f"not within {within_s:g} s"
            time.sleep(0.01)

    return wait
