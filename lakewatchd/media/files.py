"""Opening originals: read-only, regular files only, and without following anything.

Below its root no directory on the way may be a symbolic link either, so nobody who can write to the root can
make us read outside it: what ``openat2`` does with RESOLVE_BENEATH, on every kernel. A FIFO or a device is never
opened, because opening alone can block or have effects.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from lakewatchd import errors

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = {errno.ENOENT, errno.ENOTDIR}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG, errno.EUCLEAN, errno.EBADMSG}


class OutOfReach(Exception):
    """Readable by its permissions, but not by this process: it confined itself before the directory was there."""


@contextlib.contextmanager
def open_regular(root: bytes, path: bytes) -> Iterator[int]:
    """A descriptor of the regular file at ``path`` below ``root``.

    Raises ``FileNotFoundError`` if nothing lies there, :class:`errors.UnsupportedMedia` if something else than
    a file does, :class:`OutOfReach`, and what :func:`translate` says of other failures, of the body's too.
    """
    with translated(), contextlib.ExitStack() as held:
        folder, name = _descend(root, path, held)
        _require_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
        fd = _open(name, folder)
        held.callback(os.close, fd)
        _require_regular(os.fstat(fd))
        yield fd


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Operating system errors as lakewatchd errors; ``FileNotFoundError`` stays what it is."""
    try:
        yield
    except OSError as exc:
        if exc.errno is None:
            raise
        raise translate(exc) from exc


def translate(error: OSError) -> Exception:
    """Gone, refused for good (:class:`errors.NotReadable`), or perhaps better later (:class:`errors.Busy`)."""
    words = f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})"
    if error.errno in _GONE:
        return FileNotFoundError(error.errno, error.strerror)
    if error.errno == errno.ELOOP:
        return errors.UnsupportedMedia("symbolic links are not followed")
    if error.errno in _REFUSED:
        return errors.NotReadable(words, hint="check permissions and the disk's log, then: lakewatchd queue retry")
    return errors.Busy(words)


def _descend(root: bytes, path: bytes, held: contextlib.ExitStack) -> tuple[int, bytes]:
    """The directory that holds ``path``, reached step by step, and the last name."""
    *steps, name = path.split(b"/")
    if any(part in (b"", b".", b"..") for part in (*steps, name)):
        raise FileNotFoundError(errno.ENOENT, "not a path below a root")
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for step in steps:
        try:
            below = os.open(step, _STEP, dir_fd=folder)
        finally:
            os.close(folder)
        folder = below
    held.callback(os.close, folder)
    return folder, name


def _open(name: bytes, folder: int) -> int:
    with contextlib.suppress(PermissionError):  # only the owner may leave the access time alone
        return os.open(name, _FLAGS | os.O_NOATIME, dir_fd=folder)
    try:
        return os.open(name, _FLAGS, dir_fd=folder)
    except PermissionError as exc:
        if os.access(name, os.R_OK, dir_fd=folder):  # asks for permissions only, Landlock has no say in it
            raise OutOfReach from exc
        raise


_MOST_EXTENTS = 100_000


def hole_bytes(fd: int, size_bytes: int) -> int:
    """How much of the file was never written, where its file system can tell. Moves the position of ``fd``."""
    at = data = 0
    for _ in range(_MOST_EXTENTS):
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # nothing but a hole is left
                break
            return 0
        data += at - start
    else:
        size_bytes = at  # what was not looked at counts as written
    return max(0, size_bytes - data)


_NAMES = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def _require_regular(found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise errors.UnsupportedMedia(f"not a file but {_NAMES.get(kind, 'something unknown')}")
