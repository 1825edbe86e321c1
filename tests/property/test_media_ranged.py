"""A file of which nothing is there until it is asked for reads like the whole file, or fails."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakewatchd.media.ranged import AHEAD_BYTES, BLOCK_BYTES, Exhausted, RangedFile

SIZE = 7 * BLOCK_BYTES + 12_345
DATA = Random(7).randbytes(SIZE)
reads = st.lists(st.tuples(st.integers(0, SIZE + 10), st.integers(0, 3 * BLOCK_BYTES)), max_size=12)


class Sparse:
    """A file full of holes, and what fills them. ``limit``: how many requests are served."""

    def __init__(self, fd: int, limit: int) -> None:
        self.fd, self.limit = fd, limit
        self.asked: list[tuple[int, int]] = []

    def need(self, start: int, end: int) -> bool:
        self.asked.append((start, end))
        if len(self.asked) > self.limit:
            return False
        os.pwrite(self.fd, DATA[start:end], start)
        return True


@contextmanager
def sparse(limit: int = 1000) -> Iterator[Sparse]:
    with tempfile.TemporaryFile() as stream:
        stream.truncate(SIZE)
        yield Sparse(stream.fileno(), limit)


@given(reads)
@settings(max_examples=60, deadline=None)
def test_any_reads_give_the_bytes_and_ask_for_no_block_twice(wanted: list[tuple[int, int]]) -> None:
    with sparse() as holes:
        file = RangedFile(holes.fd, SIZE, holes.need)
        for at, count in wanted:
            file.seek(at)
            found = file.read(count)
            assert found == DATA[at : at + count]
        blocks = [n for start, end in holes.asked for n in range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES))]
        assert len(blocks) == len(set(blocks))
        assert sum(end - start for start, end in holes.asked) == file.touched_bytes <= SIZE
        for start, end in holes.asked:
            assert start % BLOCK_BYTES == 0 and (end % BLOCK_BYTES == 0 or end == SIZE)
            assert end - start <= AHEAD_BYTES


@given(reads, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_what_cannot_be_fetched_is_an_error_and_never_zeros(wanted: list[tuple[int, int]], limit: int) -> None:
    with sparse(limit) as holes:
        file = RangedFile(holes.fd, SIZE, holes.need)
        for at, count in wanted:
            file.seek(at)
            try:
                assert file.read(count) == DATA[at : at + count]
            except OSError:
                assert len(holes.asked) == limit + 1
        assert len(holes.asked) <= limit + 1  # it failed once: nobody is asked again


def test_it_is_a_file_for_whoever_reads_files() -> None:
    with sparse() as holes, io.BufferedReader(RangedFile(holes.fd, SIZE, holes.need)) as stream:
        assert stream.read() == DATA
        assert stream.seek(-5, os.SEEK_END) == SIZE - 5
        assert stream.read(10) == DATA[-5:]
        with pytest.raises(OSError):
            stream.seek(-1)
        with pytest.raises(OSError):
            stream.fileno()  # whoever has it reads holes
    with sparse() as holes:
        os.fstat(holes.fd)  # closing the reader left it open


def test_reads_in_a_row_fetch_more_at_once_than_scattered_ones() -> None:
    with sparse() as row, sparse() as scattered:
        file = RangedFile(row.fd, SIZE, row.need)
        while file.read(1000):
            pass
        assert len(row.asked) == 4  # 1 block, 2, 4, and the rest
        file = RangedFile(scattered.fd, SIZE, scattered.need)
        for block in (6, 4, 2):
            file.seek(block * BLOCK_BYTES)
            file.read(10)
        assert [end - start for start, end in scattered.asked] == [BLOCK_BYTES] * 3


def test_no_more_is_touched_than_allowed() -> None:
    with sparse() as holes:
        file = RangedFile(holes.fd, SIZE, holes.need, at_most=3 * BLOCK_BYTES)
        with pytest.raises(Exhausted):
            while file.read(1000):
                pass
        assert file.touched_bytes <= 3 * BLOCK_BYTES
        file.seek(0)
        assert file.read(10) == DATA[:10]
