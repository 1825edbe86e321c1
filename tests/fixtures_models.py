"""The embedded models for tests marked ``models``, fetched once and kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lakewatchd.models.fetch import fetch


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """``LAKEWATCHD_TEST_MODELS``, or ``.cache/models`` in the repository. Without them the tests fail, not skip."""
    default = Path(__file__).resolve().parents[1] / ".cache" / "models"
    path = Path(os.environ.get("LAKEWATCHD_TEST_MODELS", default))
    fetched = fetch(path)
    assert not fetched.problems, fetched.problems
    return path
