"""Makes ``lakewatchd/stages/backgrounds/*.npy``: vectors of texts that are about nothing in particular to a taxonomy.

    .venv/bin/python -m tests.quality.background DIRECTORY

DIRECTORY holds the files of Debian's packages fortunes and fortunes-min (``usr/share/games/fortunes``): sayings, quotes
and jokes about everything. To these come the descriptions of the Python packages that are installed here. None of the
texts can be read back from the vectors. It is run once for a model; the result is a part of the package.
"""

from __future__ import annotations

import asyncio
import email
import importlib.metadata
import random
import sys
from pathlib import Path

import numpy as np

from bench.common import MODELS
from lakewatchd.config import ModelConfig
from lakewatchd.models.base import Role
from lakewatchd.models.client import Inference
from lakewatchd.models.resolve import resolve
from lakewatchd.stages import background

FORTUNES, DESCRIPTIONS = 160, 96
CHARS = range(120, 1500)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    dice = random.Random(1)
    texts = dice.sample(sorted(_fortunes(Path(sys.argv[1]))), FORTUNES)
    texts += dice.sample(sorted(_descriptions()), DESCRIPTIONS)
    name, vectors = asyncio.run(_embedded(texts))
    file = Path(background.__file__).parent / "backgrounds" / f"{name.rpartition('/')[2]}.npy"
    np.save(file, background.pack(vectors.astype(np.float64)))
    print(f"{len(texts)} texts -> {file}, {file.stat().st_size} bytes")
    return 0


def _fortunes(folder: Path) -> set[str]:
    files = [file for file in folder.iterdir() if file.is_file() and not file.suffix]
    parts = (part.strip() for file in files for part in file.read_text(errors="replace").split("\n%\n"))
    return {part for part in parts if len(part) in CHARS}


def _descriptions() -> set[str]:
    heads = (distribution.read_text("METADATA") or "" for distribution in importlib.metadata.distributions())
    texts = (str(email.message_from_string(head).get_payload()).strip()[: CHARS.stop - 1] for head in heads)
    return {text for text in texts if len(text) in CHARS}


async def _embedded(texts: list[str]) -> tuple[str, np.ndarray]:
    models = Inference(config := ModelConfig(batch=16), resolve(config, MODELS))
    try:
        info = models.info(Role.TEXT)
        assert info is not None, "lakewatchd models fetch"
        return info.name, np.asarray(await models.embed_passages(texts))
    finally:
        await models.close()


if __name__ == "__main__":
    sys.exit(main())
