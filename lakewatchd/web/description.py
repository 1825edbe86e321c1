"""The API as OpenAPI describes it, made to say just what is sent.

FastAPI takes every time for one with a zone; ours are as the clock on the wall showed them, and have none.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"


def described(site: FastAPI) -> dict[str, Any]:
    """The description; made once."""
    if site.openapi_schema is None:
        plain = get_openapi(title=site.title, version=site.version, description=site.description, routes=site.routes)
        plain["components"]["schemas"] = _refined(plain["components"]["schemas"])
        site.openapi_schema = plain
    return site.openapi_schema


def _refined(part: Any) -> Any:
    if isinstance(part, list):
        return [_refined(one) for one in part]
    if not isinstance(part, dict):
        return part
    part = {name: _refined(one) for name, one in part.items()}
    if part.get("format") == "date-time":
        return {**{name: one for name, one in part.items() if name != "format"}, "pattern": _TIME}
    if "prefixItems" in part:  # a tuple; few programs that read descriptions know the word
        part["items"] = {"anyOf": part.pop("prefixItems")}
    return part
