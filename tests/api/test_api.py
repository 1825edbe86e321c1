"""The HTTP API over a real server on a small real lake: what it answers, and to whom it does not."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from blake3 import blake3
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from lakewatchd import unixhttp
from lakewatchd.testing import wait_until
from tests.api.__main__ import run as try_everything
from tests.api.lake import ODD_NAME, TOKEN, Answer, Lake, lake

ASKER = "127.0.0.8"
"""Who asks for what is dear; others, who try everything, use up what 127.0.0.1 may."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with lake(tmp_path_factory.mktemp("api")) as found:
        yield found


def web(site: Lake) -> psutil.Process:
    """The newest: after a reload the one before takes its time to leave."""
    assert site.daemon.process is not None
    found = list[psutil.Process]()
    for one in psutil.Process(site.daemon.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # another one that just ended
            if "lakewatchd.web.child_main" in one.cmdline():
                found.append(one)
    assert found, "there is no web process"
    return max(found, key=lambda one: one.create_time())


def answers(site: Lake) -> int:
    """The status; 0 where the old process is just leaving."""
    try:
        return site.get("/api/assets").status
    except (OSError, http.client.HTTPException):
        return 0


def test_a_list_goes_on_where_it_ended_and_counts_agree(site: Lake) -> None:
    seen, cursor = list[str](), ""
    while True:
        page = site.get(f"/api/assets?folded=false&limit=2&cursor={cursor}").json
        seen += [item["id"] for item in page["items"]]
        if not (cursor := page["next"]):
            break
    assert len(seen) == len(set(seen)) and set(seen) >= set(site.ids.values())
    facets = site.get("/api/facets?folded=false").json
    assert facets["total"] == len(seen) == sum(month["count"] for month in site.get("/api/timeline?folded=false").json)
    images = site.get("/api/assets?folded=false&kind=image&limit=100").json["items"]
    assert len(images) == dict(facets["kinds"])["image"]
    assert (images[0]["width"], images[0]["is_away"]) != (None, True)


def test_an_asset_tells_all_that_is_known_of_it(site: Lake) -> None:
    told = site.get(f"/api/assets/{site.ids['notes/boats.txt']}").json
    assert {place["path"] for place in told["places"]} == {"notes/boats.txt", "notes/boats copy.txt"}
    assert told["kind"] == "document" and told["spans"] and told["mime"] == "text/plain"
    spans = site.get(f"/api/assets/{told['id']}/spans").json
    assert "Sailing boats" in spans["items"][0]["text"] and spans["next"] is None
    assert site.get(f"/api/assets/{'0' * 64}").status == 404


def test_search_finds_words_by_get_and_by_post_and_says_what_it_cannot(site: Lake) -> None:
    boats = site.ids["notes/boats.txt"]
    for found in (
        site.get("/api/search?q=sailing+boats").json,
        site.post("/api/search", {"text": "sailing boats"}).json,
    ):
        assert [hit["asset_id"] for hit in found["hits"]] == [boats]
    socket_path = site.daemon.base / "run" / "web.sock"
    assert unixhttp.post_json(socket_path, "/api/search", {"text": "umlauts", "kinds": ["document"]})["hits"]
    wrong = site.get("/api/search?where=colour+%3D+1")
    assert wrong.status == 400 and wrong.json["hint"]
    assert site.post("/api/search", {"kinds": ["unicorn"]}).status == 400


def test_what_a_person_says_is_kept_and_undo_leaves_what_was_said_before(site: Lake) -> None:
    id = site.ids["table.csv"]
    url = f"/api/assets/{id}/tags"

    def said() -> tuple[object, ...]:
        (view,) = site.daemon.ask("corrections", places=["nas:table.csv"])["corrections"]
        return view["tags"], view["denied"], view["category"]

    first = site.post(url, {"add": ["cities"], "remove": ["people"], "category": "work"}).json
    assert {"name": "cities", "score": 1.0, "origin": "person"} in first["tags"] and first["category"] == "work"
    assert said() == (["cities"], ["people"], "work")
    second = site.post(url, {"add": ["capitals", "people"], "remove": ["cities"], "category": "travel"}).json
    assert {tag["name"] for tag in second["tags"]} == {"capitals", "people"}
    for wrong in ({"add": ["a:b"]}, {"category": "no such category"}, {"add": [""]}):
        refused = site.post(url, wrong)
        assert (refused.status, bool(refused.json["hint"])) == (400, True), wrong
    for wrong in ({"add": ["x"] * 101}, {"tags": ["x"]}, {"add": ["\x00"]}, ["x"]):
        assert site.post(url, wrong).status == 422
    assert said() == (["capitals", "people"], ["cities"], "travel")
    assert site.post(url, second["undo"]).json["category"] == "work" and said() == (["cities"], ["people"], "work")
    site.post(url, first["undo"])
    assert said() == ([], [], "")
    assert site.post(f"/api/assets/{'0' * 64}/tags", {"add": ["x"]}).status == 404


def test_duplicates_are_told_by_group_a_page_at_a_time(site: Lake) -> None:
    boats = site.ids["notes/boats.txt"]
    groups, cursor = list[dict[str, object]](), ""
    while True:
        page = site.get(f"/api/duplicates?limit=1&cursor={cursor}").json
        groups += page["items"]
        if not (cursor := page["next"]):
            break
    (group,) = [one for one in groups if one["group"] == boats]
    kept, other = group["assets"]  # type: ignore[misc]
    assert (kept["is_kept"], other["is_kept"], kept["is_exact"], other["is_exact"]) == (True, False, True, True)
    assert {kept["path"], other["path"]} == {"notes/boats.txt", "notes/boats copy.txt"}
    assert group["reclaimable_bytes"] == other["size_bytes"]
    assert site.get(f"/api/duplicates?group={boats}").json == {"items": [group], "next": None}
    assert site.get("/api/duplicates?cursor=abc").status == 400


def test_sql_answers_reads_only_and_is_cut_where_that_was_asked(site: Lake) -> None:
    told = site.post("/api/sql", {"query": "SELECT best_path AS path FROM gold ORDER BY path", "limit": 2}, ASKER).json
    others = {"notes/boats copy.txt", "late.jpg", "leaving.jpg"}  # of tests that may come first
    assert (told["columns"], told["is_cut"]) == ([{"name": "path", "type": "string"}], True)
    assert len(told["rows"]) == 2 and {row[0] for row in told["rows"]} <= {*site.ids, *others}
    for query in ("COPY gold TO '/tmp/x.csv'", "FROM read_text('/etc/passwd')", "SELECT 1; SELECT 2", "SELECT nix"):
        wrong = site.post("/api/sql", {"query": query}, ASKER)
        assert wrong.status == 400 and wrong.json["error"], query


def test_what_is_small_for_a_database_is_no_flood(site: Lake) -> None:
    told = site.post(
        "/api/sql", {"query": "SELECT [true FOR x IN range(2000)] AS v FROM range(600)", "limit": 1000}, ASKER
    )
    rows = told.json["rows"]
    assert told.json["is_cut"] and 0 < sum(len(row[0]) for row in rows) <= 1 << 18


def test_ask_streams_passages_and_says_that_no_model_is_set(site: Lake) -> None:
    answer = site.post("/api/ask", {"question": "What do the sailing boats do?"}, ASKER)
    first, last = [json.loads(line) for line in answer.body.splitlines()]
    assert first["passages"][0]["path"].startswith("notes/boats") and first["passages"][0]["n"] == 1
    assert last["done"] and not last["answered"] and last["outcome"] == "no-model" and "[ask]" in last["advice"][0]
    events = site.post("/api/ask", {"question": "sailing boats?"}, ASKER, Accept="text/event-stream")
    assert events.headers["content-type"].startswith("text/event-stream") and events.body.startswith(b"data: {")
    assert site.post("/api/ask", {"question": "   "}, ASKER).status == 400


def test_content_is_the_file_and_any_range_of_it(site: Lake) -> None:
    raw = (site.daemon.root / "photo 3.jpg").read_bytes()
    path = f"/api/assets/{site.ids['photo 3.jpg']}/content"
    whole = site.get(path)
    assert (whole.body, whole.headers["content-type"], whole.headers["accept-ranges"]) == (raw, "image/jpeg", "bytes")
    for asked, wanted in (("bytes=5-24", raw[5:25]), ("bytes=100-", raw[100:]), ("bytes=-7", raw[-7:])):
        part = site.get(path, Range=asked)
        assert (part.status, part.body) == (206, wanted)
        assert int(part.headers["content-length"]) == len(wanted)
    beyond = site.get(path, Range=f"bytes={len(raw)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(raw)}")
    assert site.get(path, If_None_Match=whole.headers["etag"]).status == 304
    assert site.get(path, Range="bytes=0-1", If_Range='"another"').status == 200
    head = site.ask("HEAD", path)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(raw)))
    small = site.get(path.replace("content", "thumb"))
    assert (
        small.headers["content-type"] in ("image/webp", "image/jpeg") and "immutable" in small.headers["cache-control"]
    )


