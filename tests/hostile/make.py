"""``python -m tests.hostile.make DIR``: the corpus of hostile files, for any program that reads directories.

DIR must be absent or empty; a file beside it, ``outside.txt``, is what one of them is a hard link to.
``--remove DIR`` takes it away again, also what is immutable.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

from tests.hostile.cases import Case, cases, set_immutable


def make(base: Path) -> tuple[list[Case], list[tuple[Case, str]]]:
    """The cases that lie below ``base`` now, and those that could not be made here, with why."""
    base.mkdir(parents=True)
    made, skipped = [], []
    for case in cases():
        try:
            case.make(base)
            made.append(case)
        except OSError as exc:
            skipped.append((case, exc.strerror or str(exc)))
    return made, skipped


def remove(base: Path) -> None:
    for case in cases():
        path = base / case.name
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                set_immutable(path, False)
    shutil.rmtree(base)
    (base.parent / "outside.txt").unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--remove", place]:
            remove(Path(place))
        case [place] if not place.startswith("-"):
            made, skipped = make(Path(place).absolute())
            print(f"{len(made)} hostile files in {place}")
            for case, why in skipped:
                print(f"not made: {case.name!a}: {why}")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
