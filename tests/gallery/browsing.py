"""Finding and browsing: grid, search, filters, keys."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect

from lakewatchd.testing import wait_until
from tests.gallery.lab import PHONE, Lab, Visit, serious, shift, until


def loaded(page: Page) -> None:
    """All that is in sight has arrived."""
    page.wait_for_selector(".tile, .hit, .empty")
    until(page, "[...document.images].every((image) => image.complete || image.loading === 'lazy')")


def active(page: Page) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"))


def test_the_grid_shows_everything_by_month_and_nothing_jumps(lab: Lab, visit: Visit) -> None:
    page = visit("/")
    loaded(page)
    months = lab.get("/api/timeline")
    names = set[str]()
    page.mouse.move(400, 400)

    def seen() -> bool:
        names.update(page.eval_on_selector_all(".tile", "tiles => tiles.map((tile) => tile.pathname)"))
        is_below = page.evaluate("scrollY + innerHeight >= document.body.scrollHeight - 2")
        page.mouse.wheel(0, -100_000 if is_below else 400)
        loaded(page)
        return len(names) == sum(month["count"] for month in months)

    wait_until(seen, what="the grid shows each asset")
    assert shift(page) < 0.001, page.evaluate("seen.moved")
    assert serious(page) == []


def test_pictures_have_their_places_before_they_arrive(visit: Visit) -> None:
    page = visit("/status")
    waiting: list[Route] = []
    held = True

    def keep(route: Route) -> None:
        if held:
            waiting.append(route)
        else:
            route.continue_()

    page.route("**/thumb", keep)
    page.get_by_role("link", name="All", exact=True).click()
    until(page, "document.querySelectorAll('.tile').length > 8")
    before = page.eval_on_selector_all(".tile", "tiles => tiles.map((tile) => tile.getBoundingClientRect().toJSON())")
    assert all(box["width"] > 40 and box["height"] > 40 for box in before)
    held = False
    for one in waiting:
        one.continue_()
    loaded(page)
    after = page.eval_on_selector_all(".tile", "tiles => tiles.map((tile) => tile.getBoundingClientRect().toJSON())")
    assert after[: len(before)] == before


def test_a_search_finds_says_why_opens_and_comes_back(lab: Lab, visit: Visit) -> None:
    page = visit("/")
    page.keyboard.press("/")
    page.keyboard.type("a cat")
    page.keyboard.press("Enter")
    first = page.locator(".hit a").first
    expect(first).to_contain_text("Chelsea")
    expect(first).to_contain_text("looks like it")
    assert page.url.endswith("/search?q=a+cat")
    loaded(page)
    assert serious(page) == []
    hits = page.locator(".hit a")
    page.keyboard.press("ArrowRight")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(hits.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".stage .viewer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".stage")).to_have_count(0)
    expect(hits.nth(1)).to_be_focused()


def test_a_word_in_a_document_leads_to_its_page(visit: Visit) -> None:
    page = visit("/search?q=tenant+dahlias")
    hit = page.locator(".hit a", has_text="contract")
    expect(hit.locator("mark").first).to_be_visible()
    expect(hit.locator(".badge")).to_have_text("page 3")
    hit.click()
    page.wait_for_url("**/asset/*page=3*")


def test_suggestions_are_taken_by_keys(lab: Lab, visit: Visit) -> None:
    tag = lab.get("/api/facets")["tags"][0][0]
    page = visit("/")
    page.fill("#search", tag[:4])
    option = page.locator("#offers [role=option]", has_text=tag).first
    expect(option).to_be_visible()
    for _ in range(page.locator("#offers [role=option]").count() + 1):
        if option.get_attribute("aria-selected") == "true":
            break
        before = page.locator("#search").get_attribute("aria-activedescendant")
        page.keyboard.press("ArrowDown")
        expect(page.locator("#search")).not_to_have_attribute("aria-activedescendant", before or "")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Tags: {tag}")).to_be_visible()


def test_no_suggestion_comes_twice(visit: Visit) -> None:
    page = visit("/")
    page.fill("#search", "ca")
    expect(page.locator("#offers [role=option]", has_text="Cape Canaveral")).to_have_count(1)


def test_filters_narrow_are_in_the_address_and_go_away(lab: Lab, visit: Visit) -> None:
    videos = lab.get("/api/facets", kind="video")["total"]
    page = visit("/")
    page.get_by_role("button", name="Kind").click()
    page.get_by_role("button", name="Videos").click()
    expect(page.locator(".tile")).to_have_count(videos)
    assert "kind=video" in page.url
    page.reload()
    expect(page.locator(".tile")).to_have_count(videos)
    page.get_by_role("button", name="Place").click()
    expect(page.get_by_text("Nothing here.")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear", exact=True).click()
    page.wait_for_selector(".tile.is-image")


def test_arrows_go_from_picture_to_picture(visit: Visit) -> None:
    page = visit("/")
    loaded(page)
    order = page.eval_on_selector_all(".tile", "tiles => tiles.map((tile) => tile.getAttribute('aria-label'))")
    page.keyboard.press("ArrowRight")
    until(page, "document.activeElement.className.startsWith('tile')")
    assert active(page) == order[0]
    page.keyboard.press("ArrowRight")
    until(page, f"document.activeElement.getAttribute('aria-label') === {order[1]!r}")
    page.keyboard.press("ArrowDown")
    until(page, f"document.activeElement.getAttribute('aria-label') !== {order[1]!r}")
    below = page.evaluate("document.activeElement.getBoundingClientRect().top")
    page.keyboard.press("ArrowUp")
    until(page, f"document.activeElement.getBoundingClientRect().top < {below} - 40")


def test_the_years_lead_to_any_month(lab: Lab, visit: Visit) -> None:
    oldest = lab.get("/api/timeline")[-1]
    page = visit("/", size=PHONE, has_touch=True)
    slider = page.get_by_role("slider", name="Month")
    slider.focus()
    page.keyboard.press("End")
    until(page, f"document.querySelector('.month:last-of-type h2')?.textContent.includes('{oldest['year']}')")
    loaded(page)
    assert serious(page) == []


def test_what_finds_nothing_or_fails_says_what_helps(visit: Visit) -> None:
    visit.allowed = ("400 (Bad Request)", "422")
    page = visit("/search?q=%22xyzzy+plugh%22&kind=audio")
    expect(page.get_by_role("link", name="Search without filters")).to_be_visible()
    page = visit("/?where=nonsense+((", scheme="dark")
    expect(page.get_by_role("alert")).to_be_visible()
    assert serious(page) == []


def test_help_and_colours(visit: Visit) -> None:
    page = visit("/", scheme="dark")
    loaded(page)
    assert serious(page) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Colours").click()
    until(page, f"{ground} !== {dark!r}")
    light = page.evaluate(ground)
    page.reload()
    until(page, f"{ground} === {light!r}")


def test_a_document_shows_its_file_name(visit: Visit) -> None:
    page = visit("/?kind=document")
    page.wait_for_selector(".tile.is-document")
    expect(page.locator(".tile-name", has_text="contract.pdf")).to_be_visible()


def test_a_hostile_name_is_text(visit: Visit) -> None:
    page = visit("/search?q=would+like+to+be+a+picture")
    expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
    assert page.locator("img[src='x']").count() == 0
