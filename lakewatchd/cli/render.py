"""Status, queue and explanations as a person reads them. Pure: values in, rich renderables out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lakewatchd.cli.output import safe, size_text
from lakewatchd.core.clock import Clock, SystemClock
from lakewatchd.core.status import (
    AuditListing,
    CacheView,
    Explanation,
    Gap,
    Layer,
    ModelView,
    ParkedGroup,
    QueueListing,
    RootView,
    Status,
    WatchBudget,
    WayState,
    duration_text,
)

_COLOUR = {"present": "green", "away": "red", "starting": "yellow", "ready": "green", "missing": "red"}
OLD_S = 60.0
"""A change that waits for longer is worth a line."""
_STATES = ("ready", "later", "leased", "parked")
_NAMES = {"leased": "running"}
"""Words for people, where ours are another."""


def status_view(status: Status, clock: Clock | None = None) -> RenderableType:
    """The whole of ``lakewatchd status``: the headline, then only the parts that have something to say."""
    now = (clock or SystemClock()).now()
    parts: list[RenderableType] = [_headline(status)]
    parts += _section("Roots", [_roots(status.roots, now)] if status.roots else [])
    parts += _watches(status.watches)
    parts += _section("Queue", [_queue(status)] if status.queue else [])
    parts += _section("Parked", list(_groups(status.parked)))
    parts += _section("Models", [models_view(status.models)] if status.models else [])
    parts += _section("Lake", [_lake(status)] if status.lake.tables else [])
    parts += _section("Cache", [_cache(status.cache)] if status.cache.path else [])
    parts += _section("Web", [Text(f"{status.web}/")] if status.web else [])
    parts += _section("Sandbox", _gaps(status.sandbox))
    parts += _section("Problems", [_problem(item.message, item.hint) for item in status.problems])
    return Group(*parts)


def queue_view(listing: QueueListing) -> RenderableType:
    """``lakewatchd queue list``: reasons with their counts, then the jobs one by one."""
    if not listing.total:
        return Text("nothing waits and nothing is parked")
    table = _grid("stage", "state", "priority", "tries", "what", "why", right=("tries",))
    for item in listing.items:
        why = f"{item.reason}: {item.message}" if item.reason else item.message
        state, tries = _NAMES.get(item.state, item.state), str(item.attempts or "·")
        table.add_row(safe(item.stage), _state(state), safe(item.priority), tries, safe(item.key), safe(why))
    groups = list(_groups(listing.groups))
    parts: list[RenderableType] = [*groups, *([Text()] if groups else []), table]
    if listing.total > len(listing.items):
        parts.append(Text(f"… and {listing.total - len(listing.items):,} more (--limit)", style="dim"))
    return Group(*parts)


def audit_view(listing: AuditListing) -> RenderableType:
    """``lakewatchd audit``: each root with its counts, then what is wrong, then one sentence."""
    parts: list[RenderableType] = []
    for root in listing.roots:
        sign, colour = ("!", "yellow") if root.gap_count or root.problem else ("✓", "green")
        line = safe(f"{sign} ", colour).append(safe(f"{root.root}: ", "bold")).append(safe(root.summary))
        parts.append(line.append(safe(f"  ({root.problem})")) if root.problem else line)
        parts += _gap_lines(root.gaps, root.gap_count)
    if listing.lake_gaps:
        parts.append(safe("! lake", "yellow"))
        parts += _gap_lines(listing.lake, listing.lake_gaps)
    verdict = f"{listing.gap_count:,} not accounted for" if listing.gap_count else "every file is accounted for"
    parts.append(safe(f"{verdict}; {listing.queued:,} jobs queued to look again" if listing.queued else verdict))
    return Group(*parts)


def _gap_lines(gaps: tuple[Gap, ...], count: int) -> Iterator[RenderableType]:
    yield from (safe(f"    {gap.path}: {gap.problem}") for gap in gaps)
    if count > len(gaps):
        yield Text(f"    … and {count - len(gaps):,} more (--limit)", style="dim")


def explanation_view(told: Explanation) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for fact in told.facts:
        table.add_row(safe(fact.label, "dim"), safe(fact.text))
    for number, place in enumerate(told.view):
        table.add_row(safe("" if number else "in the view", "dim"), safe(place))
    table.add_row(safe("next", "dim"), safe(told.next)) if told.next else None
    verdict = safe(told.verdict, "yellow" if told.state in ("gap", "parked", "held") else "bold")
    parts: list[RenderableType] = [safe(told.path, "bold"), verdict, Padding(table, (0, 2))]
    return Group(*parts, safe(f"fix: {told.hint}")) if told.hint else Group(*parts)


def _headline(status: Status) -> Text:
    text = Text()
    text.append("● " if status.pid else "○ ", style="green" if status.pid and not status.paused else "yellow")
    text.append(safe(status.headline, "bold"))
    if status.pid:
        lag = f", loop lag {status.loop_lag_ms:.0f} ms"
        text.append(
            f"\n  lakewatchd {status.version}, pid {status.pid}, up {duration_text(status.uptime_s)}{lag}", "dim"
        )
    return text


def _section(title: str, parts: Iterable[RenderableType]) -> Iterator[RenderableType]:
    body = list(parts)
    if body:
        yield Text(f"\n{title}", style="bold cyan")
        yield Padding(Group(*body), (0, 0, 0, 2), expand=False)


def _grid(*columns: str, right: Iterable[str] = ()) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def _state(state: str) -> Text:
    return safe(state, _COLOUR.get(state, ""))


def _roots(roots: tuple[RootView, ...], now: float) -> RenderableType:
    table = _grid("name", "state", "files", "ignored", "last scan", "now", right=("files", "ignored"))
    for root in roots:
        scanned = f"{duration_text(now - root.last_scan)} ago" if root.last_scan else "never"
        counts = (f"{root.files:,}", f"{root.ignored:,}")
        table.add_row(safe(root.name), _state(root.state), *counts, scanned, safe(_activity(root)))
    how = [line for root in roots for line in _how_lines(root, now)]
    return Group(table, *how, *(note for root in roots for note in _root_notes(root)))


def _how_lines(root: RootView, now: float) -> Iterator[RenderableType]:
    yield _with_why_not(safe(_how(root), "dim"), root.why_not)
    yield from (safe(f"  {_way(way, now)}", "dim") for way in root.ways)
    if root.missed is not None:
        yield safe(f"  changes that no event had told of, found by rescans: {root.missed:,}", "dim")


def _way(way: WayState, now: float) -> str:
    """``listen: connected to http://nas:9000 since 3 h, 1,204 events, the last 2 s ago and 0 s late; 3 bad``"""
    parts = [f"{way.name}: {'connected' if way.is_connected else 'not connected'}"]
    parts[0] += f" to {way.detail}" if way.detail else ""
    parts[0] += f" since {duration_text(now - way.since)}" if way.since is not None else ""
    if way.last_event_at is not None:
        late = f" and {duration_text(way.lag_s)} late" if way.lag_s is not None else ""
        parts += [f"{way.received:,} events", f"the last {duration_text(now - way.last_event_at)} ago{late}"]
    counts = {"× connected again": way.reconnects, "bad": way.bad, "unknown": way.unknown, "foreign": way.foreign,
              "doubled": way.duplicates, "out of order": way.reordered, "lost": way.dropped}  # fmt: skip
    odd = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return ", ".join(parts) + (f"; {odd}" if odd else "")


