"""What is heard, and what is made up: word errors on real speech, words on sounds without any.

    .venv/bin/python -m tests.quality.speech [--json]

Real recordings with transcripts (Debian pocketsphinx-testdata: five sentences of a book read aloud, five commands of a
card game), as they are and as people keep them: one recording in several codecs, through a telephone, under noise.
Then sounds in which nobody speaks: desktop sounds (Debian sound-theme-freedesktop, alsa-utils) and made ones. Each goes
the project's way (decoder, model process, guard), and beside it through bare faster-whisper with its defaults, which
is the same model; where nobody speaks that is cut short after 50 tokens. Exit status 1 if more than one word in ten of
the book is wrong, or any word is made up.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lakewatchd.config import DecodeConfig, ModelConfig
from lakewatchd.core.asset import Version
from lakewatchd.core.content import Identity
from lakewatchd.media.kinds import HEAD_BYTES, kind_of
from lakewatchd.media.sandbox import Decoders
from lakewatchd.models.base import Role
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import resolve
from lakewatchd.stages import transcript
from tests.sounds import SPOKEN, Wave, decoded, plain, recording, tone

MODELS = Path(__file__).resolve().parents[2] / ".cache" / "models"
THEME, ALSA = Path("/usr/share/sounds/freedesktop/stereo"), Path("/usr/share/sounds/alsa")
MOST_ERRORS = 0.1
RATE = 16_000
_NUMBERS = "zero one two three four five six seven eight nine ten"
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS.split())}


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    words: int
    """That were said."""
    ours: int
    """Errors: words that are wrong, missing or made up."""
    bare: int


@dataclass(frozen=True, slots=True)
class Case:
    what: str
    path: Path
    identity: Identity
    said: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if not SPOKEN.is_dir() or not THEME.is_dir() or not ALSA.is_dir():
        sys.exit("the recordings are missing: scripts/setup-system --sounds")
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(_measure(list(_cases(Path(folder)))))
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print("| what | words | errors | bare faster-whisper |\n|---|---|---|---|")
        for row in rows:
            print(f"| {row.what} | {row.words} | {_share(row.ours, row.words)} | {_share(row.bare, row.words)} |")
    book = [row for row in rows if row.what.startswith("book")]
    is_right = sum(row.ours for row in book) <= MOST_ERRORS * sum(row.words for row in book)
    return 0 if is_right and not any(row.ours for row in rows if not row.words) else 1


def _share(errors: int, words: int) -> str:
    return f"{errors} ({errors / words:.1%})" if words else str(errors)


async def _measure(cases: Sequence[Case]) -> list[Row]:
    import faster_whisper

    config = ModelConfig()
    resolved = resolve(config, MODELS)
    if resolved.info(Role.SPEECH) is None:
        sys.exit("no speech model: scripts/fetch-models")
    location = resolved.specs[Role.SPEECH].location
    bare = faster_whisper.WhisperModel(location, device="cpu", compute_type="int8", cpu_threads=1)
    models, decoders, rows = Inference(config, resolved), Decoders(DecodeConfig(), 1), dict[str, Row]()
    for case in cases:
        said, heard = _words(case.said), _words(await _ours(case, models, decoders))
        cut_short = {} if said else {"max_new_tokens": 50, "temperature": 0.0}  # its loops go on for minutes
        segments, _ = bare.transcribe(str(case.path), **cut_short)
        others = _words(" ".join(segment.text for segment in segments))
        before = rows.get(case.what, Row(case.what, 0, 0, 0))
        rows[case.what] = Row(
            case.what,
            before.words + len(said),
            before.ours + errors(said, heard),
            before.bare + errors(said, others),
        )
    await models.close()
    await decoders.close()
    return list(rows.values())


async def _ours(case: Case, models: Inference, decoders: Decoders) -> str:
    sound = await decoders.sound(case.path.name, case.identity, 0.0, 300.0, root=str(case.path.parent))
    assert sound is not None and sound.is_last
    heard = await models.transcribe(sound)
    return " ".join(utterance.text for utterance in transcript.said(heard.utterances))


def _words(text: str) -> list[str]:
    return [_DIGITS.get(word, word) for word in plain(text.replace("-", " ")).split()]


def errors(said: list[str], heard: list[str]) -> int:
    """Words to change, add and take away until they are the same."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


