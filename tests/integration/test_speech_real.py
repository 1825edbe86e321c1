"""Real speech, the real model, the real decoder: what was said, when, in whatever it lies; and silence stays silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from lakewatchd.config import DecodeConfig, ModelConfig
from lakewatchd.core.asset import Kind, Version
from lakewatchd.core.content import Identity, Sound
from lakewatchd.lake.compare import compare
from lakewatchd.lake.reader import LakeReader
from lakewatchd.lake.rows import SpanRow
from lakewatchd.media.sandbox import Decoders
from lakewatchd.models import speech as adapter
from lakewatchd.models.base import Role, Transcript
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import resolve
from lakewatchd.stages import transcript
from lakewatchd.testing import LiveDaemon
from tests.sounds import beeps, plain, recording, samples, spoken, tone

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]

RATE = 16_000
YOUNG_MAN = "he was not an ill disposed young man"
SETTINGS = '[models]\nimage_text = "off"\ntext = "off"\ndetector = "off"\nocr = "off"\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models(model_dir: Path) -> AsyncIterator[Inference]:
    config = ModelConfig()
    inference = Inference(config, resolve(config, model_dir))
    yield inference
    await inference.close()


def sound(wave: np.ndarray, *, is_last: bool = True) -> Sound:
    return Sound((wave * 32_767).astype("<i2").tobytes(), RATE, 0.0, is_last)


def text_of(heard: Transcript) -> str:
    return plain(" ".join(utterance.text for utterance in transcript.said(heard.utterances)))


@pytest.mark.long
@pytest.mark.asyncio(loop_scope="module")
async def test_a_stretch_that_ends_within_a_sentence_leaves_it_to_the_next(models: Inference) -> None:
    first, second = spoken("0880"), spoken("0930")
    pause, begin = np.zeros(3 * RATE, np.float32), np.zeros(5 * RATE, np.float32)
    before = len(begin) + len(first)
    cut = before + len(pause) + len(second) // 2
    whole = np.concatenate([begin, first, pause, second])
    heard = await models.transcribe(sound(whole[:cut], is_last=False))
    assert text_of(heard) == YOUNG_MAN and heard.language == "en"
    words = [word for utterance in heard.utterances for word in utterance.words]
    assert 4.8 < words[0].start_s < 5.8 and 6.5 < words[-1].end_s < 8.2, "where it was said"
    assert [word.start_s for word in words] == sorted(word.start_s for word in words)
    assert before / RATE - 0.5 < heard.until_s <= (before + len(pause)) / RATE + 0.5
    rest = await models.transcribe(sound(whole[round(heard.until_s * RATE) :]), "en")
    assert text_of(rest) == "he might even have been made amiable himself"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", ["nothing", "silence", "noise", "hum", "melody", "clicks", "a moment"])
async def test_where_nobody_speaks_nothing_is_written(models: Inference, kind: str) -> None:
    random = np.random.default_rng(1)
    waves = {
        "nothing": np.zeros(0),
        "silence": np.zeros(20 * RATE),
        "noise": random.normal(0, 0.2, 20 * RATE),
        "hum": tone(20, RATE, 50) + 0.01 * random.normal(0, 1, 20 * RATE),
        "melody": np.concatenate([tone(0.4, RATE, 220 * 2 ** (note / 12)) for note in random.integers(0, 24, 50)]),
        "clicks": beeps(tuple(np.arange(0.5, 19, 0.7)), 20, RATE),
        "a moment": random.normal(0, 0.2, 40),
    }
    heard = await models.transcribe(sound(waves[kind].astype(np.float32)))
    assert text_of(heard) == ""


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[LiveDaemon]:
    base = tmp_path_factory.mktemp("speech")
    root = base / "nas"
    root.mkdir()
    wave = np.concatenate([spoken("0870", 48_000), np.zeros(48_000, np.float32), spoken("0880", 48_000)])
    tags = {"title": "Chapter 1", "artist": "A reader"}
    (root / "book.opus").write_bytes(recording("ogg", "libopus", wave, rate=48_000, tags=tags))
    (root / "jingle.mp3").write_bytes(recording("mp3", "libmp3lame", tone(3.0)))
    with LiveDaemon(base / "d", root, models=model_dir, settings=SETTINGS) as running:
        running.wait_idle()
        yield running


def _identity(path: Path) -> Identity:
    return Identity("0" * 64, Version.of(path.stat()), Kind.AUDIO, "audio/mpeg")


def runs_of(daemon: LiveDaemon, stage: str) -> int:
    import lance

    table = lance.dataset(str(daemon.state / "lake" / "lineage.lance"))
    return int(table.count_rows(filter=f"stage = '{stage}'"))


def spans_of(daemon: LiveDaemon, path: str) -> list[SpanRow]:
    async def read() -> list[SpanRow]:
        reader = LakeReader(daemon.state / "lake")
        rows = {row.best.path: row async for row in reader.all_gold()}
        return list(await reader.spans(rows[path].asset_id))

    return asyncio.run(read())


def test_a_recording_dropped_is_found_by_what_is_said_in_it(listening: LiveDaemon) -> None:
    spans = spans_of(listening, "book.opus")
    assert {span.kind for span in spans} == {"speech"}
    said = plain(" ".join(span.text for span in spans))
    assert "how much there might be prudently in his power" in said and YOUNG_MAN in said
    assert all(span.language == "en" for span in spans)
    words = [word for span in spans for word in span.words]
    assert words[-1].text.strip(".") == "man" and 9.0 < words[-1].end_s < 11.5
    assert spans_of(listening, "jingle.mp3") == []


@pytest.mark.long
def test_a_second_life_hears_the_same_and_a_new_text_model_does_not_listen_again(
    listening: LiveDaemon, tmp_path: Path
) -> None:
    with LiveDaemon(tmp_path / "d", listening.root, models=listening.models, settings=SETTINGS) as fresh:
        fresh.wait_idle()
        assert asyncio.run(compare(listening.state / "lake", fresh.state / "lake")).differences == ()
        before = runs_of(fresh, "speech")
        fresh.stop()
        fresh.settings = SETTINGS.replace('\ntext = "off"', "")
        fresh.start()
        fresh.wait_idle()
        spans = spans_of(fresh, "book.opus")
        assert spans and all(span.text_vector is not None for span in spans)
        assert runs_of(fresh, "speech") == before > 0


@pytest.mark.long
async def test_stretches_hear_together_what_one_would(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A book in stretches of 12 s, voices of 4: a word that is cut through, lost or heard twice would show."""
    monkeypatch.setitem(adapter._VOICE, "max_speech_duration_s", 4.0)
    book = np.concatenate([np.append(spoken(name), np.zeros(RATE // 2)) for name in ("0870", "0880", "0890", "0930")])
    path = tmp_path / "book.mp3"
    path.write_bytes(recording("mp3", "libmp3lame", book.astype(np.float32), rate=RATE))
    whisper = adapter.Whisper(resolve(ModelConfig(), model_dir).specs[Role.SPEECH].location, "cpu", 1)
    decoders, heard, start_s = Decoders(DecodeConfig(), 1), list[str](), 0.0
    while True:
        part = await decoders.sound(path.name, _identity(path), start_s, start_s + 12.0, root=str(tmp_path))
        assert part is not None
        found = whisper.transcribe(samples(part.samples), is_last=part.is_last, language="en")
        heard.append(text_of(found))
        if part.is_last:
            break
        start_s += found.until_s
    await decoders.close()
    assert len(heard) >= 2
    said = " ".join(" ".join(heard).split())
    for words in ("had then leisure to consider", YOUNG_MAN, "unless to be rather cold", "been made amiable himself"):
        assert said.count(words) == 1, said
