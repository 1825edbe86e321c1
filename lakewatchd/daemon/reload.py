"""Read the configuration again, without losing work: what can change while the daemon runs does, the rest is said.

A configuration that is wrong changes nothing. Roots are stopped and started anew only where they differ; the queue,
the workers and the lake go on meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lakewatchd import config as configuration
from lakewatchd.config import SECTIONS, Config
from lakewatchd.core.status import Reloaded
from lakewatchd.daemon.lanes import lanes_of
from lakewatchd.daemon.wiring import object_cache
from lakewatchd.stages.base import Stage

if TYPE_CHECKING:
    from lakewatchd.daemon.parts import Daemon

_log = logging.getLogger(__name__)

LIVE = (
    "root ",
    "watch.",
    "web.",
    "tags.",
    "workers.fast",
    "workers.reserved",
    "workers.heavy",
    "daemon.drain_s",
    "daemon.log_",
)
"""What can change while the daemon runs, by how its key begins."""


async def reload(daemon: Daemon) -> Reloaded:
    """Apply what changed in the configuration file and in the taxonomy.

    Raises :class:`~lakewatchd.errors.ConfigError` when either is wrong; nothing has changed then. What has begun is
    done in full: where the disk is full, it waits for room.
    """
    async with daemon.reloading:
        asked = await asyncio.to_thread(configuration.load, daemon.config.source)
        stages = await asyncio.to_thread(daemon.make_stages, asked, daemon.school)
        new = daemon.watched.prepare(asked.all_roots, asked.watch)
        if daemon.objects.cache is None:  # the first bucket
            daemon.objects.cache = await asyncio.to_thread(object_cache, merged(daemon.config, asked))
        changed = list(changes(daemon.config, asked))
        config = daemon.config = merged(daemon.config, asked)
        daemon.context = dataclasses.replace(daemon.context, config=config)
        if "daemon.log_level" in changed:
            logging.getLogger().setLevel(config.daemon.log_level.upper())
        daemon.pool.resize(lanes_of(config), config.workers.reserved)
        await daemon.watched.apply(config.all_roots, config.watch, new)
        daemon.web.apply(config)
        await daemon.patiently(daemon.queue_unwatched)
        if _ids(stages) != _ids(daemon.stages):
            daemon.stages = stages
            changed.append("tags.taxonomy")
            await daemon.patiently(daemon.queue_stale)
        daemon.pool.wake()
        applied = tuple(dict.fromkeys(key for key in changed if key.startswith(LIVE)))
        daemon.needs_restart = tuple(key for key in changed if not key.startswith(LIVE))
    _log.info("configuration read again: %s", _sentence(applied, daemon.needs_restart))
    return Reloaded(applied, daemon.needs_restart)


def merged(now: Config, asked: Config) -> Config:
    """``asked`` where it can be applied, else ``now``."""
    return dataclasses.replace(
        now,
        roots=asked.roots,
        buckets=asked.buckets,
        watch=asked.watch,
        web=asked.web,
        tags=asked.tags,
        workers=dataclasses.replace(asked.workers, decoders=now.workers.decoders),
        daemon=dataclasses.replace(now.daemon, drain_s=asked.daemon.drain_s, log_level=asked.daemon.log_level),
    )


def changes(now: Config, asked: Config) -> Iterator[str]:
    """The keys whose values differ: ``root photos``, ``watch.rescan_s``."""
    old, new = ({root.name: root for root in config.all_roots} for config in (now, asked))
    yield from (f"root {name}" for name in {**old, **new} if old.get(name) != new.get(name))
    for section in SECTIONS:
        mine, theirs = getattr(now, section), getattr(asked, section)
        for item in dataclasses.fields(mine):
            if getattr(mine, item.name) != getattr(theirs, item.name):
                yield f"{section}.{item.name}"


def _ids(stages: Mapping[str, Stage]) -> list[str]:
    return [stage.transform.id for stage in stages.values()]


def _sentence(applied: tuple[str, ...], needs_restart: tuple[str, ...]) -> str:
    text = f"applied {', '.join(applied)}" if applied else "nothing to apply"
    return f"{text}; needs a restart: {', '.join(needs_restart)}" if needs_restart else text
