"""Fetches models while there is a network: ``python -m lakewatchd.models MODEL_DIR [--text NAME]``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from lakewatchd import errors
from lakewatchd.config import ModelConfig
from lakewatchd.models import fetch, hub
from lakewatchd.models.base import Role


def main(arguments: list[str] | None = None) -> int:
    """0 if all that was asked for is there, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m lakewatchd.models", description="Fetch the models.")
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--image-text", metavar="NAME", help="an open_clip model: hf-hub:ORG/REPO or MODEL/WEIGHTS")
    parser.add_argument("--text", metavar="NAME", help="a sentence encoder on the hub")
    options = parser.parse_args(arguments)
    fetched = fetch.fetch(options.model_dir, progress=print)
    problems: list[errors.LakewatchError] = list(fetched.problems)
    ready = list(fetched.ready)
    for role, name in ((Role.IMAGE_TEXT, options.image_text), (Role.TEXT, options.text)):
        if name:
            try:
                asyncio.run(hub.learn(role, name, options.model_dir, ModelConfig(), progress=print))
            except errors.LakewatchError as exc:
                problems.append(exc)
    print(f"{options.model_dir}: {', '.join(ready) or 'nothing'} ready")
    for problem in problems:
        print(f"{problem.message}\n  {problem.hint or ''}".rstrip(), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
