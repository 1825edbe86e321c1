"""``python -m tests.nfs``: the view handed on by a real server of NFS 4, read back byte by byte by a real client.

``ganesha.nfsd`` exports a mounted view on a free port with the settings of docs/howto/the-view.md, ``nfs-cat`` and
``nfs-ls`` read all of it. Then the view is killed under the server, and both are started anew. Needs root, and
``scripts/setup-system --nfs``. Prints a table; exit 0 if every byte came.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.findings import Finding, exit_code
from tests.fuse.conftest import Lake
from tests.samba import free_port

CONTENTS = {f"{'d' * (number % 3 + 1)}/{number} é.bin": os.urandom(1 + number * 70_001) for number in range(20)}
CONFIG = """
NFS_CORE_PARAM {{ NFS_Port = {port}; Protocols = 4; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSv4 {{ RecoveryRoot = "{home}"; Graceless = true; Allow_Numeric_Owners = true; Only_Numeric_Owners = true; }}
{export}
"""


class Ganesha:
    def __init__(self, home: Path, export: str) -> None:
        home.mkdir()
        self.port = free_port()
        config = home / "ganesha.conf"
        config.write_text(CONFIG.format(port=self.port, home=home, export=export))
        command = ["ganesha.nfsd", "-F", "-f", config, "-L", home / "log", "-p", home / "pid"]
        self.process = subprocess.Popen(command, start_new_session=True)
        until = time.monotonic() + 60
        while True:
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(f"ganesha.nfsd did not start:\n{(home / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def ask(self, program: str, path: str) -> bytes:
        """What ``nfs-ls`` or ``nfs-cat`` prints about a path of the view."""
        url = f"nfs://127.0.0.1/lake/{path}?version=4&nfsport={self.port}"
        done = subprocess.run([program, url], capture_output=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="lakewatchd-nfs-"))
    lake = Lake(folder)
    ids = [lake.add(path, content) for path, content in CONTENTS.items()]
    lake.answers({"red car": {"hits": ids[:1]}})
    howto = Path(__file__).resolve().parents[1] / "docs" / "howto" / "the-view.md"
    shown = howto.read_text().split("```ganesha\n")[1].split("```")[0]
    export = shown.replace("/mnt/lake", str(lake.mount))
    results = list[Finding]()
    server = None
    try:
        assert lake.start() == "mounted"
        server = Ganesha(folder / "one", export)
        same = sum(server.ask("nfs-cat", f"by-root/photos/{path}") == content for path, content in CONTENTS.items())
        results.append(Finding("every file byte by byte", same == len(CONTENTS), f"{same} of {len(CONTENTS)} files"))
        listed = server.ask("nfs-ls", "search/red car").decode()
        results.append(Finding("a search, by naming its folder", "0001 0 é.bin" in listed, listed.strip()[-12:]))
        lake.end(signal.SIGKILL)
        gone = server.ask("nfs-ls", "by-tag/sea").decode()
        results.append(
            Finding(
                "a killed view is an error", "NFS4ERR" in gone, "NFS4ERR" + gone.rpartition("NFS4ERR")[2].strip()[:12]
            )
        )
        assert lake.start() == "mounted"
        server.stop()
        server = Ganesha(folder / "two", export)
        listed = server.ask("nfs-ls", "by-tag/sea").decode()
        count = listed.count(".bin")
        results.append(Finding("after both are started again", count == len(CONTENTS), f"{count} files"))
    finally:
        if server is not None:
            server.stop()
        if lake.process is not None:
            lake.end()
        shutil.rmtree(folder, ignore_errors=True)
    return exit_code(results)


if __name__ == "__main__":
    sys.exit(main())
