"""What a trial by command found: a line each, and whether all of it was so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    what: str
    is_so: bool
    told: str


def exit_code(findings: Sequence[Finding]) -> int:
    """Printed, with what is not so marked; 1 where anything is not."""
    width = max((len(finding.what) for finding in findings), default=0)
    for finding in findings:
        print(f"{'ok  ' if finding.is_so else 'LOST'}  {finding.what:{width}}  {finding.told}")
    return 0 if findings and all(finding.is_so for finding in findings) else 1
