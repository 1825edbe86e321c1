"""``python -m tests.quality.photos [DIR]``: real HEIC photos of phones and cameras, through a real, confined decoder.

They come with the source package of pillow-heif, which is fetched and unpacked (17 MB), or lie below DIR. With the
photos come files that broke readers: damaged, lying, odd. Exit status 1 if a decoder died, or if a file got another
answer than a picture, or "damaged" where its name says so.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media.sandbox import Decoders

PACKAGE = "pillow-heif==1.8.1"
SUFFIXES = (".heic", ".heif", ".hif", ".avif")


def fetched(scratch: Path) -> Path:
    """The source package, unpacked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "--dest", str(scratch), PACKAGE], check=True)
    (archive,) = scratch.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        members.extractall(scratch, filter="data")
    return scratch


def photos(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES and path.stat().st_size)


async def measure(folder: Path) -> list[str]:
    """Print a line for each; return what is not as it should be."""
    wrong: list[str] = []
    decoders = Decoders(DecodeConfig(), 1)
    pids: list[int] = []
    try:
        for path in photos(folder):
            started = time.monotonic()
            told, is_damaged = await _told(decoders, folder, path)
            print(f"{path.name:36} {path.stat().st_size >> 10:6} KB {time.monotonic() - started:5.2f} s  {told}")
            if is_damaged != ("corrupted" in path.name):
                wrong.append(f"{path.name}: {told}")
            if pids and decoders.pids != pids:
                wrong.append(f"{path.name}: its decoder died")
            pids = decoders.pids
    finally:
        await decoders.close()
    return wrong


async def _told(decoders: Decoders, folder: Path, path: Path) -> tuple[str, bool]:
    root, place = str(folder), str(path.relative_to(folder))
    identity = await decoders.identify(place, root=root)
    assert identity is not None
    try:
        content = await decoders.describe(place, identity, path.name, root=root)
    except errors.AssetError as exc:
        return f"{exc.reason}: {exc.message}", True
    assert content is not None
    where = "" if content.latitude is None else f" at {content.latitude:.2f}, {content.longitude:.2f}"
    taken = content.captured_at or ""
    return f"{content.width} x {content.height} {content.camera} {taken}{where} {'; '.join(content.warnings)}", False


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="lakewatchd-photos-") as scratch:
        folder = Path(arguments[0]) if arguments else fetched(Path(scratch))
        wrong = asyncio.run(measure(folder))
    print("\n".join(wrong) or "all as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
