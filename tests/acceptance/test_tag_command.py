"""``lakewatchd tag``: what a person says wins, and nothing that happens afterwards takes it back."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakewatchd.cli.main import main
from lakewatchd.testing import LiveDaemon, make_tree, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHIPPED = Path(__file__).parents[2] / "etc" / "taxonomy.toml"
SETTINGS = '[models]\nimage_text = "off"\ntext = "off"\ndetector = "off"\nocr = "off"\n[lake]\nkeep_gone_days = 0\n'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    base = tmp_path_factory.mktemp("tag")
    make_tree(base / "nas", {"a.txt": "first words", "invoice.txt": "second words", "c/d.txt": "third words"})
    (base / "taxonomy.toml").write_text(SHIPPED.read_text())
    settings = SETTINGS + f'[tags]\ntaxonomy = "{base}/taxonomy.toml"\n'
    with LiveDaemon(base / "d", base / "nas", settings=settings) as running:
        running.ask("wait_idle")
        yield running


def run(daemon: LiveDaemon, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return command(daemon, "tag", *words, check=check)


def command(daemon: LiveDaemon, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """As somebody types it, without the start of a process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["--config", str(daemon.config), *words])
        except SystemExit as exc:
            code = int(str(exc.code))
    assert code == 0 or not check, err.getvalue()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def rows(daemon: LiveDaemon) -> dict[str, dict[str, object]]:
    import lance

    found = lance.dataset(str(daemon.state / "lake" / "gold_assets.lance")).to_table().to_pylist()
    return {str(row["best_path"]): row for row in found}


def tags(daemon: LiveDaemon, path: str) -> dict[str, str]:
    daemon.ask("wait_idle")
    return {tag["name"]: tag["origin"] for tag in rows(daemon).get(path, {"tags": []})["tags"]}  # type: ignore[attr-defined]


def test_a_persons_word_wins_and_survives_a_move_a_change_of_code_and_a_purge(
    daemon: LiveDaemon, tmp_path: Path
) -> None:
    root = daemon.root
    assert tags(daemon, "invoice.txt") == {"invoice": "name"}
    told = run(daemon, str(root / "invoice.txt"), "+Family", "-invoice", "-work", "--category", "travel", "--json")
    (said,) = json.loads(told.stdout)["corrections"]
    assert (said["tags"], said["denied"], said["category"]) == (["Family"], ["invoice", "work"], "travel")
    assert said["places"] == ["nas:invoice.txt"]
    assert tags(daemon, "invoice.txt") == {"family": "person"}, "the taxonomy's spelling, and no invoice"
    assert rows(daemon)["invoice.txt"]["category"] == "travel"
    shutil.move(root / "invoice.txt", root / "c" / "invoice 2.txt")
    wait_until(lambda: tags(daemon, "c/invoice 2.txt") == {"family": "person"})
    kept = tmp_path / "away.txt"
    shutil.move(root / "c" / "invoice 2.txt", kept)
    daemon.ask("scan", root="nas")
    daemon.ask("wait_idle")
    assert "c/invoice 2.txt" not in rows(daemon)
    daemon.kill()
    daemon.start()
    shutil.copy(kept, root / "receipt.txt")
    daemon.ask("scan", root="nas")
    wait_until(lambda: "receipt.txt" in rows(daemon))
    assert tags(daemon, "receipt.txt") == {"receipt": "name", "family": "person"}
    run(daemon, "nas:receipt.txt", "--clear", "+tax")
    assert tags(daemon, "receipt.txt") == {"receipt": "name", "tax": "person"}