# --- recordings --------------------------------------------------------------------------------------------


def _cases(folder: Path) -> Iterator[Case]:
    for number, (what, name, data, said) in enumerate(_recordings()):
        path = folder / f"{number}-{name}"
        path.write_bytes(data)
        mime, kind = kind_of(data[:HEAD_BYTES], name)
        yield Case(what, path, Identity("0" * 64, Version.of(path.stat()), kind, mime), said)


def _recordings() -> Iterator[tuple[str, str, bytes, str]]:
    """What it shows, a file's name and content, and what is said in it."""
    book, cards = list(_transcribed("librivox/transcription")), list(_transcribed("cards/cards.transcription"))
    for path, said in book:
        yield "book, sentence by sentence", path.name, path.read_bytes(), said
    for path, said in cards:
        yield "commands of a card game", path.name, path.read_bytes(), said
    everything = " ".join(said for _, said in book)
    for what, name, data in _as_kept([path for path, _ in book]):
        yield f"book, {what}", name, data, everything
    for path in sorted(THEME.glob("*.oga")):
        if not path.name.startswith("audio-channel"):  # these speak
            yield "desktop sounds", path.name, path.read_bytes(), ""
    yield "desktop sounds", "Noise.wav", (ALSA / "Noise.wav").read_bytes(), ""
    for what, wave in _made():
        yield what, "made.flac", recording("flac", "flac", wave, rate=RATE), ""


def _transcribed(index: str) -> Iterator[tuple[Path, str]]:
    for line in (SPOKEN / index).read_text().splitlines():
        if match := re.fullmatch(r"<s> (.*?)\s*</s> \((.*)\)", line):
            yield (SPOKEN / index).parent / f"{match[2]}.wav", match[1]


def _as_kept(paths: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    def joined(rate: int) -> Wave:
        pause = np.zeros(rate, np.float32)
        return np.concatenate([piece for path in paths for piece in (decoded(path, rate), pause)])

    yield "MP3 at 48 kbit/s", "book.mp3", recording("mp3", "libmp3lame", joined(44_100), bit_rate=48_000)
    yield "Opus at 16 kbit/s", "book.opus", recording("ogg", "libopus", joined(48_000), rate=48_000, bit_rate=16_000)
    yield "by telephone", "book.wav", recording("wav", "pcm_mulaw", joined(8000), rate=8000)
    clean = joined(RATE)
    noise = np.random.default_rng(3).normal(0, 1, len(clean)).astype(np.float32)
    for decibels in (20, 10):
        level = float(np.sqrt((clean**2).mean()) / 10 ** (decibels / 20))
        loud = np.clip(clean + level * noise, -1, 1)
        yield f"{decibels} dB above noise", "book.flac", recording("flac", "flac", loud, rate=RATE)


def _made() -> Iterator[tuple[str, Wave]]:
    random = np.random.default_rng(5)
    yield "silence", np.zeros(60 * RATE, np.float32)
    yield "noise", random.normal(0, 0.2, 60 * RATE).astype(np.float32)
    rumble = np.cumsum(random.normal(0, 1, 60 * RATE))
    yield "noise", (0.3 * rumble / np.abs(rumble).max()).astype(np.float32)
    yield "noise", (random.normal(0, 0.003, 30 * RATE) + tone(30, RATE, 50) / 3).astype(np.float32)
    for voices in (1, 3):
        yield "music", _music(random, voices)


def _music(random: np.random.Generator, voices: int) -> Wave:
    """A walk over a scale, with overtones that fade: 40 s."""
    fade = np.exp(-np.arange(RATE // 2) / (RATE / 5)).astype(np.float32)
    out = np.zeros(40 * RATE, np.float32)
    for _, start in itertools.product(range(voices), range(0, len(out) - RATE // 2, RATE // 2)):
        hertz = 220 * 2 ** (random.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
        note = sum(tone(0.5, RATE, hertz * k) / k for k in (1, 2, 3, 4))
        out[start : start + RATE // 2] += note * fade / voices
    return out


if __name__ == "__main__":
    sys.exit(main())
