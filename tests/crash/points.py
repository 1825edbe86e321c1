"""The named points of a file's walk where the tests may strike: before and after every durable step.

A point is a function of the product, named where it is looked up, so that the launcher can wrap it. The product knows
nothing of this: a function that moves makes ``--list`` fail until its point moves along.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOMENTS = ("before", "after")

Which = Callable[[tuple[Any, ...]], bool]
"""Whether a call with these arguments is the one that is meant."""


@dataclass(frozen=True, slots=True)
class Point:
    name: str
    target: str
    """``module:Class.function``"""
    walk: str = "live"
    """Where it lies: ``live`` work, ``start`` on files that changed while it was down, ``stale`` (a start with other
    settings), ``lost`` (a start without its queue), ``seeing`` (with models), ``stop``, ``view``."""
    which: Which = lambda args: True
    moments: tuple[str, ...] = MOMENTS

    def resolve(self) -> tuple[Any, str]:
        """The object that holds the function, and the name of the function in it."""
        module, _, path = self.target.partition(":")
        *outer, name = path.split(".")
        holder = functools.reduce(getattr, outer, importlib.import_module(module))
        getattr(holder, name)
        return holder, name


def _table(name: str) -> Which:
    return lambda args: getattr(args[1], "name", None) == name


def _asks(operation: str) -> Which:
    return lambda args: args[1] == operation


_LAKE = "lakewatchd.lake"
_QUEUE = "lakewatchd.queue"
_TABLES = ("silver_spans", "silver_assets", "bronze_occurrences", "gold_assets", "gold_gone", "lineage")

POINTS = (
    # seen -> queued
    Point("settle", "lakewatchd.sources.settle:Settler.due"),
    Point("emit", "lakewatchd.daemon.parts:Daemon.emit"),
    Point("put", f"{_QUEUE}.store:QueueStore.put"),
    # claimed -> handled
    Point("claim", f"{_QUEUE}.store:QueueStore.claim"),
    Point("ingest", "lakewatchd.stages.ingest:run"),
    Point("identify", "lakewatchd.media.sandbox:Decoders.identify"),
    Point("decode", "lakewatchd.media.sandbox:Decoders.describe"),
    Point("embed", "lakewatchd.models.client:Inference.embed_picture", "seeing"),
    Point("publish", "lakewatchd.stages.publish:gold"),
    # committed, step by step
    Point("submit", f"{_LAKE}.tables:LakeWriter.submit"),
    Point("thumbnails", f"{_LAKE}.thumbnails:Thumbnails.put_many"),
    *(Point(table, f"{_LAKE}.tables:LakeWriter._merge", which=_table(table)) for table in _TABLES),
    Point("old_spans", f"{_LAKE}.tables:LakeWriter._remove_old_spans"),
    Point("withdraw", f"{_LAKE}.store:Store.delete", which=_table("gold_assets")),
    Point("sync", f"{_LAKE}.files:Directory.sync"),
    Point("fsync", f"{_LAKE}.files:_fsync"),
    Point("ledger", f"{_LAKE}.durable:write_ledger"),
    # acknowledged
    Point("ack", f"{_QUEUE}.store:QueueStore.ack"),
    Point("ack_settle", f"{_QUEUE}.store:QueueStore._settle"),
    Point("seen", f"{_QUEUE}.seen:write"),
    Point("follow_up", f"{_QUEUE}.store:QueueStore._put"),
    # what goes on beside it
    Point("promote", f"{_QUEUE}.store:QueueStore.promote"),
    Point("heartbeat", f"{_QUEUE}.store:QueueStore.heartbeat"),
    Point("expire", f"{_QUEUE}.store:QueueStore.expire_leases"),
    Point("compact_plan", f"{_LAKE}.maintain:Maintenance._compactions"),
    Point("compact_commit", "lance.optimize:Compaction.commit"),
    Point("index_updates", f"{_LAKE}.maintain:Maintenance._index_updates"),
    Point("clean", f"{_LAKE}.maintain:Maintenance._remove_old_versions"),
    # a start
    Point("recover", f"{_LAKE}.durable:recover", "start"),
    Point("open_tables", f"{_LAKE}.store:Store.open", "start"),
    Point("tidy", f"{_LAKE}.maintain:Maintenance.tidy_at_start", "start"),
    Point("reclaim", f"{_QUEUE}.store:QueueStore.reclaim_all", "start"),
    Point("control", "lakewatchd.control:ControlServer.start", "start"),
    Point("purge", f"{_LAKE}.tables:purge", "start"),
    Point("purge_asset", f"{_LAKE}.purge:_forget", "start"),
    Point("purge_tell", f"{_LAKE}.tables:forget_withdrawals", "start"),
    Point("scan", "lakewatchd.sources.scanning:Scanning._tell", "start"),
    # a start with other settings, or without its queue
    Point("queue_stale", "lakewatchd.daemon.parts:Daemon.queue_stale", "stale"),
    Point("migrate_queue", f"{_QUEUE}.database:Database._apply", "lost"),
    Point("agree", "lakewatchd.daemon.repair:agree", "lost"),
    Point("agree_rows", "lakewatchd.daemon.repair:_take_in", "lost"),
    # a stop
    Point("release", f"{_QUEUE}.store:QueueStore.release_all", "stop"),
    Point("close_lake", f"{_LAKE}.tables:LakeWriter.close", "stop"),
    # the view, a process of its own
    Point("view_feed", f"{_LAKE}.reader:LakeReader.changes", "view", moments=("before",)),
    Point("view_apply", "lakewatchd.views.mounted.index:Index.apply", "view"),
    Point("view_prepare", "lakewatchd.views.mounted.mountpoint:prepare", "view"),
)

ASKED = {
    "decoder": Point("asked_decoder", "lakewatchd.child:Child._answer", which=_asks("describe")),
    "hasher": Point("asked_hasher", "lakewatchd.child:Child._answer", which=_asks("identify")),
    "embedder": Point("asked_embedder", "lakewatchd.child:Child._answer", which=_asks("embed_pictures")),
}
"""A child has been told what to do, and has not answered."""

OBJECTS = (
    # told -> queued
    Point("page", "lakewatchd.sources.bucket.compare:Comparison._compare"),
    Point("heard", "lakewatchd.sources.bucket.source:BucketSource._deliver"),
    # claimed -> hashed and kept
    Point("looked", "lakewatchd.sources.bucket.looks:Looks.version"),
    Point("stream", "lakewatchd.media.fingerprint:StreamHasher.update"),
    Point("block", "lakewatchd.buckets.cache:Cached.keep"),
)
"""Where a bucket goes ways of its own."""

NOT_OF_OBJECTS = frozenset({"settle", "identify", "scan"})
"""Steps that only files of a directory take."""

BY_NAME = {point.name: point for point in (*POINTS, *ASKED.values(), *OBJECTS)}
