"""What the documents name exists: commands and their options, functions, files, errors, and the tests of promises."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lakewatchd import errors
from lakewatchd.cli.main import COMMANDS, build_parser

CHECKOUT = Path(__file__).parents[2]
PACKAGE = CHECKOUT / "lakewatchd"
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("bench/*.md")])
SOURCES = sorted(
    [*PACKAGE.rglob("*.py"), *CHECKOUT.glob("scripts/*"), *CHECKOUT.glob("etc/*"), *CHECKOUT.glob("systemd/*")]
)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def shown(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def code(page: str) -> Iterator[str]:
    """What stands between backticks, and the lines of fenced or indented blocks."""
    for fenced in re.findall(r"^```.*?\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        yield from fenced.splitlines()
    without = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^    (\S.*)$", without, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", without)


# --- commands ----------------------------------------------------------------------------------------------


def commands(fragments: Iterable[str]) -> Iterator[str]:
    """Those that are a call of ours: not prose, and not a unit or a directory of the same name."""
    for fragment in fragments:
        for part in re.split(r"\$ |&&|\|\|?|#", fragment):
            call = re.match(r"\s*(?:sudo (?:-u \w+ )?)?(?:\S*/)?lakewatchd( [a-z-].*)$", part)
            if call:
                yield call[1].strip()


def problems(call: str) -> Iterator[str]:
    """What of ``queue list --parked [--json]`` the parser does not know."""
    parser, words = build_parser(), shlex.split(re.sub(r"[\[\]…]", " ", call))
    while words and (actions := [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]):
        word = words.pop(0)
        if word in ("--config", "--debug", "--help", "--version"):
            words = words[1:] if word == "--config" else words
            continue
        if word not in actions[0].choices:
            yield f"no command {word!r}"
            return
        parser = actions[0].choices[word]
    known = {*parser._option_string_actions, "--config", "--debug"}
    yield from (f"no option {word}" for word in words if word.startswith("--") and word not in known)


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=shown)
def test_commands_that_are_named_exist(path: Path) -> None:
    found = code(text_of(path)) if path in PAGES else re.findall(r"`([^`\n]+)`", text_of(path))
    wrong = {call: told for call in commands(found) if (told := list(problems(call)))}
    assert not wrong


def test_the_search_for_commands_finds_some_and_notices_what_is_wrong() -> None:
    found = list(commands(code(text_of(CHECKOUT / "README.md"))))
    assert {call.split()[0] for call in found} == set(COMMANDS), "the README has every command, and no other"
    assert list(problems("queue fly")) == ["no command 'fly'"]
    assert list(problems("status --watch --wings")) == ["no option --wings"]


# --- functions and files -----------------------------------------------------------------------------------


def names(path: Path) -> set[str]:
    """``f``, ``Class`` and ``Class.method`` of a file."""
    found = set()
    for node in ast.parse(text_of(path)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{item.name}" for item in methods}
    return found


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_functions_that_are_named_exist(page: Path) -> None:
    wrong = []
    for place in code(text_of(page)):
        if match := re.fullmatch(r"([\w/]+\.py)(?::([\w.]+))?", place):
            files = [base / match[1] for base in (CHECKOUT, PACKAGE, page.parent) if (base / match[1]).is_file()]
            if not files or (match[2] and match[2] not in names(files[0])):
                wrong.append(place)
        elif re.fullmatch(r"[A-Z]\w+\.[a-z_]+", place) and not any(
            place in names(file) for file in PACKAGE.rglob("*.py")
        ):
            wrong.append(place)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_files_that_are_named_exist(page: Path) -> None:
    """Below the checkout, or below the package, as the map of the rooms has it."""
    places = [
        match[1]
        for item in code(text_of(page))
        if (match := re.match(r"((?:scripts|tests|etc|docs|bench|systemd)/[\w./-]+)", item))
    ]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text_of(page))
    missing = [place for place in places if not (CHECKOUT / place).exists()]
    assert not missing + [link for link in links if not (page.parent / link).exists()]


# --- errors and promises -----------------------------------------------------------------------------------


def test_the_tree_of_errors_is_the_tree() -> None:
    defined = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert set(re.findall(r"[├└]─ (\w+)", errors.__doc__ or "")) == defined - {"LakewatchError"}


def test_every_promise_has_tests_that_exist() -> None:
    defined = {name for file in CHECKOUT.glob("tests/**/test_*.py") for name in names(file)}
    for line in text_of(CHECKOUT / "docs/promises.md").splitlines()[4:]:
        promise, tried, *_ = line.strip("|").split("|")
        named = re.findall(r"`([^`]+)`", tried)
        tests = [name for name in named if name.startswith("test_")]
        assert named, promise
        assert not set(tests) - defined, promise
