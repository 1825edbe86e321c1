"""The helper near root as systemd runs it: one process for each connection, which is its standard input."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(config: Path, place: Path, uid: int = 0) -> Iterator[Path]:
    """Yields the socket. ``uid`` is whom the helper runs as, with CAP_SYS_ADMIN alone."""
    path = place / "events.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(os.fspath(path))
    path.chmod(0o666)
    listener.listen()
    thread = threading.Thread(target=_accept, args=(listener, config, uid), daemon=True)
    thread.start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        listener.close()


def _accept(listener: socket.socket, config: Path, uid: int) -> None:
    rights = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
    rights += ["--bounding-set=-all,+sys_admin", "--inh-caps=-all,+sys_admin", "--ambient-caps=-all,+sys_admin"]
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            command = [*rights, sys.executable, "-m", "lakewatchd.fanotify_helper", "--config", os.fspath(config)]
            subprocess.run(command, stdin=connection, check=False, timeout=300)
