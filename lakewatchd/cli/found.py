"""What was found, as a person reads it: the place, the moment or the page, the line with the words in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lakewatchd.cli.output import console, safe, say
from lakewatchd.core.found import MARK_CLOSES, MARK_OPENS
from lakewatchd.telemetry import one_line

if TYPE_CHECKING:
    from rich.text import Text

    from lakewatchd.config import Config
    from lakewatchd.core.found import Found, Hit, Piece

_KEPT_TAGS = 6


def show(found: Found, settings: Config, *, explain: bool, first: int = 1) -> None:
    """Hits to stdout; what was understood, and advice, to stderr."""
    from lakewatchd.cli import backend

    if found.understood:
        say(f"read as {understood_text(found)}; in quotes it is only words")
    out = console()
    width = len(str(first + len(found.hits)))
    for rank, hit in enumerate(found.hits, first):
        place = backend.place_text(settings, hit.root, hit.path)
        out.print(_head(f"{rank:>{width}}", place, hit))
        for line in _lines(hit, explain=explain):
            line.pad_left(width + 2)
            out.print(line)
    for advice in found.advice:
        say(advice)
    for door in found.is_partial:
        say(f"no answer from: {door}")
    if found.hits and not explain:
        return
    count = f"{found.total:,} in all; " if found.total is not None else ""
    say(f"{count}{len(found.hits)} shown, {found.took_s * 1000:.0f} ms" if found.hits else "nothing found")


def understood_text(found: Found) -> str:
    """``since 2026-06-01, until 2026-09-01 (last summer)``."""
    by_words: dict[str, list[str]] = {}
    for field, value, words in found.understood:
        by_words.setdefault(words, []).append(f"{field.replace('_', ' ')} {value}")
    return "; ".join(f"{', '.join(read)} ({words})" for words, read in by_words.items())


def at_text(piece: Piece | None) -> str:
    """``@ 12:31``, ``p. 4``, or nothing."""
    if piece is None:
        return ""
    if piece.start_s is not None:
        minutes, seconds = divmod(int(piece.start_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"@ {hours}:{minutes:02}:{seconds:02}" if hours else f"@ {minutes}:{seconds:02}"
    return f"p. {piece.page}" if piece.page is not None else ""


def _head(rank: str, place: str, hit: Hit) -> Text:
    from rich.text import Text

    directory, slash, name = place.rpartition("/")
    head = Text.assemble((f"{rank}  ", "dim"), (one_line(directory + slash), "dim"), (one_line(name), "bold"))
    if at := at_text(hit.piece):
        head.append(f" {at}", "cyan")
    when = f"{hit.dated_at:%Y-%m-%d}" if hit.dated_at else ""
    head.append("  " + ", ".join(part for part in (hit.kind.value, when) if part), "dim")
    return head


def _lines(hit: Hit, *, explain: bool) -> Iterator[Text]:
    if hit.piece and hit.piece.snippet:
        yield _marked(hit.piece.snippet)
    elif hit.caption:
        yield safe(hit.caption)
    if hit.tags:
        yield safe(", ".join(hit.tags[:_KEPT_TAGS]), "green")
    if explain:
        why = (f"{reason.door} #{reason.rank} ({reason.score:.2f})" for reason in hit.reasons)
        yield safe(", ".join(why) or "filters", "yellow")
        if hit.piece and hit.piece.box:
            yield safe("box " + ", ".join(f"{share:.2f}" for share in hit.piece.box), "yellow")


def _marked(snippet: str) -> Text:
    """With what matched in bold."""
    from rich.text import Text

    text = Text()
    for part in snippet.split(MARK_OPENS):
        marked, closes, rest = part.partition(MARK_CLOSES)
        if closes:
            text.append(one_line(marked), "bold yellow")
            text.append(one_line(rest))
        else:
            text.append(one_line(part))
    return text
