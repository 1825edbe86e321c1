"""Take the best way of hearing of changes that this machine allows, and say why not a better one."""

from __future__ import annotations

from lakewatchd.sources.coalesce import Buffer
from lakewatchd.sources.ignore import IgnoreRules
from lakewatchd.sources.inotify import InotifyWatcher
from lakewatchd.sources.roots import Root
from lakewatchd.sources.watcher import Watcher


def start_watcher(root: Root, rules: IgnoreRules, buffer: Buffer) -> Watcher:
    """A watcher that runs. Raises :class:`~lakewatchd.errors.LakewatchError` when there is no way at all."""
    watcher = InotifyWatcher(root, rules, buffer)
    watcher.start()
    return watcher
