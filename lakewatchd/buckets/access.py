"""Who asks a server: where the two keys of a bucket are found.

The invariant: a secret is in no message, no ``repr`` and no log; and a place that was named is used or complained
about, never passed over for the next one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakewatchd.config import BucketConfig, LakeConfig
from lakewatchd.errors import ConfigError

_MAX_BYTES = 65_536
_LINE = re.compile(r"""\s*([A-Za-z_]+)\s*[=:]\s*(?:"([^"]*)"|'([^']*)'|(\S*))\s*""")
_SPELLINGS = {
    "access_key": "access_key",
    "aws_access_key_id": "access_key",
    "secret_key": "secret_key",
    "aws_secret_access_key": "secret_key",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    origin: str = "none: anonymous"
    """Where they were found, for people."""

    @property
    def are_given(self) -> bool:
        return bool(self.access_key)


def credentials_of(settings: BucketConfig | LakeConfig, environ: Mapping[str, str] = os.environ) -> Credentials:
    """The keys of a bucket, from the first of these places that has them.

    1. ``credentials``: a file, or the name of a credential of systemd; 2. ``access_key`` and ``secret_key`` of the
    configuration; 3. the credential of systemd that is named like the root (``lake`` for the lake's);
    4. ``LAKEWATCHD_<NAME>_ACCESS_KEY`` and ``…_SECRET_KEY``; 5. ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``;
    6. nowhere: the server is asked without.

    Reads files, so that keys which were changed are found by calling it again. Raises :class:`ConfigError`.
    """
    name = settings.name if isinstance(settings, BucketConfig) else "lake"
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if settings.credentials:
        return _named(settings.credentials, name, directory)
    if settings.access_key:
        return Credentials(settings.access_key, settings.secret_key, "the configuration")
    if directory and os.path.lexists(Path(directory) / name):
        return _read(Path(directory) / name, f"systemd credential {name}")
    own = f"LAKEWATCHD_{name.upper().replace('-', '_')}"
    for access, secret in (
        (f"{own}_ACCESS_KEY", f"{own}_SECRET_KEY"),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ):
        keys = environ.get(access, ""), environ.get(secret, "")
        if any(keys) and not all(keys):
            given, missing = (access, secret) if keys[0] else (secret, access)
            raise ConfigError(f"environment: {given} is set and {missing} is not", f"set {missing} too, or none")
        if all(keys):
            return Credentials(*keys, origin=f"environment, {access}")
    return Credentials()


def _named(place: str, name: str, directory: str) -> Credentials:
    if place.startswith("/"):
        return _read(Path(place), place, is_ours=True)
    if not directory:
        message = f"root {name}: credential {place!r} is wanted, and systemd started no part of this"
        raise ConfigError(
            message, f"LoadCredential={place}:FILE in the unit; elsewhere name a file: credentials = '/…'"
        )
    return _read(Path(directory) / place, f"systemd credential {place}")


def _read(path: Path, origin: str, *, is_ours: bool = False) -> Credentials:
    """``is_ours``: a file of a person, whose mode is looked at; those of systemd are kept by systemd."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would make us wait
        try:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{origin}: no file", "name a file with access_key and secret_key")
            if is_ours and mode & 0o007:
                raise ConfigError(f"{origin}: anybody can read the keys in it", f"chmod 600 {path}")
            text = os.read(fd, _MAX_BYTES).decode()
        finally:
            os.close(fd)
    except FileNotFoundError as exc:
        fix = "name the file that holds the keys" if is_ours else f"LoadCredential={path.name}:FILE in the unit"
        raise ConfigError(f"{origin}: no such file", fix) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{origin}: not text", "two lines are expected: access_key = … and secret_key = …") from exc
    except OSError as exc:
        raise ConfigError(f"{origin}: {exc.strerror}", f"let the daemon's user read {path}") from exc
    keys = _parse(text)
    if not all(keys.values()):
        missing = " and ".join(key for key, value in keys.items() if not value)
        raise ConfigError(f"{origin}: no {missing} in it", "two lines are expected: access_key = … and secret_key = …")
    return Credentials(keys["access_key"], keys["secret_key"], origin)


def _parse(text: str) -> dict[str, str]:
    """``access_key = …`` and ``secret_key = …``, also as AWS spells them; of its profiles the one named default."""
    keys = {"access_key": "", "secret_key": ""}
    is_default = True
    for line in text.splitlines():
        if line.strip().startswith("["):
            is_default = line.strip().lower() == "[default]"
        elif is_default and (match := _LINE.fullmatch(line)) and (key := _SPELLINGS.get(match[1].lower())):
            keys[key] = keys[key] or match[2] or match[3] or match[4] or ""
    return keys
