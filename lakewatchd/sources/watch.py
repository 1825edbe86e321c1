"""Take the best way of hearing of changes that this machine allows, and say why not a better one."""

from __future__ import annotations

from pathlib import Path

from lakewatchd.errors import LakewatchError
from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.fanotify import FanotifyQueue
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.inotify import InotifyQueue
from lakewatchd.sources.listener import KernelWatcher
from lakewatchd.sources.observer import ObserverWatcher
from lakewatchd.sources.roots import Root
from lakewatchd.sources.watcher import Tier, Watcher

BEST = "auto"


def start_watcher(
    root: Root, rules: IgnoreRules, buffer: Buffer, wanted: str = BEST, helper: Path | None = None
) -> Watcher:
    """A watcher that runs: the best, or the ``wanted`` tier. Raises :class:`LakewatchError` when none can be had."""
    refusals: list[LakewatchError] = []
    why_not: list[str] = []
    for tier in Tier:
        if wanted not in (BEST, tier):
            why_not.append(f"{tier}: watch.watcher is {wanted!r}")
            continue
        try:
            watcher = _make(tier, root, rules, buffer, tuple(why_not), helper)
            watcher.start()
        except LakewatchError as exc:
            refusals.append(exc)
            why_not.append(f"{tier}: {exc.message}")
        else:
            return watcher
    if len(refusals) == 1:
        raise refusals[0]
    hints = [error.hint for error in reversed(refusals) if error.hint]
    raise LakewatchError("no way to hear of changes: " + "; ".join(why_not), hints[0] if hints else None)


def _make(
    tier: Tier, root: Root, rules: IgnoreRules, buffer: Buffer, why_not: tuple[str, ...], helper: Path | None
) -> Watcher:
    if tier is Tier.FANOTIFY:
        return KernelWatcher(root, rules, buffer, FanotifyQueue(root, helper), why_not)
    if tier is Tier.INOTIFY:
        return KernelWatcher(root, rules, buffer, InotifyQueue(), why_not)
    return ObserverWatcher(root, rules, buffer, why_not)
