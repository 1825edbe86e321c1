"""Which stages, for which kind, in which order. A table to read.

A stage runs when the asset's row carries another transform for it than today's, or when the content was
decoded afresh.
"""

from __future__ import annotations

from collections.abc import Mapping

from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.core.job import JobSpec, Lane, Priority
from lakewatchd.lake.rows import AssetRow
from lakewatchd.stages.base import Stage

INDEX = "index"

PLAN: Mapping[Kind, tuple[str, ...]] = {
    Kind.IMAGE: ("chunk", "detect", "embed", "tag"),
    Kind.DOCUMENT: ("chunk", "embed", "tag"),
    Kind.TABLE: ("chunk", "embed", "tag"),
    Kind.VIDEO: ("chunk", "tag"),
    Kind.AUDIO: ("chunk", "tag"),
    Kind.OTHER: ("tag",),
}

ORDER = ("chunk", "detect", "embed", "tag")

LANES: Mapping[Kind, Lane] = {Kind.VIDEO: Lane.HEAVY, Kind.AUDIO: Lane.HEAVY}


def index_spec(
    asset_id: AssetId, priority: Priority, kind: Kind = Kind.OTHER, delay_s: float = 0.0, left: str = ""
) -> JobSpec:
    """The job that brings one asset up to date and publishes it.

    ``left`` is a place where it lay until now: news for a job that is parked, which the same job offered again is not.
    """
    payload: dict[str, object] = {"left": left} if left else {}
    return JobSpec(INDEX, asset_id, payload, priority, LANES.get(kind, Lane.FAST), delay_s)


def due(row: AssetRow, stages: Mapping[str, Stage]) -> list[Stage]:
    """The stages to run, in order.

    Fresh decoding renews all that follows; detecting and embedding do not depend on each other. ``tag`` is
    always among them: it is cheap, and depends on the name of the file.
    """

    def is_stale(name: str) -> bool:
        return stages[name].transform.id != row.transforms.get(name)

    names = [name for name in ORDER if name in PLAN[row.kind] and name in stages]
    is_new = "chunk" in names and is_stale("chunk")
    return [stages[name] for name in names if is_new or name == "tag" or is_stale(name)]


def kinds_with(stage: str) -> list[Kind]:
    """The kinds whose plan has ``stage``: others can never be stale in it."""
    return [kind for kind, names in PLAN.items() if stage in names]
