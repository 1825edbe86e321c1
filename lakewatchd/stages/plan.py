"""Which stages, for which kind, in which order. A table to read.

A stage runs when the asset's row carries another transform for it than today's; what looks at pixels also when these
were decoded afresh. Cheap stages run first and make the file findable; heavy ones follow, each in its lane.
"""

from __future__ import annotations

from collections.abc import Mapping

from lakewatchd.core.asset import AssetId, Kind
from lakewatchd.core.job import JobSpec, Lane, Priority
from lakewatchd.lake.rows import AssetRow
from lakewatchd.stages.base import Stage

INDEX = "index"

PLAN: Mapping[Kind, tuple[str, ...]] = {
    Kind.IMAGE: ("chunk", "detect", "embed", "ocr", "caption", "place", "tag"),
    Kind.VIDEO: ("film", "detect", "embed", "clips", "speech", "caption", "place", "tag"),
    Kind.AUDIO: ("sound", "embed", "speech", "tag"),
    Kind.DOCUMENT: ("read", "embed", "ocr", "tag"),
    Kind.TABLE: ("read", "embed", "tag"),
    Kind.OTHER: ("read", "embed", "tag"),
}
"""A stage that cannot be had here (an extra or a model is missing, a setting says no) is left out."""

DECODING = ("chunk", "film", "read", "sound")
"""One for each family of kinds, so that a new decoder renews what it is for."""
RENEWED = ("detect", "embed")
"""What looks at decoded pixels and text, and is done again with them."""
ALWAYS = ("place", "tag")
"""Cheap, and depends on more than the content, such as the name of the file and what lies beside it."""
AFTER = ("embed",)
"""What stages of the other lanes made is embedded like the rest; what has its vectors is passed over."""

_SLOW = (Lane.HEAVY, Lane.OUTSIDE)


def index_spec(asset_id: AssetId, priority: Priority, delay_s: float = 0.0, news: str = "") -> JobSpec:
    """The job that brings one asset up to date, as far as that is cheap, and publishes it.

    ``news`` names what is new about it: a place where it lies now, or does not any more, or the labels of one. It wakes
    a job that is parked, which the same job offered again by a scan does not.
    """
    payload: dict[str, object] = {"news": news} if news else {}
    return JobSpec(INDEX, asset_id, payload, priority, Lane.FAST, delay_s)


def lane_spec(asset_id: AssetId, lane: Lane) -> JobSpec:
    """The same job, in the lane where it also does what belongs there."""
    return JobSpec(INDEX, asset_id, {}, Priority.ENRICHMENT, lane)


def due(row: AssetRow, stages: Mapping[str, Stage]) -> list[Stage]:
    """The cheap stages to run, in order."""
    planned = [stages[name] for name in PLAN[row.kind] if name in stages and stages[name].lane is Lane.FAST]
    is_new = any(_is_stale(stage, row) for stage in planned if stage.name in DECODING)
    return [
        stage
        for stage in planned
        if stage.name in ALWAYS or _is_stale(stage, row) or (is_new and stage.name in RENEWED)
    ]


def waits_for_tags_alone(row: AssetRow, stages: Mapping[str, Stage]) -> bool:
    """It was tagged, and of all that is cheap nothing but the tags is of another transform."""
    planned = [stages[name] for name in PLAN[row.kind] if name in stages and stages[name].lane is Lane.FAST]
    return "tag" in row.transforms and not any(stage.name != "tag" and _is_stale(stage, row) for stage in planned)


def due_in(lane: Lane, row: AssetRow, stages: Mapping[str, Stage]) -> list[Stage]:
    """The stages to run in another lane, in order."""
    planned = (stages[name] for name in PLAN[row.kind] if name in stages and stages[name].lane is lane)
    return [stage for stage in planned if stage.is_there() and _is_stale(stage, row)]


def next_lane(row: AssetRow, stages: Mapping[str, Stage], *, after: Lane = Lane.FAST) -> Lane | None:
    """Where there is more to do, once all that is cheap, and what belongs to the lane ``after``, is done."""
    lanes = _SLOW[_SLOW.index(after) + 1 :] if after in _SLOW else _SLOW
    return next((lane for lane in lanes if due_in(lane, row, stages)), None)


def after(row: AssetRow, stages: Mapping[str, Stage], *, is_new: bool) -> list[Stage]:
    """What looks at all that is known by now; ``is_new``: there are other spans."""
    names = (name for name in PLAN[row.kind] if name in ALWAYS or (name in AFTER and is_new))
    return [stages[name] for name in names if name in stages]


def _is_stale(stage: Stage, row: AssetRow) -> bool:
    return stage.transform.id != row.transforms.get(stage.name)


def kinds_with(stage: str) -> list[Kind]:
    """The kinds whose plan has ``stage``: others can never be stale in it."""
    return [kind for kind, names in PLAN.items() if stage in names]
