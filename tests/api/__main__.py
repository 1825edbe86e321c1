"""What a program finds that tries every endpoint by its description: ``python -m tests.api [--quick] [--examples N]``.

schemathesis against a real server on a small real lake. Nothing may be found: no answer of 500 or more, none that is
not as described, nothing wrong that is taken for right.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.api.lake import lake

LEFT_OUT = (
    "positive_data_acceptance",  # a condition in SQL, or a cursor, is right or wrong by more than its letters
    "unsupported_method",  # a POST without JSON is refused before it is looked where it would go
)


def run(url: str, examples: int, *, is_quick: bool) -> subprocess.CompletedProcess[str]:
    """Of a server that is there."""
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/api/openapi.json",
        "--checks", "all", "--exclude-checks", ",".join(LEFT_OUT), "--max-examples", str(examples),
        "--phases", "examples,coverage,fuzzing" if not is_quick else "examples,fuzzing", "--no-color", "--workers", "2",
        "--request-timeout", "60", "--generation-database", "none", "--seed", "1",
        "--suppress-health-check", "all", "--continue-on-failure",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as notes:  # what it keeps of its failures
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600, cwd=notes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--examples", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as base, lake(Path(base)) as found:
        done = run(found.url, args.examples, is_quick=args.quick)
        print(done.stdout, done.stderr)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
