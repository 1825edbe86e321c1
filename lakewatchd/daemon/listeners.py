"""The sockets that HTTP comes in by: the daemon's, so that they stay open while the process behind them is replaced.

Invariant: whoever connects while nobody answers waits, and is not turned away.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from pathlib import Path

from lakewatchd.config import Config
from lakewatchd.control import open_socket
from lakewatchd.errors import ConfigError, LakewatchError
from lakewatchd.web import wire

RETRY_S = 5.0
"""How often it is looked whether a port that somebody else has is free by now."""


class Listeners:
    """``HOST:PORT`` for everybody, and a UNIX socket for who may use the control socket. The latter alone is enough."""

    def __init__(self) -> None:
        self.tcp: socket.socket | None = None
        self.local: socket.socket | None = None
        self.trouble: LakewatchError | None = None
        """Why there is no ``tcp``."""
        self._address = ""
        self._path = Path()
        self._inode = 0

    @property
    def url(self) -> str:
        """Without a slash at its end; empty without a port."""
        if self.tcp is None:
            return ""
        host, port = self.tcp.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def open_ones(self) -> list[socket.socket]:
        return [one for one in (self.tcp, self.local) if one is not None]

    async def open(self, config: Config) -> None:
        """What is not open yet. Raises ``LakewatchError`` where nothing can be had."""
        await self._open_local(config)
        try:
            await self.open_tcp(config.web.listen)
        except ConfigError as exc:
            if self.local is None:
                raise
            self.trouble = exc

    async def open_tcp(self, address: str) -> None:
        """Raises ``ConfigError``."""
        if self.tcp is None or self._address != address:
            self._close_tcp()
            self.tcp = await asyncio.to_thread(listen, address)
            self._address = address
        self.trouble = None

    async def wait_for_tcp(self, address: str) -> None:
        """Until there is one."""
        while self.tcp is None:
            await asyncio.sleep(RETRY_S)
            with contextlib.suppress(ConfigError):
                await self.open_tcp(address)

    def close(self) -> None:
        self._close_tcp()
        self._close_local()

    async def _open_local(self, config: Config) -> None:
        if not config.web.enabled or self._path != config.web_socket:
            self._close_local()
        if config.web.enabled and self.local is None:
            path = config.web_socket
            self.local = await asyncio.to_thread(open_socket, path, config.daemon.group)
            self._path, self._inode = path, path.stat().st_ino

    def _close_tcp(self) -> None:
        if self.tcp is not None:
            self.tcp.close()
            self.tcp = None

    def _close_local(self) -> None:
        if self.local is None:
            return
        self.local.close()
        self.local = None
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()


def listen(address: str) -> socket.socket:
    """A socket that listens at ``HOST:PORT``. May block for as long as the resolver does. Raises ``ConfigError``."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=wire.BACKLOG)
    except (OSError, OverflowError) as exc:
        number = exc.errno if isinstance(exc, OSError) else None
        hint = _HINTS.get(number or 0, "web.listen is HOST:PORT, with an address that this machine has")
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ConfigError(f"web.listen: cannot listen on {address}: {reason}", hint.format(port=port)) from exc


_HINTS = {
    errno.EADDRINUSE: "see who does: ss -ltnp 'sport = :{port}'; or choose another port in web.listen",
    errno.EACCES: "a port below 1024 takes a right that the daemon has not; choose a higher one in web.listen",
}
