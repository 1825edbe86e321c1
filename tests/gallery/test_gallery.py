"""The gallery in a real browser. One file, since tests of one file share a lake and a browser."""

import pytest

from tests.gallery.browsing import *  # noqa: F403
from tests.gallery.looking import *  # noqa: F403

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]
