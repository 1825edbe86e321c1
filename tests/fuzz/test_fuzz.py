"""A small part of `python -m tests.fuzz`, with a fixed seed."""

from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.__main__ import files, through_decoders
from tests.fuzz.mutate import seeds


async def test_what_is_not_damaged_is_decoded_in_the_sandbox(tmp_path: Path) -> None:
    made = ((seed.form, f"{number}.{seed.form}", seed.data) for number, seed in enumerate(seeds()[:40]))
    tally, _ = await through_decoders(made, tmp_path, tmp_path / "keep")
    assert {outcome.split()[0] for _, outcome in tally.outcomes} == {"indexed"}, tally.outcomes


async def test_a_hundred_damaged_files_surprise_nobody(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    made: Iterator[tuple[str, str, bytes]] = files(100, seed=1)
    tally, peak = await through_decoders(made, tmp_path / "in", tmp_path / "keep")
    assert tally.surprises == []
    assert sum(tally.outcomes.values()) == 100
    assert len({outcome for _, outcome in tally.outcomes}) >= 5, "the mutations do too much or too little"
    assert peak < 600
