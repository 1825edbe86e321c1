"""Recordings: what they say of themselves, and samples that lie where they belong."""

import datetime as dt
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.core.asset import Kind
from lakewatchd.core.content import Content, Sound
from lakewatchd.media import sound
from lakewatchd.media.kinds import HEAD_BYTES, kind_of
from lakewatchd.media.ranged import RangedFile
from tests.films import film
from tests.sounds import beeps, cover, film_that_sounds, loud_at, recording, samples, tone

Described = tuple[Content, str]
Describe = Callable[..., Described]
Read = Callable[..., Sound]

TAGS = {"title": "Autumn", "artist": "A Quartet", "album": "Seasons", "date": "1999", "genre": "Folk"}


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    def run(data: bytes, name: str = "r", *, kind: Kind = Kind.AUDIO, is_there: bool = True) -> Described:
        (tmp_path / "original").write_bytes(data)
        mime, found = kind_of(data[:HEAD_BYTES], name)
        assert found is kind
        with (tmp_path / "original").open("rb") as stream:
            file = RangedFile(stream.fileno(), len(data), lambda start, end: is_there)
            return sound.describe_sound(
                file, mime, name, max_pixels=10_000_000, thumbnail_px=160, passage_chars=80, passage_overlap=10
            )

    return run


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(data: bytes, start_s: float, end_s: float, name: str = "r") -> Sound:
        (tmp_path / "original").write_bytes(data)
        mime, _ = kind_of(data[:HEAD_BYTES], name)
        with (tmp_path / "original").open("rb") as stream:
            return sound.read_sound(RangedFile(stream.fileno(), len(data)), mime, start_s, end_s)

    return run


