"""``python -m tests.samba``: the view handed on by a real Samba, read back byte by byte by a real client.

A view is mounted over files with names that Windows could not have, exported by ``smbd`` on a free port with the
settings of docs/howto/the-view.md, and fetched whole by ``smbclient``. Then a search is made through it, the view is
killed under it and started anew. Prints a table; exit 0 if every byte came.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tests.findings import Finding, exit_code
from tests.fuse.conftest import Lake

ILLEGAL = '"*:<>?|\\'
MAPPED = "".join(chr(0xF000 + ord(sign)) for sign in ILLEGAL)
NAMES = (
    "plain.jpg", "two words.jpg", "Üñï/ço dé.jpg", "日本/語.jpg", "💥.jpg",
    "a:b.jpg", "what?.jpg", "x<y>z|.jpg", "back\\slash.jpg",
    'q"uote*.jpg', "AUX", "con.txt", "-rf", "~", "n" * 255, "é" * 127, "Case.jpg", "case.jpg", "%2F", ".hidden",
    "a.b.c.",    " leading.jpg", "trailing ",
)  # fmt: skip
CONFIG = """
[global]
  server role = standalone server
  smb ports = {port}
  interfaces = lo
  bind interfaces only = yes
  disable netbios = yes
  map to guest = Bad User
  guest account = {user}
  private dir = {home}
  lock directory = {home}
  state directory = {home}
  cache directory = {home}
  pid directory = {home}
  ncalrpc dir = {home}/ncalrpc
  log file = {home}/log.smbd
  load printers = no
  disable spoolss = yes

{share}
"""


def share(howto: Path, mount: Path) -> str:
    """The share that the how-to shows, for this mount, and open to guests."""
    shown = howto.read_text().split("```ini\n")[1].split("```")[0]
    return shown.replace("/mnt/lake", str(mount)) + "\n  guest ok = yes\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Samba:
    def __init__(self, home: Path, share: str) -> None:
        self.home, self.port = home, free_port()
        user = os.environ.get("SUDO_USER") or subprocess.check_output(["id", "-un"], text=True).strip()
        home.mkdir(mode=0o755)
        config = home / "smb.conf"
        config.write_text(CONFIG.format(port=self.port, home=home, user=user, share=share))
        command = ["/usr/sbin/smbd", "--foreground", "--no-process-group", f"--configfile={config}"]
        # in a session of its own: when it ends, it ends its process group
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 60
        while True:
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(f"smbd did not start: see {home}/log.smbd")
            time.sleep(0.05)

    def do(self, *command: str) -> str:
        """What ``smbclient`` prints."""
        client = ["smbclient", "//127.0.0.1/lake", "--port", str(self.port), "--no-pass", *command]
        done = subprocess.run(
            client, capture_output=True, text=True, errors="surrogateescape", timeout=120, check=False
        )
        return done.stdout + done.stderr

    def fetch(self, folder: str, into: Path) -> dict[str, bytes]:
        """All files below ``folder``, by name as the client sees it."""
        self.do("--directory", folder, "-Tc", str(into))
        with tarfile.open(into, errors="surrogateescape") as files:
            taken = {
                member.name.removeprefix("./").removeprefix(f"{folder}/"): files.extractfile(member)
                for member in files
                if member.isfile()
            }
            return {name: content.read() for name, content in taken.items() if content is not None}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def seen_by_windows(name: str) -> str:
    return name.translate(str.maketrans(ILLEGAL, MAPPED))


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="lakewatchd-samba-"))
    folder.chmod(0o755)
    lake = Lake(folder)
    contents = {name: os.urandom(1 + 7919 * at) for at, name in enumerate(NAMES)}
    contents["large.bin"] = os.urandom(30 << 20)
    ids = {name: lake.add(name, content) for name, content in contents.items()}
    lake.answers({"red car": {"hits": [ids["plain.jpg"], ids["日本/語.jpg"]]}})
    howto = Path(__file__).resolve().parents[1] / "docs" / "howto" / "the-view.md"
    results = list[Finding]()
    samba = None
    try:
        assert lake.start() == "mounted"
        samba = Samba(folder / "smbd", share(howto, lake.mount))
        began = time.monotonic()
        fetched = samba.fetch("by-root/photos", folder / "tar")
        took_s = time.monotonic() - began
        wanted = {seen_by_windows(name): content for name, content in contents.items()}
        same = sum(fetched.get(name) == content for name, content in wanted.items())
        lost = [name for name, content in wanted.items() if fetched.get(name) != content]
        megabytes = sum(map(len, fetched.values())) / 1e6
        told = f"{same} of {len(wanted)} files, {megabytes:.1f} MB in {took_s:.1f} s" + (
            f"; lost: {lost}" if lost else ""
        )
        results.append(Finding("every file by its name, byte by byte", fetched == wanted, told))

        found = samba.fetch("search/red car", folder / "tar")
        right = {"0001 plain.jpg": contents["plain.jpg"], "0002 語.jpg": contents["日本/語.jpg"]}
        results.append(Finding("a search, by naming its folder", found == right, ", ".join(found)))

        said = samba.do("--command", 'put /etc/hostname "by-root/photos/new"; del "by-root/photos/plain.jpg"; mkdir x')
        untouched = (lake.root / "plain.jpg").read_bytes() == contents["plain.jpg"]
        refused = said.count("NT_STATUS_") >= 3 and untouched
        results.append(Finding("writing, deleting, making folders is refused", refused, said.split()[0]))

        lake.end(signal.SIGKILL)
        gone = samba.do("--directory", "by-tag", "--command", "ls")
        assert lake.start() == "mounted"
        until = time.monotonic() + 60
        while "sea" not in samba.do("--directory", "by-tag", "--command", "ls") and time.monotonic() < until:
            time.sleep(0.2)
        back = samba.fetch("by-kind/image", folder / "tar")
        is_back = "NT_STATUS" in gone and len(back) == len(contents)
        results.append(Finding("a killed view is an error, and the next is found", is_back, f"{len(back)} files"))
    finally:
        if samba is not None:
            samba.stop()
        if lake.process is not None:
            lake.end()
        shutil.rmtree(folder, ignore_errors=True)
    return exit_code(results)


if __name__ == "__main__":
    sys.exit(main())
