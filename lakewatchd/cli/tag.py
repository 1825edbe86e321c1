"""``lakewatchd tag PATH… +family -work``: say what a file is, or is not; what a person says always wins."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakewatchd.cli.output import EXAMPLES, console, print_json, safe, say
from lakewatchd.errors import ConfigError, LakewatchError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from rich.table import Table

    from lakewatchd.config import Config
    from lakewatchd.core.status import CorrectionListing

_EPILOG = """\
examples:
  lakewatchd tag /srv/photos/2024/IMG_0001.jpg +family -work
  lakewatchd tag /mnt/lake/by-tag/dog/*.jpg -dog +wolf --category animals
  lakewatchd tag photos:2024/IMG_0001.jpg +animal/dog       (an animal, and a dog)
  lakewatchd tag --list                                     (all that was said so far)
  lakewatchd tag --export words.toml                        (and, elsewhere: lakewatchd tag --import words.toml)

+TAG gives a tag, -TAG takes it away, whoever says so. It is kept with the content: it survives moves, copies, other
models and a new index. A file whose name begins with + or - is named as ./+name. Exit code 1 if a path is not indexed;
nothing is changed then.
"""

_MINUS = "\0"
"""What ``-work`` is behind the parser, which would take it for an option. No argument of a program can hold it."""
_WITH_VALUE = ("--category", "--export", "--import", "--config")
_REQUEST_CHARS = 40_000
"""Of the paths and words in one question to the daemon."""
MAX_FILE_BYTES = 64_000_000


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "tag", help="say what a file is: +family -work", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    what = "files below a root, of the view, or root:path; then +TAG and -TAG"
    parser.add_argument("words", nargs="*", metavar="PATH… +TAG -TAG", help=what)
    parser.add_argument("--category", metavar="NAME", help="file it under this category of the taxonomy")
    parser.add_argument("--clear", action="store_true", help="forget first what was said of it before")
    parser.add_argument("--list", action="store_true", dest="listed", help="what was said, of these files or of all")
    parser.add_argument("--export", metavar="FILE", help="write all that was said: .toml or .json, - is stdout")
    parser.add_argument("--import", metavar="FILE", dest="taken_in", help="take in what was exported")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(func=run, parser=parser)
    parser.shield = _shielded  # type: ignore[attr-defined]


def _shielded(args: Iterable[str]) -> list[str]:
    """``-work`` so that no parser takes it for options, and files and tags in one piece, as parsers want them."""
    words: list[str] = []
    options: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg.startswith("--") or arg == "-h":
            options += [arg, *(itertools.islice(rest, 1) if arg in _WITH_VALUE else ())]
        else:
            words.append(_MINUS + arg[1:] if arg.startswith("-") and len(arg) > 1 else arg)
    return [*options, *words]


def run(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.cli import backend
    from lakewatchd.cli.in_view import place_named

    add = [word[1:] for word in args.words if word.startswith("+")]
    remove = [word.removeprefix(_MINUS) for word in args.words if word.startswith(_MINUS)]
    paths = [word for word in args.words if not word.startswith(("+", _MINUS))]
    says = bool(add or remove or args.category or args.clear)
    if sum([says, args.listed, args.export is not None, args.taken_in is not None]) != 1:
        args.parser.error("say one thing: +TAG, -TAG, --category or --clear; or --list, --export or --import")
    if bool(paths) < says or (paths and (args.export or args.taken_in)):
        args.parser.error("name the files to tag" if says else "--export and --import are about all files")
    settings = config.load(args.config)
    if args.export:
        return _export(settings, args.export)
    if args.taken_in:
        count = sum(backend.take_in_corrections(settings, part) for part in _parts(_read(Path(args.taken_in))))
        say(f"taken in: {count}")
        return 0
    places = [place_named(path, settings) for path in paths]
    if args.listed:
        told = backend.corrections(settings, places)
    else:
        change = {"add": add, "remove": remove, "category": args.category, "clear": args.clear}
        told = backend.correct(settings, list(_batches(places)), change)
    if args.json:
        print_json(told)
    elif told.corrections:
        console().print(_table(told))
    else:
        say("nothing was said of any file yet")
    return 0


def _table(told: CorrectionListing) -> Table:
    from rich.table import Table

    table = Table("file", "says", "category", box=None, padding=(0, 2, 0, 0))
    for item in told.corrections:
        place = item.places[0] if item.places else f"(nowhere now: {item.asset[:12]}…)"
        words = " ".join([*(f"+{name}" for name in item.tags), *(f"-{name}" for name in item.denied)])
        table.add_row(safe(place), safe(words), safe(item.category))
    return table


def _batches(places: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for place in places:
        if batch and sum(map(len, batch)) * 2 + len(place) > _REQUEST_CHARS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


# --- files ------------------------------------------------------------------------------------------------------


def _export(settings: Config, target: str) -> int:
    from lakewatchd.cli import backend
    from lakewatchd.core.wire import to_json

    found = to_json(backend.corrections(settings, []))["corrections"]
    is_json = target.endswith(".json")
    text = json.dumps({"said": found}, indent=2, ensure_ascii=False) + "\n" if is_json else _toml(found)
    if target == "-":
        sys.stdout.write(text)
        return 0
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise LakewatchError(f"cannot write {target}: {exc.strerror}", "name a file in a directory you own") from exc
    say(f"{target}: {len(found)} files")
    return 0


def _toml(found: Iterable[Mapping[str, Any]]) -> str:
    def line(key: str, value: object) -> str:
        return f"{key} = {json.dumps(value, ensure_ascii=False)}"  # of such texts JSON is TOML

    tables = (["[[said]]", *(line(key, value) for key, value in item.items())] for item in found)
    head = "# What people said of their files. Take it in elsewhere: lakewatchd tag --import FILE"
    return "\n\n".join([head, *("\n".join(table) for table in tables)]) + "\n"


def _read(path: Path) -> list[Mapping[str, Any]]:
    """The corrections in an exported file. Raises ``ConfigError`` for a file that holds none."""
    import tomllib

    hint = "only what lakewatchd tag --export wrote can be taken in"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES // 1_000_000} MB", hint)
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return [_checked(item) for item in data["said"]]
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint) from exc
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ConfigError(f"{path} holds nothing that was said: {exc}", hint) from exc


def _checked(item: object) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise TypeError(f"{item!r:.80} is no table")
    texts = {key: item.get(key, "") for key in ("asset", "category")}
    lists = {key: item.get(key, []) for key in ("tags", "denied")}
    names = [name for value in lists.values() for name in (value if isinstance(value, list) else [value, None])]
    if not all(isinstance(text, str) for text in (*texts.values(), *names)):
        raise TypeError("tags and denied are lists of texts, asset and category are texts")
    return {**texts, **lists}


def _parts(items: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    part: list[Mapping[str, Any]] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if part and size + length > _REQUEST_CHARS:
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part
