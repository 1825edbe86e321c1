"""The line that says why: of what is said of a whole asset."""

from __future__ import annotations

from lakewatchd.core.found import MARK_CLOSES, MARK_OPENS
from lakewatchd.views.search.pieces import Wanted, whole

TAGS = ("cat", "pet")


def test_the_line_of_tags_is_no_line_to_quote() -> None:
    assert whole("IMG_0042\ncat pet\nVienna Austria", Wanted(("cat",)), TAGS) is None


def test_a_caption_that_says_it_too_is_quoted_instead() -> None:
    piece = whole("IMG_0042\ncat pet\nour cat, asleep", Wanted(("cat",)), TAGS)
    assert piece is not None
    assert piece.snippet == f"our {MARK_OPENS}cat{MARK_CLOSES}, asleep"


def test_a_title_with_a_tag_in_it_is_quoted() -> None:
    piece = whole("the cat\ncat pet", Wanted(("cat",)), TAGS)
    assert piece is not None
    assert piece.snippet == f"the {MARK_OPENS}cat{MARK_CLOSES}"