FORMS = {
    "wav": ("wav", "pcm_s16le", 44_100),
    "wav in 24 bit": ("wav", "pcm_s24le", 96_000),
    "wav of a telephone": ("wav", "pcm_mulaw", 8000),
    "w64": ("w64", "pcm_s16le", 44_100),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "mp2": ("mp2", "mp2", 44_100),
    "flac": ("flac", "flac", 44_100),
    "opus": ("ogg", "libopus", 48_000),
    "flac in ogg": ("ogg", "flac", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "alac": ("ipod", "alac", 44_100),
    "aac": ("adts", "aac", 44_100),
    "aiff": ("aiff", "pcm_s16be", 44_100),
    "amr": ("amr", "libopencore_amrnb", 8000),
    "ac3": ("ac3", "ac3", 48_000),
    "eac3": ("eac3", "eac3", 48_000),
    "caf": ("caf", "pcm_s16be", 44_100),
    "au": ("au", "pcm_s16be", 44_100),
    "tta": ("tta", "tta", 44_100),
    "wavpack": ("wv", "wavpack", 44_100),
    "mka": ("matroska", "flac", 44_100),
    "weba": ("webm", "libopus", 48_000),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_heard_lies_where_it_belongs_in_every_format(form: str, describe: Describe, read: Read) -> None:
    container, codec, rate = FORMS[form]
    data = recording(container, codec, beeps((1.0, 4.0, 7.5), 10.0, rate), rate=rate)
    name = f"r.{form}"
    content, _ = describe(data, name)
    assert content.duration_s == pytest.approx(10.0, abs=0.1)
    whole, part = read(data, 0.0, 60.0, name), read(data, 3.5, 6.0, name)
    assert whole.is_last and loud_at(whole.samples) == pytest.approx([1.0, 4.0, 7.5], abs=0.05)
    assert loud_at(part.samples) == pytest.approx([0.5], abs=0.05)
    assert (len(part.samples), part.rate, part.start_s, part.is_last) == (2 * 16_000 * 5 // 2, 16_000, 3.5, False)


def test_tags_and_cover(describe: Describe) -> None:
    content, _ = describe(recording("mp3", "libmp3lame", tags=TAGS, picture=cover()), "x.mp3")
    assert (content.title, content.author) == ("Autumn", "A Quartet")
    said = dict(content.exif)
    assert (said["Album"], said["Genre"], said["Date"]) == ("Seasons", "Folk", "1999")
    assert (said["AudioCodec"], said["SampleRate"], said["Channels"]) == ("mp3", "44100", "1")
    assert content.thumbnail is not None and content.thumbnail.startswith(b"\xff\xd8")
    assert content.picture is None, "a cover is not what was recorded: models do not look at it"
    assert content.captured_at is None, "a year of release is no moment"


def test_the_time_of_a_dictation_counts(describe: Describe) -> None:
    noted = describe(recording("ipod", "aac", tags={"creation_time": "2024-07-12T10:15:00"}), "memo.m4a")[0]
    assert (noted.captured_at, noted.captured_from) == (dt.datetime.fromisoformat("2024-07-12T10:15"), "container-utc")
    named = describe(recording("wav", "pcm_s16le"), "Voice 2023-05-06 07.08.09.wav")[0]
    assert (named.captured_at, named.captured_from) == (dt.datetime.fromisoformat("2023-05-06T07:08:09"), "name")


def test_lyrics_are_text_in_lines(describe: Describe) -> None:
    words = "The first line\nand the second\n" + "on and on it goes\n" * 8
    content, text = describe(recording("flac", "flac", tags={"lyrics": words}))
    assert text.startswith("The first line\nand the second") and content.text_chars == len(text)
    assert len(content.passages) > 1
    assert all(text[passage.start : passage.end] == passage.text for passage in content.passages)


def test_a_recorder_of_a_phone_says_mp4_and_means_sound() -> None:
    data = recording("mp4", "aac")
    assert kind_of(data[:HEAD_BYTES], "REC 001.m4a") == ("audio/mp4", Kind.AUDIO)
    assert kind_of(data[:HEAD_BYTES], "clip.mp4") == ("video/mp4", Kind.VIDEO)


@pytest.mark.parametrize("behind", ["flac", "aac"])
def test_a_tag_of_mp3_in_front_of_something_else(behind: str, describe: Describe) -> None:
    form, codec, _ = FORMS[behind]
    tag = b"ID3\4\0\0" + bytes((0, 0, 0, 20)) + bytes(20)
    content, _ = describe(tag + recording(form, codec, beeps((1.0,), 3.0)), "song")
    assert dict(content.exif)["AudioCodec"] == behind


def test_tags_within_tags_end() -> None:
    assert kind_of((b"ID3\4\0\0\0\0\0\0" * 6000)[:HEAD_BYTES], "x") == ("audio/mpeg", Kind.AUDIO)


def test_a_broken_cover_costs_the_cover_only(describe: Describe) -> None:
    content, _ = describe(recording("mp3", "libmp3lame", tags=TAGS, picture=cover()[:300] + bytes(500)))
    assert content.title == "Autumn" and content.thumbnail is None
    assert len(content.warnings) == 1 and "cover" in content.warnings[0]


def test_the_sound_of_a_film_is_heard(read: Read) -> None:
    heard = read(film(sound=True, seconds=2.0), 0.5, 1.5, "film.mp4")
    assert len(heard.samples) == 2 * 16_000 and abs(samples(heard.samples)).max() > 0.1


@pytest.mark.parametrize(
    ("form", "pictures", "codec"),
    [
        ("mp4", "mpeg4", "aac"),
        ("matroska", "mpeg4", "aac"),
        ("webm", "libvpx", "libopus"),
        ("mpegts", "mpeg2video", "mp2"),
        ("mpeg", "mpeg2video", "mp2"),
        ("avi", "mpeg4", "mp2"),
        ("flv", "flv", "aac"),
        ("asf", "wmv2", "mp2"),
    ],
)
def test_a_stretch_of_any_film_begins_where_it_was_asked_for(form: str, pictures: str, codec: str, read: Read) -> None:
    data = film_that_sounds(form, pictures, codec, beeps((3.0, 10.0, 17.0), 20.0, 48_000))
    assert loud_at(read(data, 0.0, 8.0).samples) == pytest.approx([3.0], abs=0.15)
    assert loud_at(read(data, 9.3, 15.0).samples) == pytest.approx([0.7], abs=0.15)
    assert loud_at(read(data, 15.0, 60.0).samples) == pytest.approx([2.0], abs=0.15)


def test_a_silent_film_has_nothing_to_be_heard(read: Read) -> None:
    assert read(film(), 0.0, 10.0, "film.mp4") == Sound(b"", 16_000, 0.0, True)


def test_beyond_the_end_there_is_nothing(read: Read) -> None:
    assert read(recording("flac", "flac"), 50.0, 60.0) == Sound(b"", 16_000, 50.0, True)


def test_a_window_is_never_longer_than_its_limit(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "MAX_WINDOW_S", 2.0)
    assert len(read(recording("flac", "flac", tone(4.0)), 0.0, 1e9).samples) == 2 * 2 * 16_000


def test_a_gap_in_the_clock_stays_a_gap(read: Read) -> None:
    """A recorder that was paused: in Matroska the second half starts at 10 s."""
    import io

    import av

    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("flac", rate=16_000, layout="mono")
        for at_s in (0.0, 10.0):
            data = (beeps((0.5,), 1.0, 16_000) * 32_767).astype("<i2")
            frame = av.AudioFrame.from_ndarray(data[None, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, round(at_s * 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    heard = read(out.getvalue(), 0.0, 60.0, "r.mka")
    assert loud_at(heard.samples) == pytest.approx([0.5, 10.5], abs=0.3)


def test_a_damaged_middle_costs_what_is_damaged(read: Read) -> None:
    data = bytearray(recording("mp3", "libmp3lame", beeps((1.0, 8.0), 10.0)))
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(range(200)) * 10
    assert loud_at(read(bytes(data), 0.0, 60.0).samples)[0] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "m4a", "opus", "aiff"])
def test_what_was_cut_off_ends_early_or_is_damaged(form: str, describe: Describe, read: Read) -> None:
    container, codec, rate = FORMS[form]
    data = recording(container, codec, tone(2.0, rate), rate=rate)
    for share in (0.1, 0.5, 0.9):
        cut = data[: int(len(data) * share)]
        try:
            describe(cut)
            assert len(read(cut, 0.0, 60.0).samples) <= 2 * 16_000 * 2.1
        except errors.AssetError:
            continue


def test_a_disk_that_fails_is_no_damage(describe: Describe) -> None:
    with pytest.raises(errors.NotReadable):
        describe(recording("flac", "flac"), is_there=False)


def test_what_is_no_sound_is_damage(describe: Describe) -> None:
    with pytest.raises(errors.DamagedMedia):
        describe(b"fLaC" + bytes(5000))


def midi(tracks: list[bytes], division: int = 480) -> bytes:
    head = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), division)
    return head + b"".join(struct.pack(">4sI", b"MTrk", len(track)) + track for track in tracks)


def test_a_midi_file_tells_its_name_and_length(describe: Describe) -> None:
    tempo = b"\0\xff\x03\x05Waltz\0\xff\x51\x03\x0f\x42\x40\0\xff\x2f\0"  # a second for each beat
    notes = b"\0\x90\x40\x40\x87\x40\x40\0\0\xff\x2f\0"  # one note of two beats (0x87 0x40 = 960 ticks)
    content, _ = describe(midi([tempo, notes]), "w.mid")
    assert (content.title, content.duration_s) == ("Waltz", 2.0)
    assert ("Tracks", "2") in content.exif


@pytest.mark.parametrize("data", [b"MThd", midi([b"\xff"]), midi([b"\0\xff\x51\x03\1"]), midi([b"\0"], division=0)])
def test_midi_that_ends_early(data: bytes, describe: Describe) -> None:
    try:
        assert describe(data, "w.mid")[0].title == "w"
    except errors.DamagedMedia:
        assert data == b"MThd"
