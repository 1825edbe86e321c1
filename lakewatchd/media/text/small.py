"""Small formats of text that say more than plain text does: subtitles, notebooks, calendars and address cards."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.media.text import plain, writing
from lakewatchd.media.text.writing import Pen, Writing

# --- subtitles ---------------------------------------------------------------------------------------------

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2}(?:[.,]\d{1,3})?)"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_DIALOGUE = re.compile(rf"Dialogue:[^,\n]*,\s*{_TIME},\s*{_TIME},(?:[^,\n]*,){{6}}(.*)")
_MARKS = re.compile(r"<[^<>\n]{0,200}>|\{\\[^{}\n]{0,200}\}")


def read_subtitles(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """SubRip, WebVTT and SubStation: what is said and when, without numbers and styles."""
    text, problems = plain.characters(stream, config.max_text_bytes)
    pen = Pen(config.max_text_bytes)
    times = []
    for start_s, end_s, words in _cues(text):
        line = html.unescape(_MARKS.sub("", words)).replace("\\N", "\n").strip()
        if line and not pen.is_full:
            times.append((pen.size, start_s, end_s))
            pen.write(line)
            pen.end_line()
    return Writing(text=pen.text(), times=tuple(times), problems=(*problems, *pen.problems()))


def _cues(text: str) -> Iterator[tuple[float, float, str]]:
    """Each line of a cue: of those between a line of times and the next empty one, or of a dialogue."""
    times: tuple[float, float] | None = None
    for line in text.split("\n"):
        if match := _CUE.match(line):
            times = _seconds(*match.groups()[:3]), _seconds(*match.groups()[3:])
        elif match := _DIALOGUE.match(line):
            yield _seconds(*match.groups()[:3]), _seconds(*match.groups()[3:6]), match[7]
        elif not line.strip():
            times = None
        elif times is not None:
            yield *times, line


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))


# --- notebooks ---------------------------------------------------------------------------------------------


def read_notebook(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """Jupyter: prose and code of each cell, and what it printed; not its pictures."""
    data, is_cut = plain.head(stream, 4 * config.max_text_bytes)
    if is_cut:
        raise errors.TooLarge(f"a notebook of more than {len(data)} bytes")
    try:
        book = json.loads(data)
        cells = book["cells"]
        kernel = book.get("metadata", {}).get("kernelspec", {}).get("display_name", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise errors.DamagedMedia("not a notebook after all") from exc
    pen, title = Pen(config.max_text_bytes), ""
    for cell in cells if isinstance(cells, list) else []:
        if not isinstance(cell, dict) or pen.is_full:
            continue
        source = _joined(cell.get("source"))
        if not title and cell.get("cell_type") == "markdown":
            title = plain.find_title(source)
        outputs = cell.get("outputs")
        printed = [_joined(each.get("text")) for each in outputs or [] if isinstance(each, dict)]
        for text in (source, *printed):
            pen.write(text)
            pen.end_paragraph()
    return Writing(text=pen.text(), title=title, facts=writing.facts({"kernel": kernel}), problems=pen.problems())


def _joined(lines: object) -> str:
    if isinstance(lines, list):
        return "".join(line for line in lines if isinstance(line, str))
    return lines if isinstance(lines, str) else ""


# --- calendars and address cards ---------------------------------------------------------------------------

_LINE = re.compile(r"^(?:[\w-]+\.)?([A-Za-z-]{1,40})((?:;[^:\n]{0,300})?):(.*)$")
_CALENDAR = frozenset(("SUMMARY", "DESCRIPTION", "LOCATION", "DTSTART", "DTEND", "DUE", "ORGANIZER", "ATTENDEE",
                       "CATEGORIES", "COMMENT", "X-WR-CALNAME"))  # fmt: skip
_CARD = frozenset(("FN", "NICKNAME", "ORG", "TITLE", "ROLE", "EMAIL", "TEL", "ADR", "BDAY", "NOTE", "URL",
                   "CATEGORIES"))  # fmt: skip
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")


def read_calendar(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """iCalendar: each entry as a paragraph of its words."""
    text, problems = plain.characters(stream, config.max_text_bytes)
    entries, count = _entries(text, _CALENDAR, ("VEVENT", "VTODO", "VJOURNAL"))
    first = next((value for entry in entries for key, value in entry if key in ("X-WR-CALNAME", "SUMMARY")), "")
    began = next((value for entry in entries for key, value in entry if key == "DTSTART"), "") if count == 1 else ""
    return Writing(
        text=_paragraphs(entries),
        title=writing.name(first),
        created=writing.moment(began),
        facts=writing.facts({"entries": count}),
        problems=problems,
    )


def read_cards(stream: BinaryIO, config: DecodeConfig) -> Writing:
    """vCard: each person as a paragraph."""
    text, problems = plain.characters(stream, config.max_text_bytes)
    entries, count = _entries(text, _CARD, ("VCARD",))
    first = next((value for entry in entries for key, value in entry if key == "FN"), "")
    return Writing(
        text=_paragraphs(entries),
        is_prose=False,
        title=writing.name(first if count == 1 else f"{first} and {count - 1} more" if count else ""),
        facts=writing.facts({"entries": count}),
        problems=problems,
    )


def _entries(text: str, wanted: frozenset[str], kinds: tuple[str, ...]) -> tuple[list[list[tuple[str, str]]], int]:
    """What is wanted of each component, the calendar's own words first; and how many components there are."""
    entries: list[list[tuple[str, str]]] = [[]]
    count = 0
    for line in re.sub(r"\n[ \t]", "", text).split("\n"):
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match[1].upper(), match[3].strip()
        if key == "BEGIN" and value.upper() in kinds:
            entries.append([])
            count += 1
        elif key in wanted and value:
            entries[-1].append((key, _value(key, value)))
    return entries, count


def _value(key: str, value: str) -> str:
    date = _DATE.match(value) if key in ("DTSTART", "DTEND", "DUE", "BDAY") else None
    if date:
        day = f"{date[1]}-{date[2]}-{date[3]}"
        return f"{day} {date[4]}:{date[5]}:{date[6]}{'+00:00' if date[7] else ''}" if date[4] else day
    value = re.sub(r"^(?:mailto|tel):", "", value, flags=re.IGNORECASE)
    return " ".join(part for part in re.sub(r"\\([,;\\])", r"\1", re.sub(r"\\[nN]", "\n", value)).split(";") if part)


def _paragraphs(entries: list[list[tuple[str, str]]]) -> str:
    return "\n\n".join("\n".join(value for _, value in entry) for entry in entries if entry)
