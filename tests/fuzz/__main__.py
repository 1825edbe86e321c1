"""``python -m tests.fuzz [--count 10000] [--seed 0] [--daemon 500] [--keep DIR]``: damaged real files, by the thousand.

Each goes through the decoders as the daemon runs them, a part also through a real daemon. Every one must come out
indexed, or parked with a reason and a hint. Exit status 1 on a surprise: another error, a decoder that died, hung or
talked nonsense, a daemon that ended. What surprised is kept in DIR, with its name telling how to make it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakewatchd import errors
from lakewatchd.config import DecodeConfig
from lakewatchd.core.asset import Kind
from lakewatchd.media.sandbox import Decoders
from lakewatchd.testing import WITHOUT_MODELS, LiveDaemon
from tests.fuzz.mutate import Seed, mutated, seeds

AT_ONCE = 4
SURPRISING = ("died twice", "was stopped", "nonsense", "the decoder failed")
"""Of what a parked file says, when it is the decoder that must be looked at."""


@dataclass(slots=True)
class Tally:
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(format, outcome) -> files."""
    slowest: list[tuple[float, str]] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    def add(self, form: str, name: str, outcome: str, took_s: float) -> None:
        self.outcomes[form, outcome] += 1
        self.slowest = sorted([*self.slowest, (took_s, name)], reverse=True)[:5]

    def show(self) -> None:
        columns = sorted({outcome for _, outcome in self.outcomes})
        widths = [len(column) + 2 for column in columns]
        print(f"{'format':<18}" + "".join(map(str.rjust, columns, widths)))
        for form in [*sorted({form for form, _ in self.outcomes}), ""]:
            counts = (sum(n for (f, o), n in self.outcomes.items() if o == c and form in ("", f)) for c in columns)
            cells = (str(count or "·") for count in counts)
            print(f"{form or 'all':<18}" + "".join(map(str.rjust, cells, widths)))
        print("slowest: " + ", ".join(f"{took:.2f} s {name}" for took, name in self.slowest))
        for surprise in self.surprises:
            print(f"SURPRISE {surprise}")


def files(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """``(format, name, bytes)``: number N of a seed is always the same file, whatever the count."""
    pool = seeds()
    forms = sorted({item.form for item in pool})
    by_form: dict[str, list[Seed]] = {form: [item for item in pool if item.form == form] for form in forms}
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        form = rng.choice(forms)
        damage, data = mutated(rng.choice(by_form[form]), rng.choice(pool), rng)
        yield form, f"{seed}-{number:06d}-{damage}.{form}", data


async def through_decoders(made: Iterator[tuple[str, str, bytes]], folder: Path, keep: Path) -> tuple[Tally, int]:
    """The tally, and the most memory one decoder had, in MB."""
    decoders, tally, peak = Decoders(DecodeConfig(deadline_s=60), 2), Tally(), 0

    async def work() -> None:
        nonlocal peak
        for form, name, data in made:
            path = folder / name
            path.write_bytes(data)
            began = time.monotonic()
            outcome, surprise = await _one(decoders, folder, name)
            tally.add(form, name, outcome, time.monotonic() - began)
            if surprise:
                tally.surprises.append(f"{name}: {surprise}")
                _keep(path, keep)
            path.unlink()
            peak = max(peak, *map(_memory_mb, decoders.pids), 0)

    async with asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work())
    await decoders.close()
    return tally, peak


def _keep(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder)


async def _one(decoders: Decoders, folder: Path, name: str) -> tuple[str, str]:
    """What became of a file, and what is surprising about that."""
    try:
        identity = await decoders.identify(name, root=str(folder))
        assert identity is not None, "nobody changes it"
        content = await decoders.describe(name, identity, name, root=str(folder))
        assert content is not None, "nobody changes it"
        if identity.kind in (Kind.AUDIO, Kind.VIDEO):
            sound = await decoders.sound(name, identity, 1.0, 30.0, root=str(folder))
            assert sound is not None and len(sound.samples) <= 2 * sound.rate * 29, "more than was asked for"
        return f"indexed {identity.kind.value}", ""
    except errors.AssetError as exc:
        odd = not exc.hint or any(words in exc.message for words in SURPRISING)
        return f"parked {exc.reason}", exc.message if odd else ""
    except Exception as exc:
        return "SURPRISE", f"{type(exc).__name__}: {exc}"


def _memory_mb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


def through_daemon(made: Iterator[tuple[str, str, bytes]], base: Path) -> Tally:
    """The same by a daemon as people run it, all files at once."""
    tally, forms = Tally(), {}
    root = base / "nas"
    root.mkdir()
    with LiveDaemon(base / "daemon", root, settings=WITHOUT_MODELS) as daemon:
        assert daemon.process is not None
        for form, name, data in made:
            (root / name).write_bytes(data)
            forms[name] = form
        began = time.monotonic()
        daemon.wait_idle(3600)
        listing = json.loads(daemon.run("queue", "list", "--parked", "--json", "--limit", str(len(forms))).stdout)
        parked = {item["key"].removeprefix("nas:"): item for item in listing["items"]}
        kinds = _kinds(daemon)
        for name, form in forms.items():
            job = parked.get(name)
            outcome = f"parked {job['reason']}" if job else f"indexed {kinds[name]}" if name in kinds else "SURPRISE"
            tally.add(form, name, outcome, 0.0)
            if outcome == "SURPRISE" or (job and not (job["message"] and job["hint"])):
                tally.surprises.append(f"{name}: {job or 'neither indexed nor parked'}")
        if daemon.process.poll() is not None:
            tally.surprises.append(f"the daemon ended: {daemon.process.poll()}")
        print(f"daemon: {len(forms)} files, {time.monotonic() - began:.0f} s until nothing was left to do")
    return tally


def _kinds(daemon: LiveDaemon) -> dict[str, str]:
    import lance

    table = lance.dataset(str(daemon.state / "lake" / "bronze_occurrences.lance")).to_table()
    return {row["path_text"]: row["kind"] for row in table.select(["path_text", "kind"]).to_pylist()}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--daemon", type=int, default=500, help="how many go through a real daemon as well")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-surprises"), help="where files that surprise are kept")
    args = parser.parse_args(arguments)
    base = Path(tempfile.mkdtemp(prefix="lakewatchd-fuzz-"))
    try:
        began = time.monotonic()
        (base / "decoders").mkdir()
        tally, peak = asyncio.run(through_decoders(files(args.count, args.seed), base / "decoders", args.keep))
        print(f"decoders: {args.count} files in {time.monotonic() - began:.0f} s; a decoder had {peak} MB at most")
        tally.show()
        lived = through_daemon(files(args.daemon, args.seed), base) if args.daemon else Tally()
        if args.daemon:
            lived.show()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    surprises = len(tally.surprises) + len(lived.surprises)
    print(f"{surprises} surprises{f', kept in {args.keep}' if tally.surprises else ''}")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