def test_who_leaves_in_the_middle_is_noticed(site: Lake) -> None:
    """A film is sought through by asking and leaving; what is in memory could be sent without ever waiting."""
    at_once = struct.pack("ii", 1, 0)
    for _ in range(20):
        with socket.create_connection(site.address, timeout=60) as connection:
            connection.sendall(
                f"GET /api/assets/{site.ids['long.bin']}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            connection.recv(1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    wait_until(lambda: not any(one.path.endswith("/long.bin") for one in web(site).open_files()))
    assert "socket.send() raised" not in site.daemon.log


def test_pieces_go_on_where_they_ended(site: Lake) -> None:
    url = f"/api/assets/{site.ids['notes/long.txt']}/spans"
    whole = site.get(f"{url}?limit=1000").json
    assert len(whole["items"]) > 4 and whole["next"] is None
    seen, offset = list[object](), 0
    while offset is not None:
        page = site.get(f"{url}?kind=passage&limit=2&offset={offset}").json
        seen += page["items"]
        offset = page["next"]
    assert seen == whole["items"]


def test_what_a_browser_could_run_is_only_kept(site: Lake) -> None:
    for name in ("notes/page.html", "notes/drawing.svg"):
        sent = site.get(f"/api/assets/{site.ids[name]}/content")
        assert sent.status == 200 and sent.headers["content-disposition"].startswith("attachment;")
        assert sent.headers["content-security-policy"].startswith("sandbox")
        assert sent.headers["x-content-type-options"] == "nosniff"
    odd = site.get(f"/api/assets/{site.ids[ODD_NAME]}/content")
    assert odd.headers["content-disposition"] == "inline; filename*=UTF-8''n%C3%A4me%20%22quoted%22%3B%20%C3%A9.txt"


def test_an_original_that_went_or_changed_is_no_other_content(site: Lake) -> None:
    path = site.daemon.root / "photo 5.jpg"
    url = f"/api/assets/{site.ids['photo 5.jpg']}/content"
    whole, moved = path.read_bytes(), site.daemon.base / "aside"
    for change in (lambda: path.write_bytes(b"something else"), lambda: path.symlink_to("/etc/passwd"), lambda: None):
        path.rename(moved)
        change()
        assert site.get(url).status in (410, 503, 404)
        path.unlink(missing_ok=True)
        moved.rename(path)
    site.daemon.ask("wait_idle")
    wait_until(lambda: site.get(url).body == whole)


def test_no_picture_is_sent_of_what_is_served_no_more(site: Lake) -> None:
    path = site.daemon.root / "leaving.jpg"
    Image.new("RGB", (321, 123), (1, 200, 77)).save(path)
    url = f"/api/assets/{blake3(path.read_bytes()).hexdigest()}"
    wait_until(lambda: site.get(f"{url}/thumb").status == 200)
    (item,) = [one for one in site.get("/api/assets?folded=false&limit=100").json["items"] if url.endswith(one["id"])]
    assert item["name"] == "leaving.jpg"
    etag = site.get(f"{url}/thumb").headers["etag"]
    path.unlink()
    wait_until(lambda: site.get(url).status == 404)
    assert site.get(f"{url}/thumb").status == site.get(f"{url}/thumb", If_None_Match=etag).status == 404


def test_a_date_that_is_none_is_told_in_words(site: Lake) -> None:
    for when in ("yesteryear", "2023-02-31", "20230101"):
        told = site.get(f"/api/search?q=boats&since={when}")
        assert told.status == 400 and when in told.json["error"] and "write 2019" in told.json["hint"]


@pytest.mark.parametrize(
    "path",
    [
        "/gallery/../site.py", "/gallery/%2e%2e/site.py", "/gallery/..%2fsite.py", "/gallery//etc/passwd",
        "/gallery/%00",
        "/api/assets/../../etc/passwd", "/api/assets/%2e%2e%2f/content", "/api/assets/x'%20OR%20'1'='1/content",
        "/api/assets?cursor=%00", "/api/search?q=%00", "/api/assets?near=nan,nan,nan",
        "/api/assets?limit=99999999999999999999", "/api/assets?since=9999-99",
        "/api/assets?kind=" + "&kind=image" * 200,
        "/api/search?within=inf",
        "/api/search?q=" + "x" * 30_000, "/api/assets/" + "0" * 63 + "%0a/thumb", "/%ff%fe",
        "*",
    ],
)  # fmt: skip
def test_no_path_and_no_parameter_leads_astray(site: Lake, path: str) -> None:
    answer = site.get(path) if path != "*" else site.ask("OPTIONS", path)
    assert 400 <= answer.status < 500
    assert b"root:" not in answer.body and b"Traceback" not in answer.body


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"text": "\\ud800"}', b"[" * 60_000, b'{"limit": 1e999}', b"\xff"]
)
def test_no_body_is_too_odd(site: Lake, body: bytes) -> None:
    assert site.ask("POST", "/api/search", body, Content_Type="application/json").status == 400
    form = site.ask("POST", "/api/search", body, Content_Type="multipart/form-data; boundary=x")
    assert form.status == 400