def _how(root: RootView) -> str:
    return f"{root.name}: {root.path}" + (f", {root.watching}" if root.watching else "")


def _with_why_not(line: Text, reasons: Iterable[str]) -> Text:
    for reason in reasons:
        line.append(safe(f"\n  not {reason}", "dim"))
    return line


def _root_notes(root: RootView) -> Iterator[RenderableType]:
    """Every reason why something of it is not indexed, and what to do."""
    if root.state == "away":
        kept = f"; its {root.files:,} files are kept as they were" if root.files else ""
        yield _problem(f"{root.name}: {root.reason}{kept}", root.hint)
    elif root.problem or root.reason:
        yield _problem(f"{root.name}: {root.problem or root.reason}", root.hint)
    if root.audit is not None and root.audit.gap_count:
        lost = f"{root.audit.gap_count:,} not accounted for, queued for another look"
        yield _problem(f"{root.name}: {lost}", f"lakewatchd audit {root.name}")


def _activity(root: RootView) -> str:
    if root.scanning:
        return f"scanning: {root.scanning}"
    return f"{root.settling:,} settling" if root.settling else "·"


def _watches(watches: WatchBudget) -> Iterator[RenderableType]:
    """Only where the limit matters."""
    if watches.fix:
        told = f"watches: {watches.needed:,} needed, {watches.used:,} in use, {watches.limit:,} allowed"
        yield _problem(told, watches.fix)


def _queue(status: Status) -> RenderableType:
    table = _grid(
        "stage", *(_NAMES.get(state, state) for state in _STATES), right=("ready", "later", "running", "parked")
    )
    stages = dict.fromkeys(line.stage for line in status.queue)
    for stage in stages:
        lines = [line for line in status.queue if line.stage == stage]
        counts = (sum(line.count for line in lines if line.state == state) for state in _STATES)
        table.add_row(safe(stage), *(f"{count:,}" if count else "·" for count in counts))
    oldest = status.oldest_unprocessed_s
    if oldest is None or oldest < OLD_S:
        return table
    return Group(table, safe(f"the oldest change has been waiting for {duration_text(oldest)}", "dim"))


def _groups(groups: Iterable[ParkedGroup]) -> Iterator[RenderableType]:
    for group in groups:
        line = safe(f"{group.count:,} {group.reason}", "yellow")
        if group.example:
            line.append(safe(f"  such as {group.example}", "dim"))
        yield _with_hint(line, group.hint)


def models_view(models: Iterable[ModelView]) -> RenderableType:
    """``lakewatchd models list``, and a part of the status."""
    table, problems = _grid("role", "model", "state"), []
    for model in models:
        table.add_row(safe(model.role), safe(model.name), _state(model.state))
        problems += [_problem(f"{model.role}: {model.problem}")] if model.problem else []
    return Group(table, *problems)


def _lake(status: Status) -> RenderableType:
    table = _grid("table", "rows", "size", "version", right=("rows", "size", "version"))
    for item in status.lake.tables:
        table.add_row(safe(item.name), f"{item.rows:,}", size_text(item.bytes), str(item.version))
    return Group(table, safe(f"{size_text(status.lake.bytes)} in {status.lake.path}", "dim"))


def _cache(cache: CacheView) -> RenderableType:
    return safe(f"{size_text(cache.used_bytes)} of {size_text(cache.limit_bytes)} in {cache.path}")


def _gaps(layers: Iterable[Layer]) -> Iterator[RenderableType]:
    """What does not confine the decoders here; nothing to say when all of it does."""
    return (safe(f"! without {layer.name}: {layer.detail}", "yellow") for layer in layers if not layer.holds)


def _problem(message: str, hint: str = "") -> RenderableType:
    return _with_hint(safe(f"! {message}", "yellow"), hint)


def _with_hint(line: Text, hint: str) -> Text:
    return line.append("\n  fix: ").append(safe(hint)) if hint else line
