"""Passages of what was said: all of it, in pieces to be read; and nothing of what a model made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.models.base import Spoken, Utterance
from lakewatchd.stages.transcript import (
    ENOUGH_S,
    MOST_CHARS,
    MOST_S,
    PAUSE_S,
    is_invented,
    passages,
    said,
    text_of,
)


def utterance(
    text: str,
    seconds: float | None = None,
    *,
    logprob: float = -0.3,
    no_speech: float = 0.05,
    compression: float = 1.2,
    at: float = 0.0,
) -> Utterance:
    """As somebody says it in that time, or at the usual speed."""
    parts = text.split()
    seconds = len(parts) / 2.5 if seconds is None else seconds
    step = seconds / max(1, len(parts))
    words = tuple(Spoken(" " + part, at + i * step, at + (i + 1) * step) for i, part in enumerate(parts))
    return Utterance(text, words, at, at + seconds, logprob, no_speech, compression)


@pytest.mark.parametrize(
    "real",
    [
        utterance("He was not an ill-disposed young man."),
        utterance("Thank you.", logprob=-0.25),
        utterance("8 of spades, 4 of clubs", logprob=-0.9),
        utterance("And now the thing you have all been waiting for", logprob=-0.7, no_speech=0.3),
        utterance("Rear, right", 1.0, logprob=-0.78, no_speech=0.19),
        utterance("The people who write subtitles by hand are rarely paid as well as they should be, she said to us"),
        utterance("今日はいい天気ですね", 2.0),
        utterance("no no no no no no", 2.0),
    ],
    ids=lambda utterance: utterance.text[:20],
)
def test_what_people_say_is_kept(real: Utterance) -> None:
    assert not is_invented(real)


@pytest.mark.parametrize(
    "made_up",
    [
        utterance("I'm sorry " * 9, 0.5, no_speech=0.82, logprob=-0.74, compression=3.5),
        utterance("I'm sorry " * 70, 0.2, no_speech=0.7, logprob=-0.1, compression=28.0),
        utterance("Thank you.", logprob=-0.8),
        utterance("Thanks for watching!", no_speech=0.7),
        utterance("Subtitles by the Amara.org community", logprob=-0.2),
        utterance("Untertitel im Auftrag des ZDF für funk, 2017", logprob=-0.2),
        utterance("ご視聴ありがとうございました", 2.0, no_speech=0.7),
        utterance("a b c d e f g h i j", 1.0),
        utterance("something that nobody would have said here", logprob=-1.4),
        utterance("... !", 1.0),
        utterance(""),
    ],
    ids=lambda utterance: utterance.text[:20],
)
def test_what_models_make_up_is_left_out(made_up: Utterance) -> None:
    assert is_invented(made_up)


def test_the_same_again_and_again_is_a_loop_and_twice_is_not() -> None:
    once = utterance("It was the best of times.")
    assert said([once, once, utterance("Then it rained.")]) == [once, once, utterance("Then it rained.")]
    loop = [utterance(text) for text in ("It was.", "it was", "It was!", "It was.")]
    assert said([*loop, once]) == [once]


def spoken(*texts: str, step: float = 0.4) -> list[Spoken]:
    return [Spoken(" " + text, i * step, (i + 1) * step) for i, text in enumerate(texts)]


def test_a_passage_ends_with_its_sentence_once_it_is_long_enough() -> None:
    words = spoken(*("short one.", *["word"] * 50, "end.", "Next", "part."))
    first, second = passages(words)
    assert text_of(first).endswith("end.") and text_of(second) == "Next part."


def test_a_long_silence_begins_something_else() -> None:
    words = [Spoken("One", 0.0, 0.4), Spoken(" two", 0.5, 0.9), Spoken(" three", 1.0 + PAUSE_S, 1.3 + PAUSE_S)]
    assert [text_of(passage) for passage in passages(words)] == ["One two", "three"]


def test_words_without_spaces_stay_without() -> None:
    assert text_of([Spoken("今日", 0, 1), Spoken("は", 1, 2), Spoken("晴れ", 2, 3)]) == "今日は晴れ"


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
            st.floats(0.01, 3.0),
            st.floats(0.0, 6.0),
        ),
        max_size=120,
    )
)
def test_every_word_is_in_one_passage_and_none_is_too_long(said_words: list[tuple[str, float, float]]) -> None:
    words, at = [], 0.0
    for text, seconds, pause in said_words:
        words.append(Spoken(text, at + pause, at + pause + seconds))
        at += pause + seconds
    made = list(passages(words))
    assert [word for passage in made for word in passage] == words
    for passage in made:
        assert passage[-1].end_s - passage[0].start_s <= max(MOST_S, passage[0].end_s - passage[0].start_s)
        assert len(text_of(passage)) <= MOST_CHARS
    assert ENOUGH_S < MOST_S
