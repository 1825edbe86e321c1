"""What Lance raises, as errors of ours. Lance has no error classes to tell apart: the message must do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from lakewatchd.errors import Busy, FatalError, LakeDamaged, LakewatchError, OutOfSpace

_FULL = (f"os error {errno.ENOSPC}", f"os error {errno.EDQUOT}", "No space left", "Disk quota exceeded")
_DENIED = (*(f"os error {number}" for number in (errno.EACCES, errno.EPERM, errno.EROFS)), "Permission denied")
_CONFLICT = ("commit conflict", "Commit conflict", "CommitConflict", "conflicted", "concurrent transaction")


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises ``OutOfSpace``, ``Busy`` for a commit that met another, ``FatalError`` where we may not write, and else
    ``LakeDamaged``."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError) as exc:
        raise _error(doing, exc) from exc
    except BaseException as exc:
        if not is_panic(exc):
            raise
        raise _error(doing, exc) from exc


def is_panic(exc: BaseException) -> bool:
    """Lance gave up over a file that it did not expect to be so. Python has no name for the class."""
    return type(exc).__module__ == "pyo3_runtime"


def _error(doing: str, exc: BaseException) -> LakewatchError:
    says = " ".join(str(exc).split())[:500]
    if getattr(exc, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(sign in says for sign in _FULL):
        return OutOfSpace(f"no space left while {doing}", "free space on the file system of the lake")
    if any(sign in says for sign in _CONFLICT):
        return Busy(f"another commit came first while {doing}")
    if getattr(exc, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS) or any(sign in says for sign in _DENIED):
        return FatalError(f"not allowed: {doing}: {says}", "run it as the user that owns the lake (and the service)")
    return LakeDamaged(f"{doing} failed: {says}")
