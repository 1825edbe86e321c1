"""``python -m tests.quality.yolo``: a detector that ultralytics loads, on a real photo.

The weights that come as a package know parts of people only (nudenet's YOLOv8n, AGPL-3.0, like ultralytics itself): a
face must be found where one is, and none in a cup of coffee. Both packages are installed into ``.cache/yolo``, not into
the environment of the checkout.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HOME = Path(__file__).resolve().parents[2] / ".cache" / "yolo"
PACKAGES = ("ultralytics==8.4.190", "ultralytics-thop==2.2.3", "nudenet==3.4.2")


def main() -> int:
    if not (HOME / "ready").exists():
        needed = [*PACKAGES] if _has("cv2") else [*PACKAGES, "opencv-python-headless"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(HOME), *needed]
        subprocess.run(pip, check=True)
        (HOME / "ready").touch()
    sys.path.insert(0, str(HOME))
    os.environ["YOLO_CONFIG_DIR"] = str(HOME)
    return asyncio.run(look())


def _has(module: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


async def look() -> int:
    import skimage.data

    from lakewatchd.models.ultralytics import UltralyticsDetector

    detector = UltralyticsDetector(str(HOME / "nudenet" / "320n.onnx"), "cpu", 1)
    astronaut, coffee = skimage.data.astronaut(), skimage.data.coffee()
    detector.detect([astronaut])
    started = time.monotonic()
    (woman, cup) = detector.detect([np.ascontiguousarray(astronaut), np.ascontiguousarray(coffee)])
    print(f"{(time.monotonic() - started) / 2 * 1000:.0f} ms a picture; astronaut: {woman}; coffee: {cup}")
    faces = [found for found in woman if "face" in found.name]
    assert faces and faces[0].score > 0.5, "no face"
    left, top, right, bottom = faces[0].box
    assert 0.3 < (left + right) / 2 < 0.6 and 0.1 < (top + bottom) / 2 < 0.4, "the face is elsewhere"
    assert not [found for found in cup if "face" in found.name]
    return 0


if __name__ == "__main__":
    sys.exit(main())
