"""A bucket as what a daemon watches: it is made to hold what lies in a directory, and so any case can be played on it.

An object bears the time of its file as rclone notes it, and all else that the oracle compares is of the content: so two
buckets of the same directory lead to the same lake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.corpus import Originals
from tests.servers import S3Server


@dataclass(slots=True)
class BucketRoot:
    """A bucket of its own on ``server``. Keys are the relative paths, whatever they hold."""

    server: S3Server
    name: str = ""
    _held: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Key -> inode and modification time of the file that was put last."""

    def __post_init__(self) -> None:
        self.name = self.server.make_bucket(self.name)

    def settings(self, root: str) -> str:
        """Its ``[[root]]``. With keys: the view reads objects, too."""
        keys = f'access_key = "{self.server.access_key}"\nsecret_key = "{self.server.secret_key}"\n'
        return f'\n[[root]]\nname = "{root}"\nbucket = "{self.name}"\nendpoint = "{self.server.endpoint}"\n{keys}'

    def mirror(self, directory: Path) -> None:
        """Put what is new or changed there, then remove what is gone: one after the other, as people do."""
        client, wanted = self.server.client(), _files(directory)
        for key, mark in wanted.items():
            if self._held.get(key) != mark:
                noted = {"mtime": str(mark[1] // 10**9)}
                client.fput_object(self.name, key, str(directory / key), metadata=noted)
        for key in self._held.keys() - wanted.keys():
            client.remove_object(self.name, key)
        self._held = wanted

    def originals(self) -> Originals:
        """Key -> etag, time of change and size: what must be the same before and after."""
        listed = self.server.client().list_objects(self.name, recursive=True)
        return {
            f"s3:{item.object_name}": (str(item.etag), int(item.last_modified.timestamp()), item.size or 0)
            for item in listed
            if item.last_modified is not None
        }


def _files(directory: Path) -> dict[str, tuple[int, int]]:
    found = ((path, path.stat()) for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): (stat.st_ino, stat.st_mtime_ns) for path, stat in found}
