"""Looking, correcting, watching: the viewer of each kind, tags, duplicates, status; and names that mean harm."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from lakewatchd.core.asset import path_text
from lakewatchd.testing import wait_until
from tests.gallery import household
from tests.gallery.lab import PHONE, Lab, Visit, serious, until

MOTORCYCLE = "Family/the red one.jpg"


def opened(visit: Visit, id: str, at: str = "", **options: Any) -> Page:
    page = visit(f"/asset/{id}{at}", **options)
    page.wait_for_selector(".facts .places", state="attached")
    return page


def spans(lab: Lab, id: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.get(f"/api/assets/{id}/spans", kind=kind)["items"]
    return found


def recording(lab: Lab) -> str:
    """One in which something is said."""
    return next(id for path, id in lab.ids.items() if path.startswith("Recordings/") and spans(lab, id, "speech"))


def tags(page: Page) -> Locator:
    return page.locator(".tags .tag > a > .name")


def area(page: Page, selector: str) -> tuple[float, float, float, float]:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def test_boxes_come_on_demand_lie_on_what_was_seen_and_stay_there(lab: Lab, visit: Visit) -> None:
    id = lab.ids[MOTORCYCLE]
    (seen,) = spans(lab, id, "image")
    thing = max(seen["objects"], key=lambda one: one["score"])
    page = opened(visit, id)
    expect(page.locator(".box")).to_have_count(0)
    page.keyboard.press("b")
    box = page.locator(".box", has_text=thing["name"]).first
    expect(box).to_be_visible()
    for zoom in (0, 3):  # as it fits, and enlarged
        for _ in range(zoom):
            page.keyboard.press("+")
        left, top, width, height = area(page, ".sheet > img")
        at = box.bounding_box()
        assert at is not None
        shares = ((at["x"] - left) / width, (at["y"] - top) / height, at["width"] / width, at["height"] / height)
        x, y, right, bottom = thing["box"]
        wanted = (x, y, right - x, bottom - y)
        assert all(abs(one - other) < 0.01 for one, other in zip(shares, wanted, strict=True)), shares
    assert width > 1.5 * area(page, ".picture")[2], "it was enlarged"
    page.keyboard.press("0")
    assert serious(page) == []
    box.click()
    page.wait_for_url(f"**/search?object={thing['name']}")


def test_a_film_begins_at_the_second_and_its_scenes_lead_to_others(lab: Lab, visit: Visit) -> None:
    id = lab.ids["Films/bikes.mp4"]
    page = opened(visit, id, "?t=4")
    until(
        page, "(({readyState, currentTime}) => readyState >= 2 && currentTime === 4)(document.querySelector('video'))"
    )
    assert page.evaluate("document.querySelector('video').paused")
    scenes = spans(lab, id, "clip")
    expect(page.locator(".scene")).to_have_count(len(scenes))
    last = max(scenes, key=lambda one: one["start_s"])
    page.locator(".scene").last.click()
    until(page, f"Math.abs(document.querySelector('video').currentTime - {last['start_s']}) < 0.05")
    expect(page.locator(".scene[aria-current]")).to_have_count(1)
    assert serious(page) == []


def test_a_film_that_no_browser_plays_is_offered_to_be_had(lab: Lab, visit: Visit) -> None:
    page = visit("/")
    page.evaluate("HTMLMediaElement.prototype.canPlayType = () => ''")
    film = lab.get("/api/assets", kind="video")["items"][0]["id"]
    page.locator(f"a[href^='/asset/{film}']").first.click()
    expect(page.locator(".unplayable")).to_contain_text("does not play")
    assert page.locator(".unplayable a").get_attribute("href") == f"/api/assets/{film}/content"
    assert page.locator("video").count() == 0


def test_the_transcript_follows_and_a_word_is_a_way_in(lab: Lab, visit: Visit) -> None:
    id = recording(lab)
    words = [word for one in spans(lab, id, "speech") for word in one["words"]]
    page = opened(visit, id, f"?t={words[3]['start_s'] + 0.01}")
    spoken = page.locator(".is-spoken")
    expect(spoken).to_have_text(words[3]["text"].strip())
    written = " ".join(one["text"] for one in spans(lab, id, "speech"))
    assert " ".join(page.locator(".transcript li p").all_inner_texts()).split() == written.split()
    page.locator(f".transcript p [data-s='{words[6]['start_s']}']").click()
    until(page, f"document.querySelector('audio').currentTime.toFixed(2) === '{words[6]['start_s']:.2f}'")
    expect(spoken).to_have_text(words[6]["text"].strip())
    page.evaluate("(async (audio) => { audio.muted = true; await audio.play(); })(document.querySelector('audio'))")
    until(page, f"Number(document.querySelector('.is-spoken')?.dataset.s) > {words[6]['start_s']}")
    assert serious(page) == []


def test_a_jump_before_a_recording_has_come_is_not_taken_back(lab: Lab, visit: Visit) -> None:
    id = recording(lab)
    words = [word for one in spans(lab, id, "speech") for word in one["words"]]
    held: list[Route] = []
    is_open = False
    page = visit("/tags")
    page.route("**/content", lambda route: route.continue_() if is_open else held.append(route))
    page.evaluate("(url) => { history.pushState(null, '', url); dispatchEvent(new PopStateEvent('popstate')); }",
                  f"/asset/{id}?t={words[3]['start_s'] + 0.01}")  # fmt: skip
    wait_until(lambda: (page.evaluate("0"), held)[1], what="the recording is asked for")
    page.locator(f".transcript p [data-s='{words[6]['start_s']}']").click()
    is_open = True
    for one in held:
        one.continue_()
    until(page, "document.querySelector('audio').readyState >= 1")
    until(page, f"document.querySelector('audio').currentTime.toFixed(2) === '{words[6]['start_s']:.2f}'")


def test_a_document_opens_at_its_page_and_says_nothing_twice(lab: Lab, visit: Visit) -> None:
    page = opened(visit, lab.ids["Documents/contract.pdf"], "?page=3")
    expect(page.locator(".is-sought")).to_contain_text("dahlias included")
    expect(page.locator(".page-number")).to_have_text(["Page 1", "Page 2", "Page 3"])
    licence = next((id for path, id in lab.ids.items() if path.startswith("Documents/licences/GPL-3")), None)
    if licence is not None:  # passages overlap, what is shown does not
        page = opened(visit, licence)
        expect(page.locator(".prose").first).to_contain_text("END OF TERMS AND CONDITIONS")
        original = (lab.root / "Documents/licences/GPL-3.txt").read_text()
        shown = " ".join(page.locator(".prose").all_inner_texts())
        assert shown.split() == original.split()
    page = opened(visit, lab.ids["Documents/travel costs.csv"])
    expect(page.locator("tbody tr").nth(1).locator("td, th")).to_have_text(["2024-05-02", "Lyon", "7.25"])
    page = opened(visit, lab.ids["Documents/invoice.eml"])
    expect(page.locator(".letterhead")).to_contain_text("Ada Lovelace")
    assert serious(page) == []


def test_a_tag_goes_by_one_press_comes_by_two_and_all_can_be_undone(lab: Lab, visit: Visit) -> None:
    id = lab.ids[MOTORCYCLE]

    def said() -> dict[str, Any]:
        (view,) = lab.daemon.ask("corrections", places=[f"nas:{MOTORCYCLE}"])["corrections"]
        return {"tags": view["tags"], "denied": view["denied"]}

    before = said()
    page = opened(visit, id)
    names = tags(page).all_inner_texts()
    page.get_by_role("button", name="Not motorcycle").click()
    expect(tags(page).filter(has_text="motorcycle")).to_have_count(0)
    wait_until(lambda: said() == {**before, "denied": ["motorcycle"]})
    page.get_by_role("button", name="Undo").click()
    expect(tags(page).filter(has_text="motorcycle")).to_have_count(1)
    wait_until(lambda: said() == before, what="exactly what was said before")
    page.get_by_role("button", name="Add a tag").click()
    page.get_by_role("option").first.wait_for()
    page.keyboard.type("first ride")
    page.keyboard.press("Enter")
    expect(tags(page).first).to_have_text("first ride")
    wait_until(lambda: said() == {**before, "tags": ["first ride"]})
    lab.daemon.ask("wait_idle")
    page.reload()
    expect(page.locator(".tag[data-origin=person]")).to_contain_text("first ride")
    page.get_by_role("button", name="Not first ride").click()
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: said() == {**before, "tags": ["first ride"]})
    lab.daemon.ask("correct", assets=[id], clear=True)
    lab.daemon.ask("wait_idle")
    page.reload()
    expect(tags(page)).to_have_text(names)


def test_a_tag_that_is_refused_is_taken_back_and_told(lab: Lab, visit: Visit) -> None:
    visit.allowed = ("400",)
    page = opened(visit, lab.ids[MOTORCYCLE])
    names = tags(page).all_inner_texts()
    page.get_by_role("button", name="Add a tag").click()
    page.get_by_role("option").first.wait_for()  # until the field is there, keys mean other things
    page.keyboard.type("a:b")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("cannot be a tag")
    expect(tags(page)).to_have_text(names)


def test_what_is_parked_is_tried_again_by_a_press(lab: Lab, visit: Visit) -> None:
    def tries() -> int:
        return lab.daemon.log.count("job failed: cannot be decoded")

    before = tries()
    page = visit("/status")
    expect(page.locator(".live")).to_have_text("live")
    page.get_by_role("button", name="Try it again", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("1 job queued again")
    wait_until(lambda: tries() > before, what="it was tried, and is still broken")
    lab.daemon.ask("wait_idle")
    expect(page.locator(".parked")).to_contain_text(household.BROKEN)
    expect(page.locator(".parked")).to_contain_text("truncated")
    assert serious(page) == []


def test_the_status_tells_what_happens_as_it_happens(lab: Lab, visit: Visit) -> None:
    page = visit("/status")
    files = page.locator(".figure strong").first
    before = int(lab.daemon.ask("status")["roots"][0]["files"])
    expect(files).to_have_text(str(before))
    new = lab.root / "Downloads" / "just now.txt"
    new.write_text("This came while somebody was looking.")
    expect(files).to_have_text(str(before + 1))
    new.unlink()
    expect(files).to_have_text(str(before))
    lab.daemon.ask("wait_idle")


def test_a_daemon_that_is_away_is_told_and_asked_again(visit: Visit) -> None:
    page = visit("/tags")
    said = 'data: {"error": "the daemon is not running", "hint": "systemctl start lakewatchd"}\n\n'
    page.route("**/api/status", lambda route: route.fulfill(body=said, content_type="text/event-stream"))
    page.get_by_role("link", name="Status").click()
    expect(page.locator(".notice")).to_contain_text("systemctl start lakewatchd")
    expect(page.locator(".live")).not_to_have_text("live")
    page.unroute("**/api/status")
    expect(page.locator(".live")).to_have_text("live")
    expect(page.locator(".notice.is-bad[role=alert]")).to_have_count(0)


def test_duplicates_stand_side_by_side_with_what_differs(lab: Lab, visit: Visit) -> None:
    page = visit("/duplicates")
    group = page.locator(".group", has_text="Chelsea")
    stays, other = group.locator("li").nth(0), group.locator("li").nth(1)
    expect(stays).to_contain_text("Stays")
    expect(stays).to_contain_text("Family/Chelsea.jpg")
    expect(other).to_contain_text("Downloads/Chelsea (sent).jpg")
    expect(other.locator(".differs dt")).to_contain_text(["Size", "Pixels"])
    expect(stays.locator(".differs")).to_have_count(0)
    assert serious(page) == []
    other.locator("a").click()
    page.wait_for_url(f"**/asset/{lab.ids['Downloads/Chelsea (sent).jpg']}")
    page.locator(".facts").get_by_role("link", name="1 other file").click()
    expect(page.locator(".group")).to_have_count(1)


def test_a_question_is_answered_with_the_page_where_it_stands(lab: Lab, visit: Visit) -> None:
    page = visit("/ask")
    page.get_by_label("Your question").fill("when is the rent due?")
    page.keyboard.press("Enter")
    passage = page.locator(".passages li").first
    expect(passage).to_contain_text("The rent is due on the first of the month")
    expect(page.locator(".answer .notice")).to_contain_text("[ask]")  # no model is set: it says how to get one
    assert serious(page) == []
    passage.locator("a").click()
    page.wait_for_url(f"**/asset/{lab.ids['Documents/contract.pdf']}?*page=2*")


def test_what_a_model_says_is_text_and_only_sources_that_there_are_become_links(lab: Lab, visit: Visit) -> None:
    """The lines that a server with a model would send."""
    id = lab.ids["Films/bikes.mp4"]
    lines = (
        f'{{"passages":[{{"n":1,"asset_id":"{id}","kind":"video","title":"bikes","path":"bikes.mp4","start_s":4.0,"text":"-"}}]}}',
        '{"text":"Past a van [1], <img src=x onerror=alert(1)> [2]"}',
        '{"text":" and [1, 1].\\nSo."}',
        '{"done":true,"answered":true,"advice":[]}',
    )
    page = visit("/ask")
    answer = "\n".join(lines)
    page.route("**/api/ask", lambda route: route.fulfill(body=answer, content_type="application/x-ndjson"))
    page.get_by_label("Your question").fill("what is passed?")
    page.keyboard.press("Enter")
    said = page.locator(".answer .prose")
    expect(said).to_have_text("Past a van 1, <img src=x onerror=alert(1)> [2] and 11.\nSo.")
    expect(said.locator("a")).to_have_count(3)
    assert page.locator(".answer img").count() == 0
    said.locator("a").first.click()
    page.wait_for_url(f"**/asset/{id}?t=4")
    until(page, "document.querySelector('video')?.currentTime === 4")


def test_a_name_that_means_harm_is_text(lab: Lab, visit: Visit) -> None:
    place = path_text(household.HOSTILE)
    page = opened(visit, lab.ids[place])
    shown = page.locator(".places .path").inner_text()
    assert shown == f"nas / {place}".replace("\u202e", "\ufffd"), shown
    for path in ("/", "/tags", "/duplicates", "/search?q=onerror", f"/asset/{lab.ids[place]}"):
        page.goto(visit.url + path)
        page.wait_for_selector(".tile, .hit, .tag-list li, .group, .facts .places, .empty")
        assert page.locator("img[src=x], [onerror]").count() == 0
        assert "\u202e" not in page.locator("body").inner_text()


def test_an_address_says_where_to_look_and_no_more(lab: Lab, visit: Visit) -> None:
    """Whoever made a link does not choose what the page asks of the server for the one who follows it."""
    id = lab.ids[MOTORCYCLE]
    page = opened(visit, id, "?id=../queue/parked&load=x&ref=x&key=x&children=x")
    expect(page.locator(".sheet > img")).to_have_attribute("src", f"/api/assets/{id}/content")


def test_on_a_phone_a_finger_turns_the_leaf(lab: Lab, visit: Visit) -> None:
    page = visit("/", size=PHONE, has_touch=True, is_mobile=True)
    page.locator("a.tile").nth(1).click()
    page.wait_for_url("**/asset/**")
    page.wait_for_selector(".facts .places", state="attached")
    begin = page.url
    expect(page.locator(".step")).to_have_count(2)
    touch = page.context.new_cdp_session(page)

    def swipe(*xs: int) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": xs[0], "y": 300}]})
        for x in xs[1:]:
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": 300}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe(300, 220, 120, 60)
    expect(page).not_to_have_url(begin)
    expect(page.locator(".step")).to_have_count(2)
    swipe(60, 150, 240, 320)
    expect(page).to_have_url(begin)
    assert serious(page) == []
