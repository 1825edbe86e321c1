"""Many batches -> one group: what a commit writes. Pure.

Invariant: committing the group leaves the tables as committing its batches one after the other would: within
a group the newest row of a key wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lakewatchd.core.asset import AssetId
from lakewatchd.core.lineage import StageRun
from lakewatchd.lake.rows import AssetRow, Batch, CorrectionRow, GoldRow, OccurrenceRow, SpanRow


@dataclass(slots=True)
class Group:
    corrections: dict[AssetId, CorrectionRow] = field(default_factory=dict)
    learned: dict[str, bytes] = field(default_factory=dict)
    occurrences: dict[str, OccurrenceRow] = field(default_factory=dict)
    assets: dict[AssetId, AssetRow] = field(default_factory=dict)
    spans: dict[AssetId, dict[int, SpanRow]] = field(default_factory=dict)
    gold: dict[AssetId, GoldRow | None] = field(default_factory=dict)
    """None: withdrawn."""
    thumbnails: dict[AssetId, bytes] = field(default_factory=dict)
    runs: list[StageRun] = field(default_factory=list)

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> Group:
        group = cls()
        for batch in batches:
            group.add(batch)
        return group

    def add(self, batch: Batch) -> None:
        self.learned.update(batch.learned)
        self.corrections.update((row.asset_id, row) for row in batch.corrections)
        self.occurrences.update((row.key.occurrence_id, row) for row in batch.occurrences)
        self.assets.update((row.asset_id, row) for row in batch.assets)
        self.spans.update((row.asset_id, {}) for row in batch.assets)  # a batch brings all spans of its assets
        for span in batch.spans:
            self.spans.setdefault(span.asset_id, {})[span.span] = span
        self.gold.update((row.asset_id, row) for row in batch.gold)
        self.gold.update((asset_id, None) for asset_id in batch.gold_gone)
        self.thumbnails.update(batch.thumbnails)
        self.runs.extend(batch.runs)

    @property
    def served(self) -> list[GoldRow]:
        return [row for row in self.gold.values() if row is not None]

    @property
    def withdrawn(self) -> list[AssetId]:
        return [asset_id for asset_id, row in self.gold.items() if row is None]


def rows_in(batch: Batch) -> int:
    """What a batch counts towards a full group: rows, so that one long document counts as many photos do."""
    tables = (
        batch.corrections,
        batch.learned,
        batch.occurrences,
        batch.assets,
        batch.spans,
        batch.gold,
        batch.gold_gone,
        batch.runs,
    )
    return sum(len(rows) for rows in tables)


def bytes_in(batch: Batch) -> int:
    """About what a batch holds in memory: texts, vectors and thumbnails, which are nearly all of it."""
    vectors = [vector for span in batch.spans for vector in (span.image_vector, span.text_vector) if vector is not None]
    vectors += [row.vector for row in batch.gold if row.vector is not None]
    texts = sum(len(span.text) for span in batch.spans) + sum(len(row.text) for row in batch.gold)
    return texts + sum(8 * len(vector) for vector in vectors) + sum(len(image) for _, image in batch.thumbnails)
