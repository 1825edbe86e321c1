"""``python -m lakewatchd``: the same front door as the ``lakewatchd`` command."""

import sys

from lakewatchd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
