"""What is worth quoting as the answer to a question."""

from __future__ import annotations

from lakewatchd.core.asset import Kind
from lakewatchd.core.found import Hit, Reason
from lakewatchd.views.answer.evidence import worth_quoting


def _hit(name: str, *doors: str) -> Hit:
    reasons = tuple(Reason(door, 1, 0.5) for door in doors)
    return Hit(name, 1.0, Kind.IMAGE, name, "nas", name, reasons=reasons)


LAWN, PASS, CAT = _hit("lawn.png", "picture"), _hit("pass.txt", "words", "text"), _hit("cat.jpg", "picture", "words")
HITS = {(hit.asset_id, None): hit for hit in (LAWN, PASS, CAT)}


def test_a_picture_that_only_looks_like_a_question_answers_none() -> None:
    assert set(worth_quoting(HITS, "When was the dog vaccinated?").values()) == {PASS, CAT}


def test_pictures_are_quoted_where_they_are_asked_for_or_are_all_there_is() -> None:
    assert worth_quoting(HITS, "which photos have a dog in them") == HITS
    alone = {(LAWN.asset_id, None): LAWN}
    assert worth_quoting(alone, "When was the dog vaccinated?") == alone
    assert worth_quoting({}, "When?") == {}
