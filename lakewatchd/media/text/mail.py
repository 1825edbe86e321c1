"""E-mail: one message, or a mailbox of them. Headers, the words, and the names of what is attached.

Attachments are not opened. The standard library parses, with the policy that leaves headers alone: the newer one reads
them too closely for what strangers send.
"""

from __future__ import annotations

import datetime as dt
import email
import email.header
import email.policy
import email.utils
import re
from collections.abc import Iterator
from email.message import Message
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media import exif, files
from lakewatchd.media.text import markup, plain, writing
from lakewatchd.media.text.writing import Pen, Writing

MOST_PARTS = 200
MOST_MAILS = 20_000
_HEADER_CHARS = 2000
MOST_BYTES = 32 << 20
"""Of one message: what is attached behind that is not heard of."""
_MOST_BORDERS = 20_000
"""Lines that may be borders between parts: the parser takes its time for each."""
_MAILBOX_READ = 8
"""Times ``max_text_bytes`` of a mailbox are looked at: most of one is attachments."""


def read(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """One message; a saved web page (MHTML) has the same form."""
    data, is_cut = plain.head(stream, MOST_BYTES)
    first, _, rest = data[:40].partition(b"\n")
    if first.strip().isdigit() and rest:  # Apple Mail writes the length first, and a list of its own behind
        start = data.index(b"\n") + 1
        data = data[start : start + int(first)]
    pen = Pen(config.max_text_bytes)
    message = _parsed(data)
    attached = _write(message, pen)
    return Writing(
        text=pen.text(),
        title=writing.name(_header(message, "Subject")),
        author=writing.name(_sender(message)),
        created=_date(message),
        facts=writing.facts(
            {
                "from": _header(message, "From"),
                "to": _header(message, "To"),
                "cc": _header(message, "Cc"),
                "list": _header(message, "List-Id"),
                "attachments": ", ".join(attached),
            }
        ),
        problems=(*pen.problems(), *(["cut short: it is longer than what is read of a mail"] if is_cut else [])),
    )


def read_mailbox(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Each message counts as a page."""
    pen, count = Pen(config.max_text_bytes), 0
    subjects: list[str] = []
    at_most = _MAILBOX_READ * config.max_text_bytes
    for data in _messages(stream, at_most):
        if pen.is_full or count >= MOST_MAILS:
            break
        count += 1
        pen.begin_page()
        message = _parsed(data)
        subject = _header(message, "Subject")
        pen.write(f"{subject}\n{_header(message, 'From')}, {_header(message, 'Date')}\n")
        _write(message, pen)
        if len(subjects) < 3 and subject:
            subjects.append(subject)
    return Writing(
        text=pen.text(),
        starts=tuple(pen.starts),
        pages=count,
        facts=writing.facts({"mails": count, "first": "; ".join(subjects)}),
        problems=pen.problems(),
    )


_FROM_LINE = re.compile(rb"(?m)^From .{0,200}\d{4}.{0,40}$")


def _messages(stream: BinaryIO, at_most: int) -> Iterator[bytes]:
    """The messages in the first ``at_most`` bytes, without the line that parts them."""
    lines: list[bytes] = []
    size = held = 0
    with files.translated():
        while size < at_most and (line := stream.readline(64 << 10)):
            size += len(line)
            if line.startswith(b"From ") and _FROM_LINE.match(line) and (not lines or lines[-1].strip() == b""):
                if lines:
                    yield b"".join(lines)
                lines, held = [], 0
            elif held < MOST_BYTES:
                lines.append(line)
                held += len(line)
    if lines:
        yield b"".join(lines)


def _parsed(data: bytes) -> Message:
    if data.count(b"\n--") > _MOST_BORDERS:
        raise errors.DamagedMedia("it has more parts than a letter has")
    try:
        return email.message_from_bytes(data, policy=email.policy.compat32)
    except RecursionError as exc:
        raise errors.DamagedMedia("its parts lie in each other too deep to be a letter") from exc


def _write(message: Message, pen: Pen) -> list[str]:
    """The words of ``message`` and of those forwarded in it; answers with the names of what is attached."""
    attached: list[str] = []
    alternatives: dict[int, bool] = {}
    waiting: list[tuple[Message, Message | None]] = [(message, None)]
    for _ in range(MOST_PARTS):
        if not waiting:
            break
        part, parent = waiting.pop()
        children = part.get_payload()
        if isinstance(children, list):
            waiting.extend((child, part) for child in reversed(children) if isinstance(child, Message))
            continue
        name = part.get_filename()
        if name:
            attached.append(exif.clean(_decoded(name)))
            continue
        text = _words(part)
        if not text:
            continue
        if parent is not None and parent.get_content_type() == "multipart/alternative":
            if alternatives.get(id(parent)):  # the same words in another dress
                continue
            alternatives[id(parent)] = True
        pen.end_paragraph()
        pen.write(text)
    return attached


def _words(part: Message) -> str:
    kind = part.get_content_type()
    if kind not in ("text/plain", "text/html", "application/xhtml+xml"):
        return ""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    codec = plain.codec_named(str(part.get_param("charset") or ""))
    if kind == "text/plain":
        return plain.read_text(data, codec=codec)[0].strip()
    text = plain.read_text(data, codec=codec)[0] if codec else markup.decoded(data)[0]
    return markup.strip_html(text).text


def _header(message: Message, name: str) -> str:
    return _decoded(message.get(name, ""))


def _decoded(value: object) -> str:
    """Words in a header, whatever is wrong with how they are written."""
    text = str(value)[:_HEADER_CHARS]
    try:
        return exif.clean(str(email.header.make_header(email.header.decode_header(text))), 500)
    except (ValueError, LookupError, AttributeError):
        return exif.clean(text, 500)


def _sender(message: Message) -> str:
    sender = _header(message, "From")
    try:
        name, address = email.utils.parseaddr(sender)
    except RecursionError:  # comments lie in each other
        return sender
    return name or address


def _date(message: Message) -> dt.datetime | None:
    """As the clock of the sender showed it."""
    try:
        return writing.wall_clock(email.utils.parsedate_to_datetime(str(message.get("Date", ""))[:100]))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
