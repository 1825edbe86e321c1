"""``lakewatchd bucket``: which buckets are roots, and what their servers need to tell of changes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakewatchd.cli.output import EXAMPLES, console, print_json, safe
from lakewatchd.core.nearest import did_you_mean
from lakewatchd.errors import ConfigError, LakewatchError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lakewatchd.buckets.client import Bucket
    from lakewatchd.buckets.notifications import Target
    from lakewatchd.config import BucketConfig, Config

_VIAS = ("listen", "webhook", "mqtt", "redis")

_EPILOG = """\
examples:
  lakewatchd bucket list
  lakewatchd bucket setup photos                        (says what to set up, and changes nothing)
  lakewatchd bucket setup photos --via mqtt --apply     (has the bucket tell the broker of every change)
"""

_SETUP_EPILOG = """\
Two parts belong together. The server's: where to send events; it is shown for the server's environment and for mc,
MinIO's client, and takes effect when the server starts. The bucket's: which events to send there; --apply does that,
and keeps the bucket's other rules. Secrets are not shown: <webhook_token> stands for the one in the configuration.

examples:
  lakewatchd bucket setup photos
  lakewatchd bucket setup photos --via mqtt --apply

Exit code 1 if --apply could not do all of it.
"""


@dataclass(frozen=True, slots=True)
class BucketView:
    """A line of `lakewatchd bucket list`."""

    root: str
    bucket: str
    endpoint: str
    prefix: str
    keys: str
    """Where they were found."""
    ways: tuple[str, ...]
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class WayView:
    """One way of `lakewatchd bucket setup`."""

    via: str
    arn: str
    environment: tuple[tuple[str, str], ...]
    mc: tuple[str, ...]
    is_set: bool | None
    """Whether the bucket tells it of every change; None where nobody could say."""
    changed: bool = False
    note: str = ""
    problem: str = ""
    hint: str = ""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bucket",
        help="buckets, and what their servers need to tell of changes",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=EXAMPLES,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list",
        help="which buckets are roots, and whether they answer",
        epilog="example:\n  lakewatchd bucket list\n\nExit code 1 if one of them does not answer.",
        formatter_class=EXAMPLES,
    )
    listing.add_argument("--json", action="store_true", help="for scripts")
    listing.set_defaults(func=run_list)
    setup = commands.add_parser(
        "setup",
        help="what a server needs to tell of changes; --apply sets the bucket's part",
        epilog=_SETUP_EPILOG,
        formatter_class=EXAMPLES,
    )
    setup.add_argument("name", metavar="NAME", help="the name of a root that is a bucket")
    setup.add_argument("--via", choices=_VIAS, metavar="WAY", help="only this one: listen, webhook, mqtt or redis")
    setup.add_argument("--target", metavar="ID", default="", help="what the server calls it (default: like the root)")
    setup.add_argument("--apply", action="store_true", help="set the bucket's notification rules")
    setup.add_argument("--json", action="store_true", help="for scripts")
    setup.set_defaults(func=run_setup)


def run_list(args: argparse.Namespace) -> int:
    from lakewatchd import config

    settings = config.load(args.config)
    views = [_view(item, settings) for item in settings.buckets]
    if args.json:
        print_json({"buckets": views})
        return _exit_code(views)
    out = console()
    if not views:
        out.print(safe("no root is a bucket", "dim"))
    for view in views:
        sign, colour = ("✗", "red") if view.problem else ("✓", "green")
        what = f"{view.bucket}/{view.prefix} at {view.endpoint}" if view.prefix else f"{view.bucket} at {view.endpoint}"
        line = safe(f"{sign} ", colour).append(safe(f"{view.root}: ", "bold"))
        line.append(safe(f"{what}; keys: {view.keys}; told by: {', '.join(view.ways) or 'rescans only'}"))
        if view.problem:
            line.append("\n    ").append(safe(view.problem)).append("\n    fix: ").append(safe(view.hint))
        out.print(line)
    return _exit_code(views)


def _exit_code(views: list[BucketView]) -> int:
    return 1 if any(view.problem for view in views) else 0


def _view(root: BucketConfig, settings: Config) -> BucketView:
    from lakewatchd.buckets.client import Bucket
    from lakewatchd.buckets.notifications import vias_of

    bucket = Bucket(root, settings.objects)
    keys, problem, hint = "not found", "", ""
    try:
        keys = bucket.origin
        bucket.require()
    except LakewatchError as exc:
        problem, hint = exc.message, exc.hint or ""
    finally:
        bucket.close()
    return BucketView(root.name, root.bucket, root.endpoint, root.prefix, keys, vias_of(root), problem, hint)


def run_setup(args: argparse.Namespace) -> int:
    from lakewatchd import config
    from lakewatchd.buckets.client import Bucket
    from lakewatchd.buckets.notifications import target_of, vias_of

    settings = config.load(args.config)
    root = _root(settings, args.name)
    vias = (args.via,) if args.via else vias_of(root)
    if not vias:
        raise ConfigError(
            f"root {root.name}: no way is configured: only rescans find changes",
            "listen = true, webhook_token, mqtt or redis in its [[root]]",
        )
    targets = [target_of(root, settings.web, via, args.target) for via in vias]
    bucket = Bucket(root, settings.objects)
    try:
        ways = [_way(bucket, target, apply=args.apply) for target in targets]
    finally:
        bucket.close()
    if args.json:
        print_json({"root": root.name, "bucket": root.bucket, "endpoint": root.endpoint, "ways": ways})
    else:
        _show(root, ways, applied=args.apply)
    return 1 if args.apply and any(way.problem for way in ways) else 0


def _root(settings: Config, name: str) -> BucketConfig:
    for root in settings.buckets:
        if root.name == name:
            return root
    if any(root.name == name for root in settings.roots):
        raise ConfigError(f"root {name} is a directory: nothing to set up", "lakewatchd status shows how it is watched")
    tip = did_you_mean(name, (root.name for root in settings.buckets), "buckets")
    raise ConfigError(f"no root named {name!r}; {tip}", "see [[root]] in the configuration")


def _way(bucket: Bucket, target: Target, *, apply: bool) -> WayView:
    from lakewatchd.buckets import notifications

    is_set, changed, problem, hint = None, False, "", ""
    try:
        if target.arn and apply:
            changed = notifications.apply(bucket, target)
            is_set = True
        elif target.arn:
            prefix = bucket.settings.prefix
            is_set = any(rule.tells_all(target, prefix) for rule in notifications.rules_of(bucket))
    except LakewatchError as exc:
        problem, hint = exc.message, exc.hint or ""
    return WayView(target.via, target.arn, target.environ, target.mc, is_set, changed, target.note, problem, hint)


def _show(root: BucketConfig, ways: list[WayView], *, applied: bool) -> None:
    out = console()
    out.print(safe(f"root {root.name}: bucket {root.bucket} at {root.endpoint}", "dim"))
    for way in ways:
        out.print()
        out.print(safe(way.via, "bold"))
        if way.environment and not (applied and way.is_set):
            out.print(safe("  the server's environment (then restart it):"))
            for name, value in way.environment:
                out.print(safe(f"    {name}={value}"))
            out.print(safe("  or by mc, which also does the bucket's part:"))
            for command in way.mc:
                out.print(safe(f"    {command}"))
        if way.arn:
            out.print(safe(f"  the bucket's rule for {way.arn}: {_state(way)}"))
        if way.note:
            out.print(safe(f"  note: {way.note}"))
        if way.problem:
            out.print(safe(f"  {way.problem}", "red"))
            if way.hint:
                out.print(safe(f"    fix: {way.hint}"))
        elif way.is_set is False and not applied:
            out.print(safe(f"    set it: lakewatchd bucket setup {root.name} --via {way.via} --apply"))


def _state(way: WayView) -> str:
    if way.changed:
        return "set now"
    return {True: "is set", False: "is not set", None: "not known"}[way.is_set]
