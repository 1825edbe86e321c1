"""What the daemon lets the outside see: log lines, notices to systemd, event loop lag.

Nothing here decides anything. The invariant: text from outside (file names, messages of decoders) cannot forge a
log line or a notice; whatever is not printable is escaped by :func:`one_line` before it leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

FIELDS = ("root", "path", "asset", "job", "stage", "attempt")
"""What a record may carry in ``extra``; shown after the message, and as journal fields."""

_SYSLOG_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

# Control characters, line separators, lone surrogates, and the marks that reorder text on a terminal.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """``text`` as one printable line; what is unsafe becomes ``\\xHH`` or ``\\uHHHH``."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(char: re.Match[str]) -> str:
    code = ord(char[0])
    is_byte = 0xDC80 <= code <= 0xDCFF  # of a file name that is no text
    return f"\\x{code & 0xFF:02x}" if code < 0x80 or is_byte else f"\\u{code:04x}"


# --- logging -----------------------------------------------------------------------------------------------


def set_up_logging(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Send every record to the journal when the journal is our stderr, else to ``stream`` (stderr)."""
    stream = stream or sys.stderr
    handler: logging.Handler
    if not _is_journal(stream):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    else:
        handler = _journal_handler(stream)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of each request
    logging.captureWarnings(True)


class LineFormatter(logging.Formatter):
    """A record as one line: message, then ``field=value``. A traceback follows, each line behind a ``|``."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.getMessage()) + fields_text(record)
        record.asctime = self.formatTime(record)
        text = self.formatMessage(record)
        if record.exc_info and record.exc_info[0] is not None:
            lines = self.formatException(record.exc_info).split("\n")
            text += "".join(f"\n    | {one_line(line)}" for line in lines)
        return text


class JournalLineFormatter(LineFormatter):
    """The same with the priority in front, as journald reads it from a unit's stderr."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_priority(record)}>"
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


def fields_text(record: logging.LogRecord) -> str:
    """`` root=photos path=a.jpg``: the fields the record carries, in their fixed order, or nothing."""
    present = ((name, getattr(record, name, None)) for name in FIELDS)
    return "".join(f" {name}={one_line(str(value))}" for name, value in present if value is not None)


def _priority(record: logging.LogRecord) -> int:
    return _SYSLOG_PRIORITY.get(record.levelno, 5)


def _is_journal(stream: TextIO) -> bool:
    """systemd names the device and inode of the stream it gave us; a redirected stderr is another one."""
    with contextlib.suppress(OSError, ValueError):  # closed, or no real file
        stat = os.fstat(stream.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"
    return False


def _journal_handler(stream: TextIO) -> logging.Handler:
    try:
        from systemd import journal
    except ImportError:  # the optional extra [systemd]; without it the fields are only in the text
        handler: logging.Handler = logging.StreamHandler(stream)
        handler.setFormatter(JournalLineFormatter("%(message)s"))
        return handler

    class JournalHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = {name.upper(): getattr(record, name, None) for name in FIELDS}
            shown = {name: one_line(str(value)) for name, value in fields.items() if value is not None}
            journal.send(self.format(record), PRIORITY=_priority(record), LOGGER=record.name, **shown)

    handler = JournalHandler()
    handler.setFormatter(LineFormatter("%(message)s"))
    return handler


# --- systemd -----------------------------------------------------------------------------------------------


def notify(state: str) -> bool:
    """Tell the service manager, such as ``READY=1`` or ``STATUS=…`` (see sd_notify(3)); lines are separate notices.

    False when nobody asked to be told, or nobody hears: a notice is never worth failing for.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(1.0)
            sender.connect(address)
            sender.sendall(state.encode(errors="backslashreplace"))
    except OSError:
        return False
    return True


def notify_status(text: str) -> bool:
    """What ``systemctl status`` shows in its Status line."""
    return notify(f"STATUS={one_line(text)}")


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often to send ``WATCHDOG=1``: half of what systemd waits. None when it does not watch this process."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 2e6


# --- event loop lag ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class LoopLag:
    """How late the event loop runs what is due, over the last minute.

    Wakes every ``interval_s`` and compares the clock with what it should say. A call that blocks the loop for
    longer than the interval always delays a wake, so it shows as its length less at most one interval.
    """

    interval_s: float = 0.02
    window_s: float = 60.0
    _lags_s: deque[float] = field(default_factory=deque)

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self.interval_s
            await asyncio.sleep(self.interval_s)
            self.record(clock() - due)

    def record(self, lag_s: float) -> None:
        self._lags_s.append(max(0.0, lag_s))
        while len(self._lags_s) > self.window_s / self.interval_s:
            self._lags_s.popleft()

    def forget(self) -> None:
        """From now on."""
        self._lags_s.clear()

    @property
    def max_ms(self) -> float:
        return max(self._lags_s, default=0.0) * 1000

    @property
    def p99_ms(self) -> float:
        if not self._lags_s:
            return 0.0
        ordered = sorted(self._lags_s)
        return ordered[int(0.99 * (len(ordered) - 1))] * 1000
