"""One lake and one Chromium for all tests of the gallery.

They end with its module: while Playwright runs, its event loop is that of the thread, and no other can be started.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.gallery.lab import Lab, Visit, chromium, indexed

pytest.register_assert_rewrite("tests.gallery.browsing", "tests.gallery.looking")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Lab]:
    with indexed(tmp_path_factory.mktemp("gallery"), model_dir) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def visit(lab: Lab, browser: Browser) -> Iterator[Visit]:
    visiting = Visit(browser, lab.url)
    yield visiting
    visiting.end()
