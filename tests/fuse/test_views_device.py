"""The conversation with the kernel, where what answers it fails."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakewatchd.config import ViewConfig
from lakewatchd.views.mounted import mountpoint, wire
from lakewatchd.views.mounted.device import Answer, Device
from lakewatchd.views.mounted.wire import Ask

pytestmark = pytest.mark.fuse


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing: nothing can be mounted here")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], capture_output=True, check=False)


def broken(opcode: int, inode: int, _body: memoryview) -> Answer:
    if opcode == Ask.LOOKUP:
        raise ValueError("a bug")
    if opcode == Ask.GETATTR:
        return wire.attributes_for(wire.attributes(inode, wire.FOLDER_MODE, 2, 0, 0, (0, 0)), 0)
    raise OSError(errno.ENOSYS, "not here")


async def test_after_a_bug_nobody_waits_for_an_answer_for_ever(place: Path) -> None:
    options, loop = mountpoint.options_of(ViewConfig()), asyncio.get_running_loop()
    device = await asyncio.to_thread(Device, place, options, loop)
    serving = asyncio.create_task(device.serve(broken))
    try:
        with pytest.raises(OSError, match="Input/output"):
            await asyncio.to_thread(os.stat, place / "first")
        with pytest.raises(ValueError, match="a bug"):
            await serving
        asked = asyncio.create_task(asyncio.to_thread(os.stat, place / "later"))
        answered, _ = await asyncio.wait({asked}, timeout=60)  # a notice of that folder waits for it, in the kernel
    finally:
        device.close()
    assert answered
    with pytest.raises(OSError, match="Input/output"):
        await asked
