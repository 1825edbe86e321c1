"""Settings as a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from lakewatchd.config.whole import SECTIONS, Config
from lakewatchd.core.typed_toml import secret_fields


def to_toml(config: Config) -> str:
    """The effective settings as a file that :func:`parse` reads back to the same values. Secrets are left out."""
    blocks = [_block("[[root]]", root) for root in config.all_roots]
    blocks += [_block(f"[{name}]", getattr(config, name)) for name in SECTIONS]
    return "\n".join(blocks)


def _block(header: str, section: object) -> str:
    return "\n".join([header, *_key_values(section)]) + "\n"


def _key_values(section: object) -> Iterator[str]:
    secret = secret_fields(type(section))
    for item in dataclasses.fields(section):  # type: ignore[arg-type]  # a section is a dataclass
        value = getattr(section, item.name)
        if value is not None:
            yield f"# {item.name} is set" if item.name in secret and value else f"{item.name} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
