"""The servers of the tests themselves: they keep what they have, and none is left behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import servers

from lakewatchd.testing import wait_until


def test_a_gateway_that_was_killed_goes_on_with_its_data(tmp_path: Path) -> None:
    with servers.juicefs_gateway(tmp_path) as gateway:
        bucket, client = gateway.make_bucket(), gateway.client()
        client.put_object(bucket, "a", io.BytesIO(b"x"), 1)
        gateway.restart()
        assert [item.object_name for item in client.list_objects(bucket, recursive=True)] == ["a"]
        pid = gateway.pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = f"""
import pathlib, time, servers
with servers.mosquitto(pathlib.Path({str(tmp_path)!r})) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(servers.__file__).parent), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert b"mosquitto" in Path(f"/proc/{pid}/cmdline").read_bytes()
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())
