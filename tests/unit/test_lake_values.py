"""The parts of the lake without a disk: grouping, waiting, encoding, quoting."""

import asyncio
import dataclasses
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake_rows import DIMS, asset_id, batch, occurrence, place

from lakewatchd.core.asset import PathKey, Version
from lakewatchd.lake import codec, schema
from lakewatchd.lake.group import Group, rows_in
from lakewatchd.lake.rows import Batch
from lakewatchd.lake.waiting import FEW, GROUPS_AT_ONCE, QUIET_S, REST, URGENT_S, Waiting, WaitingRoom

file_names = (
    st.binary(max_size=40) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(str.encode)
).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
"""Whatever the kernel can hand out. Other lone surrogates than those of fsdecode are in no file name."""


class TestGroup:
    def test_newest_row_of_a_key_wins(self) -> None:
        group = Group.of([batch(1, title="old"), batch(2), batch(1, title="new")])
        assert [row.title for row in group.assets.values()] == ["new", ""]
        assert [row.title for row in group.served] == ["new", ""]

    def test_rewriting_an_asset_replaces_all_its_spans(self) -> None:
        group = Group.of([batch(1, spans=3), batch(1, spans=1)])
        assert list(group.spans[asset_id(1)]) == [0]

    def test_spans_alone_are_added_to_those_there(self) -> None:
        only_spans = Batch(spans=batch(1, spans=3).spans[2:])
        assert list(Group.of([batch(1, spans=1), only_spans]).spans[asset_id(1)]) == [0, 2]

    def test_withdrawing_and_serving_keep_their_order(self) -> None:
        gone = Batch(gold_gone=(asset_id(1),))
        assert Group.of([batch(1), gone]).withdrawn == [asset_id(1)]
        assert Group.of([gone, batch(1)]).withdrawn == []


class TestWaiting:
    async def room_with(self, *arrivals: tuple[float, bool]) -> WaitingRoom:
        room = WaitingRoom(commit_rows=100, commit_s=1.0)
        for at, is_urgent in arrivals:
            room.add(Waiting(batch(1), is_urgent, at, asyncio.get_running_loop().create_future()))
        return room

    async def test_nothing_is_never_due(self) -> None:
        assert (await self.room_with()).due_in_s(0.0) == float("inf")

    async def test_the_oldest_sets_the_time(self) -> None:
        assert (await self.room_with((10.0, False), (10.5, False))).due_in_s(10.5) == pytest.approx(0.5)

    async def test_urgent_goes_when_it_is_quiet(self) -> None:
        assert (await self.room_with((10.0, False), (10.1, True))).due_in_s(10.1) == pytest.approx(QUIET_S)

    async def test_urgent_does_not_wait_for_ever_for_quiet(self) -> None:
        arrivals = [(10.0 + n / 100, n == 0) for n in range(19)]
        assert (await self.room_with(*arrivals)).due_in_s(10.18) == pytest.approx(URGENT_S - 0.18)

    async def after_commit(self, urgent: int, began: float, ended: float) -> WaitingRoom:
        """A room with one urgent batch, come at 10 s, whose last group held so many."""
        room = await self.room_with(*[(began, True)] * urgent, (began, False))
        room.take()
        room.note_commit(began, ended)
        room.add(Waiting(batch(1), True, 10.0, asyncio.get_running_loop().create_future()))
        return room

    async def test_a_stream_of_urgent_batches_lets_the_writer_rest(self) -> None:
        assert (await self.after_commit(FEW + 1, 9.9, 10.0)).due_in_s(10.0) == pytest.approx(REST * 0.1)

    async def test_rest_makes_nobody_wait_longer_than_a_backfill_does(self) -> None:
        assert (await self.after_commit(FEW + 1, 5.0, 10.0)).due_in_s(10.0) == pytest.approx(1.0)

    async def test_after_a_pause_urgent_is_urgent_again(self) -> None:
        assert (await self.after_commit(FEW + 1, 9.0, 9.1)).due_in_s(10.0) == pytest.approx(QUIET_S)

    async def test_one_photo_in_a_backfill_does_not_wait_for_a_rest(self) -> None:
        assert (await self.after_commit(FEW, 9.0, 10.0)).due_in_s(10.0) == pytest.approx(QUIET_S)

    async def test_a_full_group_is_due(self) -> None:
        room = await self.room_with(*[(10.0, False)] * 20)
        assert room.due_in_s(10.0) == 0.0

    async def test_a_group_has_a_bound_and_order_is_kept(self) -> None:
        room = await self.room_with(*[(float(n), False) for n in range(500)])
        taken = room.take()
        assert sum(rows_in(item.batch) for item in taken) <= GROUPS_AT_ONCE * 100
        assert [item.arrived for item in taken + room.take()] == [float(n) for n in range(2 * len(taken))]

    async def test_a_batch_larger_than_the_bound_still_goes(self) -> None:
        room = await self.room_with()
        room.add(Waiting(batch(1, spans=2000), False, 0.0, asyncio.get_running_loop().create_future()))
        assert len(room.take()) == 1
        assert not room


