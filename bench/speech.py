"""Two minutes of a book, as an MP3: seconds until every word of it is known, beside faster-whisper alone.

    .venv/bin/python -m bench.speech [--quick] [--json] [--dir DIR]

Claim: a decoder process, the model process and the guard together reach at least 0.9 of the speed of faster-whisper
alone, and memory does not grow with the recording.
Method: real sentences (Debian pocketsphinx-testdata) one after the other, encoded as MP3; the models are loaded, one
thread each, int8. Three turns (quick 1), one way then the other, medians. Peer: faster-whisper in this process, given
the file's name, with its voice activity filter and word times, the rest as it comes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.common import MODELS, Claim, Report, options
from lakewatchd.child import cpu_s
from lakewatchd.config import DecodeConfig, ModelConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Identity
from lakewatchd.media.sandbox import Decoders
from lakewatchd.models.base import Role
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import resolve
from lakewatchd.stages import transcript
from lakewatchd.stages.speech import STRETCH_S
from tests.sounds import SPOKEN, decoded, recording

RATE = 44_100


def main() -> None:
    chosen = options(__doc__).parse_args()
    sentences = sorted(SPOKEN.glob("librivox/*.wav"))
    if not sentences:
        sys.exit("the recordings are missing: scripts/setup-system --sounds")
    with tempfile.TemporaryDirectory(prefix="lakewatchd-bench-", dir=chosen.dir) as base:
        path = Path(base, "book.mp3")
        pause = np.zeros(RATE // 2, np.float32)
        once = [piece for sentence in sentences for piece in (decoded(sentence, RATE), pause)]
        wave = np.concatenate(once * (2 if chosen.quick else 4))
        path.write_bytes(recording("mp3", "libmp3lame", wave, rate=RATE))
        identity = Identity("0" * 64, Version.of(path.stat()), Kind.AUDIO, "audio/mpeg")
        asyncio.run(_measure(path, identity, len(wave) / RATE, 1 if chosen.quick else 3)).show(chosen.json)


async def _measure(path: Path, identity: Identity, seconds: float, turns: int) -> Report:
    import faster_whisper

    config = ModelConfig()
    resolved = resolve(config, MODELS)
    location = resolved.specs[Role.SPEECH].location
    bare = faster_whisper.WhisperModel(location, device="cpu", compute_type="int8", cpu_threads=config.threads)
    models, decoders = Inference(config, resolved), Decoders(DecodeConfig(), 1)
    await decoders.start()
    await _ours(path, identity, models, decoders)  # loads the model
    ours, alone, ours_cpu, alone_cpu = [], [], [], []

    def busy_s() -> float:
        return sum(cpu_s(pid) for pid in (*models.pids, *decoders.pids))

    for _ in range(turns):
        start, busy = time.perf_counter(), busy_s()
        words = await _ours(path, identity, models, decoders)
        ours.append(time.perf_counter() - start)
        ours_cpu.append(busy_s() - busy)
        start, busy = time.perf_counter(), time.process_time()
        segments, _ = bare.transcribe(str(path), vad_filter=True, word_timestamps=True)
        others = sum(len(segment.words or ()) for segment in segments)
        alone.append(time.perf_counter() - start)
        alone_cpu.append(time.process_time() - busy)
    await models.close()
    await decoders.close()
    mine, peer = statistics.median(ours), statistics.median(alone)
    return Report(
        [
            Claim.at_least("speed, as a share of faster-whisper alone", peer / mine, "x", 0.9),
            Claim.at_least("the same by processor time", sum(alone_cpu) / sum(ours_cpu), "x", 0.9),
            Claim("real-time factor", mine / seconds, "s/s"),
            Claim("real-time factor, faster-whisper alone", peer / seconds, "s/s"),
        ],
        [f"{seconds:.0f} s of speech; {words} words, faster-whisper alone {others}"],
    )


async def _ours(path: Path, identity: Identity, models: Inference, decoders: Decoders) -> int:
    """How many words were heard."""
    sound = await decoders.sound(path.name, identity, 0.0, STRETCH_S, root=str(path.parent))
    assert sound is not None
    heard = await models.transcribe(sound)
    return sum(len(utterance.words) for utterance in transcript.said(heard.utterances))


if __name__ == "__main__":
    main()
