"""What Lance raises, as errors of ours. Lance has no error classes to tell apart: the message must do."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

from lakewatchd.errors import BadQuery, Busy, FatalError, LakeAway, LakeDamaged, LakewatchError, OutOfSpace

_FULL = (f"os error {errno.ENOSPC}", f"os error {errno.EDQUOT}", "No space left", "Disk quota exceeded")
_DENIED = (*(f"os error {number}" for number in (errno.EACCES, errno.EPERM, errno.EROFS)), "Permission denied")
_S3 = re.compile(r'Generic S3 error|store: "S3"|HTTP error|Error performing [A-Z]+ http')
_STATUS = re.compile(r"status(?: code)?: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,100})</Code>")
_CONDITION = re.compile(r"Error during planning|filter expression|Error parsing statement|sql filter")
"""About a condition that somebody wrote: no sentence, or parts that do not fit each other."""
_WHY = re.compile(
    r"(?:Error during planning|Invalid user input|sql parser error|Parser error|Cast error): "
    r"(?!Error during planning)(.*?)(?:, /\S*\.rs:\d.*|\)?$)"
)
_CONFLICT = ("commit conflict", "Commit conflict", "CommitConflict", "conflicted", "concurrent transaction")


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises ``OutOfSpace``, ``Busy`` for a commit that met another, ``LakeAway`` for a bucket that does not answer or
    refuses, ``FatalError`` where we may not write, ``BadQuery`` for a condition without sense, else ``LakeDamaged``.
    """
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


def of_bucket(doing: str, status: int, code: str) -> LakewatchError:
    """What an S3 server answered that must not be; ``code`` is what it calls it. What else it says is not repeated: it
    may tell of keys."""
    if status == 507 or "StorageFull" in code or "QuotaExceeded" in code:
        return OutOfSpace(f"no space left while {doing}", "make room on the server, or raise the quota of the bucket")
    if code in ("NoSuchBucket", "AllAccessDisabled"):
        return LakeAway(f"{doing}: there is no such bucket", "make the bucket, or correct lake.uri")
    if status in (401, 403):
        hint = "check the keys of [lake], its policy (docs/howto/lake-in-a-bucket.md) and the clocks of both machines"
        return LakeAway(f"{doing}: the server refuses: {code}", hint)
    return LakeAway(f"{doing}: the server answers {code}")


def _error(doing: str, exc: BaseException) -> LakewatchError:
    if (found := fault_of_bucket(doing, exc)) is not None:
        return found
    says = _text(exc)[:500]
    if getattr(exc, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(sign in says for sign in _FULL):
        return OutOfSpace(f"no space left while {doing}", "free space on the file system of the lake")
    if any(sign in says for sign in _CONFLICT):
        return Busy(f"another commit came first while {doing}")
    if getattr(exc, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS) or any(sign in says for sign in _DENIED):
        return FatalError(f"not allowed: {doing}: {says}", "run it as the user that owns the lake (and the service)")
    if _CONDITION.search(told := _text(exc)):
        why = _WHY.search(told)
        hint = "compare a column with a value: size_bytes > 1000"
        return BadQuery(f"the condition makes no sense{f': {why[1][:200]}' if why else ''}", hint)
    return LakeDamaged(f"{doing} failed: {says}")


def fault_of_bucket(doing: str, exc: BaseException) -> LakewatchError | None:
    """What keeps us from a lake in a bucket, if that is it. None where the server answered well enough: that something
    is not there, or somebody else's."""
    says = _text(exc)
    if not _S3.search(says):
        return None
    status, code = _STATUS.search(says), _CODE.search(says)
    if status is None:
        return LakeAway(f"{doing}: the server of the lake does not answer")
    name = code[1] if code else status[1]
    if status[1] in ("404", "409", "412") and name != "NoSuchBucket":
        return None
    return of_bucket(doing, int(status[1]), name)


def _text(exc: BaseException) -> str:
    return " ".join(str(exc).split())