def test_a_body_that_is_too_long_is_not_read(site: Lake) -> None:
    assert site.ask("POST", "/api/search", b" " * 70_000, Content_Type="application/json").status == 413
    with socket.create_connection(site.address, timeout=60) as connection:
        head = "POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"8000\r\n" + b" " * 32768 + b"\r\n")
        try:
            for _ in range(2000):
                connection.sendall(b"8000\r\n" + b" " * 32768 + b"\r\n")
        except OSError:
            pass  # cut off
        else:
            raise AssertionError("64 MB were read")


def test_every_answer_tells_a_browser_to_be_careful(site: Lake) -> None:
    for path in ("/", "/api/status", "/api/assets/1", "/gallery/app.js", "/login", "/nothing"):
        headers = site.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and "content-security-policy" in headers
    page = site.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in page and "unsafe" not in page and "frame-ancestors 'none'" in page


def test_status_comes_as_it_changes(site: Lake) -> None:
    with socket.create_connection(site.address, timeout=60) as connection:
        connection.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        stream = connection.makefile("rb")
        while stream.readline().strip():
            pass

        def event() -> dict[str, object]:
            while not (line := stream.readline()).startswith(b"data: "):
                assert line
            return dict(json.loads(line[6:]))

        assert "watching 1 root" in str(event()["headline"])
        assert event()["uptime_s"] != event()["uptime_s"]


