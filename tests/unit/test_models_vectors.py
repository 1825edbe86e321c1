"""What vectors carry of their models: the same for ever, or a whole lake is embedded anew."""

from __future__ import annotations

import dataclasses

from lakewatchd.config import DecodeConfig
from lakewatchd.models.base import ModelInfo, Role
from lakewatchd.models.vectors import clipping, embedding
from lakewatchd.stages import clips, embed

IMAGE_TEXT, TEXT = ModelInfo(Role.IMAGE_TEXT, "any", 384, "00ff"), ModelInfo(Role.TEXT, "any", 384, "00ff")
DETECTOR = ModelInfo(Role.DETECTOR, "any", 0, "00ff")


def test_what_is_compared_is_what_the_stages_make() -> None:
    assert embed.stage(IMAGE_TEXT, TEXT).transform == embedding(IMAGE_TEXT, TEXT)
    decode = dataclasses.replace(DecodeConfig(), max_pixels=1000)
    assert clips.stage(decode, IMAGE_TEXT, DETECTOR).transform == clipping(1000, IMAGE_TEXT, DETECTOR)


def test_ids_of_lakes_that_exist_stay() -> None:
    assert embedding(IMAGE_TEXT, TEXT).id == "embed/2/7f80c0f93e14"
    assert embedding(None, TEXT).id == "embed/2/3852dfd9c215"
    assert clipping(1000, IMAGE_TEXT, DETECTOR).id == "clips/1/df76a768e7a2"
    other = dataclasses.replace(IMAGE_TEXT, digest="0100")
    assert embedding(other, TEXT) != embedding(IMAGE_TEXT, TEXT), "another model of the same length"
