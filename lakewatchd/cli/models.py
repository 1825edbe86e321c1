"""``lakewatchd models``: which models are used, and getting them: the embedded ones, and those that a hub has."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, progress_bar, safe, show_error
from lakewatchd.core.status import ModelView

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.config import Config

_EPILOG = """\
examples:
  lakewatchd models list
  lakewatchd models fetch

Exit code 1 if a model could not be had; lakewatchd works without, and says what is missing.
"""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "models", help="list or fetch models", description=__doc__, epilog=_EPILOG, formatter_class=EXAMPLES
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="what would be used now", epilog=_EPILOG, formatter_class=EXAMPLES)
    listing.add_argument("--json", action="store_true", help="for scripts")
    listing.set_defaults(func=_list)
    fetching = actions.add_parser(
        "fetch", help="get what is missing of the configured models", epilog=_EPILOG, formatter_class=EXAMPLES
    )
    fetching.add_argument("--to", type=Path, metavar="DIR", help="all embedded ones, there")
    fetching.set_defaults(func=_fetch)


def _list(args: argparse.Namespace) -> int:
    from lakewatchd import config

    views = _views(config.load(args.config))
    if args.json:
        print_json(views)
    else:
        from lakewatchd.cli.render import models_view

        console().print(models_view(views))
    return 1 if any(view.state == "missing" for view in views) else 0


def _views(settings: Config) -> tuple[ModelView, ...]:
    from lakewatchd.models.resolve import resolve

    resolved = resolve(settings.models, settings.model_dir)
    problems = {problem.role: f"{problem.message}; {problem.hint}" for problem in reversed(resolved.problems)}
    present = [
        ModelView(role.value, spec.info.name, "idle", problems.get(role, "")) for role, spec in resolved.specs.items()
    ]
    absent = [
        ModelView(role.value, "-", "missing", text) for role, text in problems.items() if role not in resolved.specs
    ]
    return (*present, *absent)


def _fetch(args: argparse.Namespace) -> int:
    """The embedded model of a role also where another one is configured: it serves while that one cannot be had."""
    from lakewatchd import config
    from lakewatchd.models import fetch, hub
    from lakewatchd.models.base import Role

    settings = config.Config() if args.to else config.load(args.config)
    target = args.to.absolute() if args.to else settings.model_dir
    wanted = [role for role in Role if getattr(settings.models, role.value) != hub.OFF]
    with progress_bar("fetching models") as update:
        fetched = fetch.fetch(target, lambda line: update(0, None, line), wanted)
        problems = (
            *fetched.problems,
            *hub.fetch_configured(settings.models, target, lambda line: update(0, None, line)),
        )
    for problem in problems:
        show_error(problem)
    console().print(safe(f"ready in {target}: {', '.join(role.value for role in fetched.ready) or 'none'}"))
    return 1 if problems else 0