def test_many_read_at_once_while_files_come(site: Lake) -> None:
    paths = [f"/api/assets/{id}/{what}" for id in site.ids.values() for what in ("content", "thumb", "spans")]
    paths += ["/api/assets", "/api/facets", "/api/search?q=boats", "/api/status"]
    late = site.daemon.root / "late.jpg"
    Image.new("RGB", (300, 200), (1, 200, 3)).save(late)
    with concurrent.futures.ThreadPoolExecutor(16) as crowd:
        answers = list(crowd.map(site.get, paths * 3))
    assert {answer.status for answer in answers} <= {200, 404}
    shapeless = sum(not path.startswith("photo") for path in site.ids)
    assert sum(answer.status == 404 for answer in answers) <= 3 * shapeless, "texts have no picture, all else is there"
    wait_until(lambda: any(item["title"] == "late" for item in site.get("/api/assets?limit=1000").json["items"]))
    late.unlink()
    site.daemon.ask("wait_idle")
    wait_until(lambda: all(item["title"] != "late" for item in site.get("/api/assets?limit=1000").json["items"]))


@pytest.mark.long
def test_another_process_takes_over_where_one_is_killed(site: Lake) -> None:
    first = web(site)
    first.kill()
    assert site.get("/api/assets").status == 200, "who comes meanwhile waits"
    assert web(site).pid != first.pid


