"""Frozen dataclasses <-> JSON values, for the control socket and for ``--json``.

Generic: this module knows no field by name. Reading is strict about types and generous about versions: a field
that is missing takes its default and an unknown one is dropped, so that a newer command can talk to an older
daemon. ``from_json(type(x), to_json(x)) == x`` for every dataclass made of the types below.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, Union

T = TypeVar("T")


def to_json(value: object) -> Any:
    """``value`` as what :func:`json.dumps` takes. Dataclasses become objects, tuples arrays, paths, enums and
    times (ISO 8601) text; bytes do not travel."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[T], data: object) -> T:
    """The ``kind`` that ``data`` describes.

    Raises ``ValueError`` if a value is of another type than its field, or a field without default is missing.
    """
    result: T = _read(kind, data, kind.__name__)
    return result


def _read(kind: Any, data: object, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, Union):
        return _read_union(args, data, where)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        items = _expect(list, data, where)
        return tuple(_read(args[0], item, f"{where}[{number}]") for number, item in enumerate(items))
    if origin is dict:
        table = _expect(dict, data, where)
        return {key: _read(args[1], item, f"{where}.{key}") for key, item in table.items()}
    if isinstance(kind, type) and issubclass(kind, (enum.Enum, Path)):
        return kind(_expect(str, data, where))  # enums on the wire are StrEnums
    if kind is dt.datetime:
        return dt.datetime.fromisoformat(_expect(str, data, where))
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    return data if kind is Any else _expect(kind, data, where)


def _read_dataclass(kind: Any, data: object, where: str) -> Any:
    table = _expect(dict, data, where)
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name in table]
    try:
        return kind(**{name: _read(hints[name], table[name], f"{where}.{name}") for name in names})
    except TypeError as exc:  # a field without default is missing
        raise ValueError(f"{where}: {exc}") from exc


def _read_union(kinds: tuple[Any, ...], data: object, where: str) -> Any:
    if data is None and type(None) in kinds:
        return None
    (kind,) = (kind for kind in kinds if kind is not type(None))  # only ``X | None`` is used
    return _read(kind, data, where)


def _expect(kind: type[T], data: object, where: str) -> T:
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise ValueError(f"{where}: {kind.__name__} expected, got {type(data).__name__}")
    return data