def test_of_several_files_all_are_tagged_or_none(daemon: LiveDaemon) -> None:
    root = daemon.root
    done = run(daemon, str(root / "a.txt"), str(root / "nothing.txt"), "+oops", check=False)
    assert done.returncode == 1 and "nas:nothing.txt: nothing is indexed there" in done.stderr
    assert "oops" not in run(daemon, "--list").stdout
    run(daemon, str(root / "a.txt"), str(root / "c/d.txt"), "--clear", "+animal/dog")
    for path in ("a.txt", "c/d.txt"):
        assert tags(daemon, path) == {"animal": "person", "dog": "person"}
    listed = run(daemon, "--list", str(root / "a.txt")).stdout
    assert "nas:a.txt" in listed and "+animal/dog" in listed and "d.txt" not in listed


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["{root}/a.txt", "+.."], 1, "cannot be a tag"),
        (["{root}/a.txt", "+family", "-family"], 1, "'family' is given and taken away at once"),
        (["{root}/a.txt", "+a/"], 1, "write it as 'a'"),
        (["{root}/a.txt", "--category", "travle"], 1, "did you mean 'travel'"),
        (["{root}/a.txt"], 2, "say one thing"),
        (["+family"], 2, "name the files"),
        (["/etc/passwd", "+family"], 1, "lies in no root"),
        (["{root}/c", "+family"], 1, "a directory cannot be tagged"),
        (["{root}/a.txt", "--categry", "travel"], 2, "--category"),
        (["--import", "{root}/a.txt"], 78, "nothing that was said"),
    ],
)
def test_mistakes_are_named_and_change_nothing(daemon: LiveDaemon, words: list[str], code: int, complaint: str) -> None:
    before = run(daemon, "--list", "--json").stdout
    done = run(daemon, *(word.format(root=daemon.root) for word in words), check=False)
    assert done.returncode == code and complaint in done.stderr, done.stderr
    assert run(daemon, "--list", "--json").stdout == before


def test_what_was_said_can_be_exported_and_taken_in_and_read_while_the_daemon_is_down(
    daemon: LiveDaemon, tmp_path: Path
) -> None:
    run(daemon, str(daemon.root / "c/d.txt"), "+it's quoted", "-né/e", "--category", "food")
    exported = {}
    for kind in ("toml", "json"):
        run(daemon, "--export", str(tmp_path / f"said.{kind}"))
    exported["json"] = json.loads((tmp_path / "said.json").read_text())
    exported["toml"] = tomllib.loads((tmp_path / "said.toml").read_text())
    assert exported["json"] == exported["toml"]
    for item in exported["json"]["said"]:
        run(daemon, item["places"][0], "--clear")
    assert json.loads(run(daemon, "--list", "--json").stdout)["corrections"] == []
    run(daemon, "--import", str(tmp_path / "said.toml"))
    daemon.ask("wait_idle")
    assert rows(daemon)["c/d.txt"]["category"] == "food"
    daemon.stop()
    assert json.loads(run(daemon, "--list", "--json").stdout)["corrections"] == exported["json"]["said"]
    daemon.start()


@pytest.mark.long
def test_an_edit_is_previewed_and_then_only_what_it_changes_is_done_again(daemon: LiveDaemon) -> None:
    make_tree(daemon.root, {"e/zither lesson.txt": "fourth words"})
    daemon.ask("scan", root="nas")
    daemon.ask("wait_idle")
    before = judged(daemon)
    edited = SHIPPED.read_text().replace(
        "[category.music.tags]\n", '[category.music.tags]\nzither = { words = ["zither"] }\n'
    )
    taxonomy = daemon.root.parent / "taxonomy.toml"
    taxonomy.write_text(edited)
    out = command(daemon, "taxonomy", "preview", "--json").stdout
    changes = {change["name"]: change for change in json.loads(out)["changes"]}
    assert changes.keys() == {"zither", "category music", "category unsorted"}
    assert changes["zither"]["gained"] == ["nas:e/zither lesson.txt"] and changes["category unsorted"]["losses"] == 1
    assert json.loads(command(daemon, "taxonomy", "preview", "invoice", "--json").stdout)["changes"] == []
    assert "did you mean 'invoice'?" in command(daemon, "taxonomy", "preview", "invoic", check=False).stderr
    assert judged(daemon) == before and "zither" not in tags(daemon, "e/zither lesson.txt")
    daemon.ask("reload")
    assert tags(daemon, "e/zither lesson.txt") == {"zither": "name"}
    assert judged(daemon) == before + 1, "all others were compared, not judged again"
    assert len(transforms(daemon)) == 1
    taxonomy.write_text(SHIPPED.read_text())
    daemon.ask("reload")
    assert tags(daemon, "e/zither lesson.txt") == {}


def judged(daemon: LiveDaemon) -> int:
    """Jobs in which tags were made."""
    import lance

    return int(lance.dataset(str(daemon.state / "lake" / "lineage.lance")).count_rows(filter="stage = 'tag'"))


def transforms(daemon: LiveDaemon) -> set[str]:
    """Of all assets that are served, by which the tags are."""
    import lance

    silver = lance.dataset(str(daemon.state / "lake" / "silver_assets.lance")).to_table().to_pylist()
    served = {row["asset_id"] for row in rows(daemon).values()}
    return {row["tag_transform"] for row in silver if row["asset_id"] in served}
