"""A household that a real daemon has indexed, its gallery over HTTP, and a real Chromium to look at it.

The invariant: whoever visits a page by :class:`Visit` is told, at the end, of every request that went elsewhere and of
every error that the page met.
"""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from lakewatchd.testing import LiveDaemon, wait_until
from tests.gallery import household
from tests.servers import free_ports

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
DESKTOP, PHONE = (1280, 800), (390, 844)
PATIENCE_S = 60
expect.set_options(timeout=PATIENCE_S * 1000)
_WATCH = """
window.seen = {shift: 0, moved: []};
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    seen.shift += entry.value;
    seen.moved.push(...entry.sources.map(({node}) => node?.className ?? String(node)));
  }
}).observe({type: "layout-shift", buffered: true});
// Short messages, and what they offer, stay: on a busy machine a test may be slower than a person.
const timeout = window.setTimeout;
window.setTimeout = (act, ms, ...more) => timeout(act, [6000, 8000].includes(ms) ? 600_000 : ms, ...more);
"""


@dataclass(slots=True)
class Lab:
    daemon: LiveDaemon
    url: str

    def get(self, path: str, **query: object) -> Any:
        """What the API says."""
        found = f"{self.url}{path}?{urllib.parse.urlencode(query, doseq=True)}"
        with urllib.request.urlopen(found, timeout=60) as answer:
            return json.load(answer)

    @property
    def root(self) -> Path:
        return self.daemon.root

    @property
    def ids(self) -> dict[str, str]:
        """Asset by the path it is shown from, below the root."""
        import lance

        table = lance.dataset(str(self.daemon.state / "lake" / "gold_assets.lance"))
        rows = table.to_table(columns=["best_path", "asset_id"]).to_pylist()
        return {row["best_path"]: row["asset_id"] for row in rows}


@contextmanager
def indexed(base: Path, models: Path) -> Iterator[Lab]:
    """The daemon, until the end, with all of the household in its lake."""
    household.make(base / "nas")
    (port,) = free_ports(1)
    settings = f'[web]\nlisten = "127.0.0.1:{port}"\n\n[models]\nocr = "off"\n'
    with LiveDaemon(base / "d", base / "nas", models=models, settings=settings) as daemon:
        daemon.wait_idle(600)
        lab = Lab(daemon, f"http://127.0.0.1:{port}")
        # The first question waits for models, and no longer than a person would: then it is answered without them
        wait_until(lambda: not lab.get("/api/search", q="a cat")["is_partial"], 300, "all doors of search are open")
        yield lab


@contextmanager
def chromium() -> Iterator[Browser]:
    """Knows no host but this one."""
    with sync_playwright() as play:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visit:
    """Opens pages of one gallery, each in a window of its own."""

    browser: Browser
    url: str
    troubles: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()
    """Parts of messages that belong to what is tried."""

    def __call__(self, path: str, *, size: tuple[int, int] = DESKTOP, scheme: Any = "light", **options: Any) -> Page:
        """``options`` as of ``Browser.new_context``. Shown when the first of its content is."""
        options = {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme, **options}
        page = self.browser.new_context(locale="en-GB", **options).new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.add_init_script(_WATCH)
        page.on("request", self._requested)
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("console", self._said)
        page.goto(self.url + path)
        page.wait_for_selector("main > *, .stage")
        return page

    def end(self) -> None:
        for context in self.browser.contexts:
            context.close()
        assert not self.troubles, self.troubles

    @cached_property
    def _own(self) -> tuple[str, ...]:
        return (self.url + "/", "data:", "blob:")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith(self._own):
            self.troubles.append(f"outside: {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        is_missing_thumb = "/thumb" in (message.location or {}).get("url", "") and "404" in message.text
        if message.type == "error" and not is_missing_thumb and not any(part in message.text for part in self.allowed):
            self.troubles.append(f"console: {message.text}")


def until(page: Page, expression: str) -> None:
    """Waits for what Playwright's own way would have the page evaluate, which its Content-Security-Policy forbids."""
    wait_until(lambda: page.evaluate(expression), PATIENCE_S, expression)


def shift(page: Page) -> float:
    """How far what was seen has jumped, without anybody's doing: CLS."""
    return float(page.evaluate("seen.shift"))


def first_paint_ms(page: Page) -> float:
    return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))


def serious(page: Page) -> list[str]:
    """What axe finds that keeps somebody out, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target'][0]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