@pytest.mark.long
def test_nothing_is_found_by_who_tries_everything(site: Lake) -> None:
    done = try_everything(site.url, 2, is_quick=True)
    assert done.returncode == 0, done.stdout[-6000:]


def test_a_token_shuts_the_door_until_a_person_logs_in(site: Lake) -> None:
    """By a reload: nobody who is connected is told."""
    config = site.daemon.config
    open_to_all = config.read_text()
    port = site.address[1]
    config.write_text(open_to_all.replace("127.0.0.1:0", f"127.0.0.1:{port}") + f'\ntoken = "{TOKEN}"\n')
    try:
        site.daemon.ask("reload")
        wait_until(lambda: answers(site) == 401)
        assert site.get("/api/assets", Authorization=f"Bearer {TOKEN}").status == 200
        sent_away = site.get("/asset/1", Accept="text/html")
        assert (sent_away.status, sent_away.headers["location"]) == (303, "/login?next=/asset/1")
        assert b'name="token"' in site.get("/login").body

        def log_in(token: str) -> Answer:
            form = f"token={token}&next=/asset/1".encode()
            return site.ask("POST", "/login", form, Content_Type="application/x-www-form-urlencoded")

        assert log_in("a-wrong-token-of-16").status == 401
        welcome = log_in(TOKEN)
        cookie = welcome.headers["set-cookie"]
        assert (welcome.status, welcome.headers["location"]) == (303, "/asset/1")
        assert {"HttpOnly", "SameSite=Lax"} <= set(cookie.split("; ")) and TOKEN not in cookie
        assert site.get("/api/assets", Cookie=cookie.partition(";")[0]).status == 200
        link = site.daemon.run("open").stdout.strip()
        assert site.get(link.removeprefix(site.url)).headers["location"] == "/"
        local = site.daemon.base / "run" / "web.sock"
        assert unixhttp.get_json(local, "/api/timeline"), "who may open it needs no token"
        assert local.stat().st_mode & 0o777 == 0o660
        assert TOKEN not in site.daemon.log and TOKEN not in " ".join(
            web(site).cmdline() + list(web(site).environ().values())
        )
    finally:
        config.write_text(open_to_all.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        site.daemon.ask("reload")
        wait_until(lambda: answers(site) == 200)


def test_prometheus_reads_what_is_counted(site: Lake) -> None:
    site.get("/api/search?q=boats")
    families = list(text_string_to_metric_families(site.get("/metrics").body.decode()))
    told = {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}
    assert told["lakewatchd_daemon_up",] == 1 and told["lakewatchd_sources_present", "nas"] == 1
    assert told["lakewatchd_http_answers_total", "/api/search", "2xx"] >= 1
    searches = told["lakewatchd_http_answer_seconds_count", "/api/search"]
    assert told["lakewatchd_http_answer_seconds_bucket", "+Inf", "/api/search"] == searches >= 1
    site.get("/api/assets/" + "7" * 64)
    assert not any("7777" in part for key in told for part in key), "paths are those of the description"


def test_what_is_dear_may_not_be_asked_without_end(site: Lake) -> None:
    def statuses() -> list[int]:
        return [site.post("/api/ask", {"question": "boats?"}, "127.0.0.9").status for _ in range(12)]

    wait_until(lambda: statuses().count(429))
    refused = site.post("/api/ask", {"question": "boats?"}, "127.0.0.9")
    assert refused.status != 429 or int(refused.headers["retry-after"]) > 0
    local = site.daemon.base / "run" / "web.sock"
    assert all(list(unixhttp.stream_lines(local, "/api/ask", {"question": "boats?"})) for _ in range(12))


def test_the_examples_of_the_howto_work(site: Lake) -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "http.md").read_text()
    examples = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "curl" in block]
    lines = [line for block in examples for line in block.splitlines()]
    assert len(lines) >= 10
    environment = {**os.environ, "LAKE": site.url, "ID": site.ids["notes/boats.txt"]}
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line.replace("curl -s", "curl -sS --fail-with-body")],
            capture_output=True, text=True, env=environment, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
