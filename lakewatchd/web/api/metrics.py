"""``/metrics``: the daemon's status and the traffic here, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from lakewatchd.core.measures import exposition
from lakewatchd.core.status import Status
from lakewatchd.core.wire import from_json
from lakewatchd.errors import LakewatchError
from lakewatchd.web.desk import TheDesk

router = APIRouter(tags=["status"])


@router.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
async def metrics(desk: TheDesk) -> Response:
    """In the text format of Prometheus. While the daemon is away, `lakewatchd_daemon_up` is 0."""
    lines = ["# TYPE lakewatchd_daemon_up gauge"]
    try:
        status = from_json(Status, await desk.daemon.ask("status"))
        lines += ["lakewatchd_daemon_up 1.0", *exposition(status)]
    except LakewatchError:
        lines += ["lakewatchd_daemon_up 0.0"]
    text = "\n".join([*lines, *desk.traffic.exposition()]) + "\n"
    return Response(text, headers={"Cache-Control": "no-store"}, media_type="text/plain; version=0.0.4")
