"""One of everything goes through a real daemon: nothing is parked, and each is looked into."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lakewatchd.core.asset import Kind
from lakewatchd.testing import WITHOUT_MODELS, LiveDaemon
from tests.formats import make
from tests.formats.__main__ import told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SILENT = {"comic.cbz", "scan.pdf"}
"""Pages of pictures: without a model that reads them they have no words."""


def test_every_format_is_looked_into(tmp_path: Path) -> None:
    written = make.make(tmp_path / "nas")
    assert len({path.name.partition(".")[2] for path in written}) >= 60
    with LiveDaemon(tmp_path / "d", tmp_path / "nas", settings=WITHOUT_MODELS) as daemon:
        daemon.wait_idle()
        assert daemon.ask("status")["parked"] == []
    found = asyncio.run(told(tmp_path / "d" / "state" / "lake"))
    assert sorted(one.path for one in found) == sorted(str(path.relative_to(tmp_path / "nas")) for path in written)
    for one in found:
        name = Path(one.path).name
        match one.asset.kind:
            case Kind.IMAGE:
                assert one.asset.width and one.asset.phash is not None, one.line
            case Kind.VIDEO if name.endswith(".mp4") and name.startswith("spoken"):
                assert one.asset.duration_s, one.line
            case Kind.VIDEO:
                assert one.asset.duration_s and {"frame", "clip"} <= {span.kind for span in one.spans}, one.line
            case Kind.AUDIO:
                assert one.asset.duration_s, one.line
            case Kind.DOCUMENT | Kind.TABLE:
                assert name in SILENT or len(one.words) > 10, one.line
            case Kind.OTHER:
                assert one.path.startswith(("archives/", "family/")), one.line
