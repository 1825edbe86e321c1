"""``lakewatchd ask QUESTION``: an answer from what is in the lake, with the place of every claim."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from lakewatchd.cli.output import EXAMPLES, console, safe, say

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.config import Config

_EPILOG = """\
examples:
  lakewatchd ask which talks mention battery chemistry
  lakewatchd ask "what did the landlord write about the heating?" --kind document
  lakewatchd ask "when was the dog at the vet?" --passages
  lakewatchd ask "who spoke about solar power?" --json | jq -r 'select(.text).text'

[n] is passage n of the list below the answer. A sentence that names no passage is marked (no source), a figure that is
not in the passages of its sentence (not in the source: ...). The answer is made by a language model on a server of
yours, which [ask] in the configuration names; without one the passages are shown.

exit codes: 0 answered, 1 the lake holds no answer, 4 passages only: no model is set, it does not answer, or it named no
passage for anything it said; others as of every command
"""
_CODES = {"answered": 0, "no-answer": 1, "no-source": 4, "no-model": 4}
_SHOWN_CHARS = 300


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "ask", help="an answer from your files, with its sources", description=__doc__, epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )  # fmt: skip
    kinds = ("image", "video", "audio", "document", "table", "other")
    parser.add_argument("question", metavar="QUESTION", nargs="+", help="in your words")
    parser.add_argument("--kind", action="append", choices=kinds, default=[], help="quote only such files (repeatable)")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="quote only files with this tag")
    parser.add_argument("--root", default="", help="quote only files of this root")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--passages", action="store_true", help="only the passages: no model is asked")
    form.add_argument("--json", action="store_true", help="each event as it comes, a line of JSON for each")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    import dataclasses

    from lakewatchd import config
    from lakewatchd.cli import backend
    from lakewatchd.core.asset import Kind
    from lakewatchd.core.found import Query
    from lakewatchd.views.answer.answering import require_askable

    settings = config.load(args.config)
    if args.passages:
        settings = dataclasses.replace(settings, ask=dataclasses.replace(settings.ask, model=""))
    require_askable(text := " ".join(args.question))
    backend.require_root(settings, args.root)
    kinds = tuple(Kind(kind) for kind in args.kind)
    query = Query(text=text, kinds=kinds, tags=tuple(args.tag), root=args.root)
    shown = _Lines() if args.json else _Page(settings, is_answer=not args.passages)
    outcome = ""
    for event in backend.answer(settings, query, here=args.passages):
        shown.show(event)
        outcome = event.get("outcome", outcome)
    if args.passages:
        return 0 if outcome == "no-model" else 1
    return _CODES.get(outcome, 1)


class _Lines:
    def show(self, event: dict[str, Any]) -> None:
        import json

        print(json.dumps(event), flush=True)


class _Page:
    """The answer as it comes; then the passages it names, or all where there is no answer."""

    def __init__(self, settings: Config, *, is_answer: bool) -> None:
        self._settings = settings
        self._is_answer = is_answer
        self._passages: list[dict[str, Any]] = []
        self._said = ""

    def show(self, event: dict[str, Any]) -> None:
        from lakewatchd.telemetry import one_line

        if "passages" in event:
            self._passages = event["passages"]
        elif "text" in event:
            self._said += event["text"]
            sys.stdout.write("\n".join(one_line(line) for line in event["text"].split("\n")))
            sys.stdout.flush()
        elif "error" in event:
            from lakewatchd.errors import ServiceAway

            raise ServiceAway(event["error"], event.get("hint") or None)
        else:
            self._end(event)

    def _end(self, done: dict[str, Any]) -> None:
        import re

        named = {int(number) for number in re.findall(r"\[(\d+)\]", self._said)}
        shown = [one for one in self._passages if one["n"] in named or done["outcome"] in ("no-model", "no-source")]
        if self._said:
            print("\n" if shown else "")
        out = console()
        for passage in shown:
            out.print(_head(passage, self._settings))
            if not self._said:
                text = passage["text"]
                out.print(safe(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"))
        for line in done["advice"] if self._is_answer or done["outcome"] != "no-model" else ():
            say(line)


def _head(passage: dict[str, Any], settings: Config) -> Any:
    from rich.text import Text

    from lakewatchd.cli import backend
    from lakewatchd.telemetry import one_line

    path = backend.place_text(settings, passage["root"], passage["path"])
    at = passage["place"].removeprefix(passage["path"])
    return Text.assemble((f"[{passage['n']}] ", "bold"), one_line(path), (one_line(at), "cyan"))