class TestCodec:
    def test_rows_come_back_as_they_went(self) -> None:
        before = batch(3, spans=2)
        table = codec.encode(
            [codec.occurrence_record(r) for r in before.occurrences], schema.OCCURRENCES.arrow(DIMS), 1
        )
        assert tuple(codec.occurrences(table)) == before.occurrences
        table = codec.encode([codec.asset_record(r) for r in before.assets], schema.ASSETS.arrow(DIMS), 1)
        assert tuple(codec.assets(table)) == before.assets
        table = codec.encode([codec.span_record(r) for r in before.spans], schema.SPANS.arrow(DIMS), 1)
        assert tuple(codec.spans(table)) == before.spans
        table = codec.encode([codec.gold_record(r) for r in before.gold], schema.GOLD.arrow(DIMS), 1)
        assert tuple(codec.gold(table)) == before.gold

    def test_without_a_model_there_are_no_vectors(self) -> None:
        arrow = schema.SPANS.arrow(schema.Dims(0, 0))
        row = dataclasses.replace(batch(1).spans[0], image_vector=None, text_vector=None)
        assert next(codec.spans(codec.encode([codec.span_record(row)], arrow, 1))) == row

    @given(file_names, st.integers(0, (1 << 64) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
    def test_any_name_and_number_survives(self, path: str, inode: int, mtime_ns: int) -> None:
        row = dataclasses.replace(
            occurrence(1), key=PathKey("r", path), version=Version(1, mtime_ns, inode, (1 << 64) - 1 - inode)
        )
        table = codec.encode([codec.occurrence_record(row)], schema.OCCURRENCES.arrow(DIMS), 1)
        assert next(codec.occurrences(table)) == row

    @given(file_names | st.text())
    def test_any_text_can_be_stored(self, text: str) -> None:
        row = dataclasses.replace(batch(1).assets[0], title=text, exif=((text, text),), camera=text)
        table = codec.encode([codec.asset_record(row)], schema.ASSETS.arrow(DIMS), 1)
        assert next(codec.assets(table)).title == text.encode(errors="replace").decode()

    def test_a_zone_is_dropped_not_converted(self) -> None:
        row = dataclasses.replace(batch(1).assets[0], captured_at=datetime(2020, 5, 5, 23, 30, tzinfo=UTC))
        table = codec.encode([codec.asset_record(row)], schema.ASSETS.arrow(DIMS), 1)
        assert str(next(codec.assets(table)).captured_at) == "2020-05-05 23:30:00"

    def test_vectors_of_another_length_are_refused(self) -> None:
        with pytest.raises(ValueError, match="image_vector of 4 numbers, the table has 5"):
            codec.check(batch(1), schema.Dims(5, 3))

    def test_a_stage_without_a_column_is_refused(self) -> None:
        row = dataclasses.replace(batch(1).assets[0], transforms={"nap": "nap/1/x"})
        with pytest.raises(ValueError, match="nap"):
            codec.check(Batch(assets=(row,)), DIMS)


class TestSchema:
    def test_every_column_is_explained(self) -> None:
        assert all(column.comment for spec in schema.TABLES for column in spec.columns)

    def test_every_key_has_a_btree(self) -> None:
        for spec in schema.TABLES:
            indexed = [column.name for column in spec.indexed("btree")]
            assert "revision" in indexed
            assert not spec.key or spec.key in indexed

    def test_quotes_are_doubled(self) -> None:
        assert schema.is_in("root", ["it's", "'"]) == "root IN ('it''s', '''')"
        assert schema.is_in("root", []) == "false"

    def test_places_sort_and_differ(self) -> None:
        assert place(1).occurrence_id != place(2).occurrence_id
