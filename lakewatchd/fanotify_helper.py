"""The helper near root: hands the daemon a queue of the kernel's events, and ends.

It holds CAP_SYS_ADMIN, and the daemon nothing: so it is short, reads no data of the daemon's but one small message, and
lives for one request. systemd starts it with a connection as its standard input (``lakewatchd-events.socket``); it runs
as the daemon's user, so it can reach no directory that the daemon could not::

    request   root name, NUL, path below the root (or nothing)      + optionally the daemon's queue
    answer    "0"                                                   + the queue, if none was sent
              "ERRNO reason"

What it gives away: the names of entries that come and go on the file system of a configured root, also in directories
that the daemon may not read. Not their content, and no way to open them.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import stat
import struct
import tomllib
from pathlib import Path

from lakewatchd import fanotify

MAX_REQUEST = 8192
TIMEOUT_S = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="lakewatchd-events", description="one request on standard input, a socket")
    parser.add_argument("--config", type=Path, default=Path("/etc/lakewatchd/lakewatchd.toml"))
    serve(socket.socket(fileno=0), parser.parse_args().config)


def serve(connection: socket.socket, config: Path) -> None:
    connection.settimeout(TIMEOUT_S)
    request, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST, 1)
    try:
        require_friend(connection)
        name, _, below = request.partition(b"\0")
        group = mark(root_path(config, name.decode()), below, descriptors[0] if descriptors else None)
    except (OSError, ValueError) as exc:
        number = exc.errno if isinstance(exc, OSError) and exc.errno else errno.EINVAL
        text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        connection.send(f"{number} {text}"[:2000].encode("utf-8", "replace"))
    else:
        socket.send_fds(connection, [b"0"], [] if descriptors else [group])


def require_friend(connection: socket.socket) -> None:
    """Only root and the user that we run as, which is the daemon's."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid not in (0, os.getuid()):
        raise PermissionError(errno.EACCES, f"user {uid} may not ask")


def root_path(config: Path, name: str) -> Path:
    """Where the configuration, which only root may have written, puts the root of that name."""
    with config.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(errno.EACCES, f"{config} must belong to root and be writable by nobody else")
        roots = tomllib.load(file).get("root", [])
    for root in roots:
        if root.get("name") == name and Path(root["path"]).is_absolute():
            return Path(root["path"])
    raise PermissionError(errno.EACCES, f"{config} names no such root with an absolute path")


def mark(root: Path, below: bytes, group: int | None) -> int:
    """Mark the file system of a directory in ``root``, which is reached without following links from there on."""
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in below.split(b"/") if below else []:
        if part in (b"", b".", b".."):
            raise PermissionError(errno.EACCES, "the path leaves the root")
        directory = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    if group is None:
        group = fanotify.open_group()
    fanotify.mark_file_system(group, directory)
    return group


if __name__ == "__main__":
    main()
