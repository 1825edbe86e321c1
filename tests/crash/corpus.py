"""A handful of files of several kinds, and a life for them: duplicates, moves, edits, removals, bad ones."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from lakewatchd.testing import make_tree

Originals = dict[str, tuple[str, int, int]]
"""Relative path or key -> what is told of the content, and of the file."""

LONG_AGO_S = 1_500_000_000


def photo(seed: int) -> bytes:
    """A small picture like no other."""
    image = Image.new("RGB", (160, 120), (seed * 37 % 256, seed * 59 % 256, seed * 83 % 256))
    draw = ImageDraw.Draw(image)
    for i in range(6):
        x, y = (seed * 131 + i * 47) % 160, (seed * 71 + i * 29) % 120
        draw.ellipse((x, y, x + 30 + i, y + 20), fill=(i * 40, (seed + i * 70) % 256, 255 - i * 20))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def poem(seed: int, lines: int = 8) -> str:
    return "\n".join(f"Line {i} of poem {seed}: the river turns, the bell waits." for i in range(lines)) + "\n"


def _make(base: Path, files: Mapping[str, bytes | str]) -> None:
    """With times of long ago, always the same: they decide where a file is filed."""
    make_tree(base, files)
    for number, name in enumerate(sorted(files)):
        os.utime(base / name, (LONG_AGO_S, LONG_AGO_S + number * 86_400))


def begin(root: Path) -> None:
    """What lies there and is indexed before anything goes wrong."""
    _make(root, {
        "a/1.jpg": photo(1),
        "a/2.jpg": photo(2),
        "a/1 again.jpg": photo(1),
        "a/long.txt": poem(1, 60),
        "notes.md": "# Notes\n\nas they were\n",
        "odd \\ name\n%+ü.txt": poem(6),
        "broken.jpg": photo(3)[:900],
        "empty.txt": "",
        "leaving.txt": poem(2),
    })  # fmt: skip


def leave(root: Path) -> None:
    """Gone before the fault: something for a purge to forget."""
    (root / "leaving.txt").unlink()


def change(root: Path) -> None:
    """What happens while the fault is armed. Replaces by renaming, so that no file is ever seen half written."""
    aside = root.with_name(f"{root.name}.aside")
    _make(aside, {
        "new/3.jpg": photo(4),
        "new/3 again.jpg": photo(4),
        "new/poem.txt": poem(3),
        "late-broken.jpg": photo(5)[:900],
        "a/long.txt": poem(4, 3),
        "notes.md": "# Notes\n\nas they are now, and longer\n",
    })  # fmt: skip
    (root / "new").mkdir()
    for path in sorted(aside.rglob("*.*")):
        path.rename(root / path.relative_to(aside))
    shutil.rmtree(aside)
    (root / "a/2.jpg").unlink()
    (root / "b").mkdir()
    (root / "a/1 again.jpg").rename(root / "b/moved.jpg")


def originals(root: Path) -> Originals:
    """Relative path -> hash, mtime, mode: what must be the same before and after."""
    return {
        str(path.relative_to(root)): (
            hashlib.blake2b(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
            path.stat().st_mode,
        )
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
