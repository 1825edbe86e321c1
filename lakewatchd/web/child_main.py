"""The web process: ``python -m lakewatchd.web.child_main``, started by :mod:`lakewatchd.daemon.web` only.

It gets sockets that listen already, loads its libraries, encloses itself, and then has one call to answer: to serve,
until the daemon is gone or ends it. Where it only receives events it gives up all but talking on what is open; of
tokens it knows hashes only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lakewatchd import telemetry
from lakewatchd.child import Json, Operation, Parent, arguments, serve
from lakewatchd.config import Config
from lakewatchd.confine import confine, enclose
from lakewatchd.core.status import Layer
from lakewatchd.core.wire import from_json, to_json
from lakewatchd.errors import ConfigError
from lakewatchd.web.app import App, Site
from lakewatchd.web.courier import Courier, Exchange
from lakewatchd.web.events import Events
from lakewatchd.web.gate import Gate, Key
from lakewatchd.web.tokens import Strikes
from lakewatchd.web.wire import BACKLOG, Settings

LAST_S = 3
"""How long requests under way may take when another process is to take over."""
ROOTS_S = 10.0
"""How often it is looked whether other directories lie where the roots were: only a new process may read them."""


def operations(parent: Parent) -> dict[str, Operation]:
    try:
        import uvicorn.lifespan.off  # noqa: F401 - what uvicorn itself would load only when it is too late

        import lakewatchd.web.connection  # noqa: F401
    except ImportError as exc:
        raise ConfigError(f"HTTP needs {exc.name}", "pip install 'lakewatchd[web]'") from exc
    runner = asyncio.Runner()
    runner.get_loop()  # opens what it needs
    asking = ThreadPoolExecutor(1, thread_name_prefix="ask")
    asking.submit(int).result()  # starts: later there may be no right to

    async def exchange(letter: Json) -> Json:
        return await asyncio.get_running_loop().run_in_executor(asking, parent.ask, letter)

    def answer_all(args: Json, blobs: tuple[bytes, ...]) -> tuple[Json, tuple[()]]:
        settings = from_json(Settings, args)
        telemetry.set_up_logging(settings.log_level)
        layers = _shut_in(settings)
        parent.note({"layers": [to_json(layer) for layer in layers]})
        with runner, contextlib.ExitStack() as held:
            listeners = [held.enter_context(socket.socket(fileno=int(fd))) for fd in arguments()]
            runner.run(answer(settings, listeners, exchange))
        return {}, ()

    return {"serve": answer_all}


def _shut_in(settings: Settings) -> tuple[Layer, ...]:
    if settings.config is None:
        layers = confine([], is_server=True)
        if not all(layer.holds for layer in layers):  # the next best: no more processes, nor threads, except for root
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        return layers
    import lakewatchd.web.desk
    import lakewatchd.web.site  # noqa: F401 - loaded while anything may be
    from lakewatchd.web.ground import ground_of

    return enclose(ground_of(settings.config))


async def answer(settings: Settings, listeners: list[socket.socket], exchange: Exchange) -> None:
    """Answers who comes to ``listeners``, and tells the daemon. Ends with the process, or when another one would see
    more."""
    import uvicorn

    from lakewatchd.web.connection import IDLE_S, Connection, Door

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """None: the end comes from the daemon."""
            yield

    courier = Courier(exchange, settings.max_waiting)
    strikes = Strikes(asyncio.get_running_loop().time)
    async with _site(settings, listeners, strikes) as site:
        app = App(Events(settings, courier, strikes), site)
        door = Door(app.refuse)
        config = uvicorn.Config(
            app,
            http=functools.partial(Connection, door=door),  # type: ignore[arg-type]  # it is called as a class would be
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="error",  # what strangers send is no news
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(IDLE_S),
            timeout_graceful_shutdown=LAST_S,
            backlog=BACKLOG,
        )
        async with asyncio.TaskGroup() as tasks:
            server = Server(config)
            serving = tasks.create_task(server.serve(listeners), name="server")
            clock = tasks.create_task(door.watch_the_clock(), name="clock")
            talking = tasks.create_task(_talk(courier), name="courier")
            if settings.config is not None:
                await _roots_moved(settings.config)
                server.should_exit = True  # those who were heard are answered, the next process hears the others
                await asyncio.wait({serving})
                for task in (clock, talking):
                    task.cancel()


async def _talk(courier: Courier) -> None:
    try:
        await courier.run()
    except (EOFError, ConnectionError):
        os._exit(0)  # the daemon is gone, or wants no more of us: nobody can be answered


@contextlib.asynccontextmanager
async def _site(settings: Settings, listeners: list[socket.socket], strikes: Strikes) -> AsyncIterator[Site | None]:
    if settings.config is None:
        yield None
        return
    from lakewatchd.web.desk import open_desk
    from lakewatchd.web.site import make_site

    web = settings.config.web
    key = Key(bytes.fromhex(settings.token_sha256)) if settings.token_sha256 else None
    tcp = next((one for one in listeners if one.family != socket.AF_UNIX), None)
    listens_at = str(tcp.getsockname()[0]) if tcp is not None else ""
    gate = Gate(key, listens_at, web.allowed_hosts, strikes)
    async with open_desk(settings.config) as desk:
        yield Site(gate, make_site(desk, gate))


async def _roots_moved(config: Config) -> None:
    """Returns when a root is another directory than at the first look: it was mounted, or unmounted."""
    known = await asyncio.to_thread(_identities, config)
    while await asyncio.to_thread(_identities, config) == known:  # noqa: ASYNC110 - of the disk nobody tells
        await asyncio.sleep(ROOTS_S)


def _identities(config: Config) -> list[tuple[int, int] | None]:
    return [_identity(root.path) for root in config.roots]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


if __name__ == "__main__":
    sys.exit(serve(operations))
