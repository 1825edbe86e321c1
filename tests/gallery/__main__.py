"""A walk through the gallery: every page in a real Chromium, on a desktop and a phone, light and dark.

    python -m tests.gallery                     # all: axe, requests elsewhere, first paint, jumps, 100 000 assets
    python -m tests.gallery --axe               # what keeps somebody out, only
    python -m tests.gallery --pictures DIR      # also screenshots: scripts/screenshots keeps some of them

Ends with 1 where axe finds something serious, a page asks elsewhere or meets an error, or something jumps.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.gallery.crowd import serving
from tests.gallery.lab import DESKTOP, PHONE, Lab, Visit, chromium, first_paint_ms, indexed, serious, shift, until

MODELS = Path(__file__).resolve().parents[2] / ".cache" / "models"
CROWD = 100_000
JUMP = {"everything": 0.01, "search": 0.01}
"""How far a page may jump: of lists nothing may, of others no more than what counts as good."""
QUIET_MS = 1200
"""After the last request: what fades in has faded in."""
_SCROLL = """async ([step, frames]) => {
  const times = [];
  let last = performance.now();
  for (let frame = 0; frame < frames; frame++) {
    scrollBy(0, step);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor((times.length - 1) * share)];
  return {median: at(0.5), p95: at(0.95), worst: at(1), slow: times.filter((time) => time > 50).length};
}"""


def places(lab: Lab) -> dict[str, str]:
    """Pages by the name of their pictures."""
    ids = lab.ids
    recording = next((name for path, name in ids.items() if path.startswith("Recordings/")), "")
    return {
        "everything": "/",
        "search": "/search?q=garden",
        "nothing": "/search?q=%22xyzzy+plugh%22",
        "photo": f"/asset/{ids['Travel/Summer Palace.jpg']}",
        "document": f"/asset/{ids['Documents/contract.pdf']}?page=3",
        "table": f"/asset/{ids['Documents/travel costs.xlsx']}",
        "film": f"/asset/{ids['Films/bigbuckbunny.mp4']}?t=2",
        **({"recording": f"/asset/{recording}"} if recording else {}),
        "tags": "/tags",
        "duplicates": "/duplicates",
        "status": "/status",
        "ask": "/ask?q=when+is+the+rent+due",
    }


def walk(lab: Lab, browser: Browser, pictures: Path | None, *, only_axe: bool) -> list[str]:
    """All pages; what is wrong with them."""
    wrong = []
    for look, size, scheme in (("light", DESKTOP, "light"), ("dark", DESKTOP, "dark"), ("phone", PHONE, "light")):
        for name, path in places(lab).items():
            visit = Visit(browser, lab.url)
            page = visit(path, size=size, scheme=scheme, has_touch=size == PHONE, device_scale_factor=1)
            settle(page)
            found = serious(page)
            moved, paint = shift(page), first_paint_ms(page)
            if not only_axe:
                print(f"{look:6} {name:11} first paint {paint:5.0f} ms  shift {moved:.3f}  axe {len(found)}")
                if moved > JUMP.get(name, 0.1):
                    wrong.append(f"{look} {name}: jumps by {moved:.3f}: {page.evaluate('seen.moved')}")
            if pictures:
                page.screenshot(path=pictures / f"{name}-{look}.png")
            wrong += [f"{look} {name}: {one}" for one in found]
            try:
                visit.end()
            except AssertionError as exc:
                wrong.append(f"{look} {name}: {exc}")
    return wrong


def settle(page: Page) -> None:
    until(page, "!document.querySelector('[aria-busy=true]')")
    page.wait_for_timeout(QUIET_MS)
    until(page, "[...document.images].every((image) => image.complete || image.loading === 'lazy')")


def crowded(browser: Browser) -> list[str]:
    """Scrolls through very many assets; what is wrong."""
    with serving(CROWD) as url:
        visit = Visit(browser, url)
        page = visit("/")
        page.wait_for_selector(".tile img.is-there")
        print(f"\n{CROWD} assets: first paint {first_paint_ms(page):.0f} ms; frames of the scroll, ms")
        for name, step, frames in (("reading", 40, 240), ("flicking", 400, 120), ("back up", -60, 240)):
            times = page.evaluate(_SCROLL, [step, frames])
            print(f"{name:9} median {times['median']:.0f}  p95 {times['p95']:.0f}  worst {times['worst']:.0f}  "
                  f"over 50 ms: {times['slow']} of {frames}")  # fmt: skip
        tiles, heap = page.locator(".tile").count(), page.evaluate("performance.memory.usedJSHeapSize / 1e6")
        moved = shift(page)
        print(f"{tiles} pictures in the page, {heap:.0f} MB of script, shift {moved:.3f}")
        wrong = [f"scrolling jumps by {moved:.3f}: {page.evaluate('seen.moved')}"] if moved > 0.01 else []
        visit.end()
        return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gallery", description=__doc__.split("\n")[0])
    parser.add_argument("--axe", action="store_true", help="accessibility only")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="keep a screenshot of every page here")
    args = parser.parse_args()
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gallery-") as base, chromium() as browser:
        with indexed(Path(base), MODELS) as lab:
            wrong = walk(lab, browser, args.pictures, only_axe=args.axe)
        if not args.axe:
            wrong += crowded(browser)
    print("\n".join(wrong) or "\nnothing serious, nothing asked elsewhere, nothing jumps")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
