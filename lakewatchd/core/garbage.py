"""What the collector of garbage need not look at."""

from __future__ import annotations

import gc


def keep_what_is_here() -> None:
    """All that lives now, which is mostly code, lives as long as the process: the collector does not come by it again.

    It stops every thread while it looks: 60 ms with what a daemon imports, each time that some thousand objects of a
    burst of events have come.
    """
    gc.collect()
    gc.freeze()
