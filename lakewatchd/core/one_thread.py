"""Linear algebra in the thread that asks for it: to be said before numpy is loaded.

The sums of a daemon are small, and the helper threads of OpenBLAS gain nothing on them. They spin while they wait: in
a process that the kernel prefers to all others (real-time scheduling), one of them and its caller were seen doing that
for twenty minutes, in the middle of a product that takes a millisecond.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

VARIABLES = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def calculate_on_one_thread(environ: MutableMapping[str, str] = os.environ) -> None:
    """Unless a person said otherwise."""
    for name, value in VARIABLES.items():
        environ.setdefault(name, value)
