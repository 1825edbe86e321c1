"""A folder of real photos and texts, taken from what installed packages carry. Used by the quickstart and by tests.

Nothing is downloaded and nothing of it lies in the repository: each file keeps the licence of its package. The
texts are the packages' own descriptions and licences, under names a person would give them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from pathlib import Path

# Package, file inside it, name in the sample.
PHOTOS = (
    ("sklearn", "datasets/images/china.jpg", "Travel/Beijing Summer Palace.jpg"),
    ("skimage", "data/motorcycle_left.png", "Travel/garage with motorcycle.png"),
    ("skimage", "data/rocket.jpg", "Travel/Cape Canaveral launch.jpg"),
    ("sklearn", "datasets/images/flower.jpg", "Garden/dahlia.jpg"),
    ("skimage", "data/grass.png", "Garden/lawn.png"),
    ("skimage", "data/gravel.png", "Garden/gravel path.png"),
    ("skimage", "data/brick.png", "Garden/new wall.png"),
    ("skimage", "data/chelsea.png", "Family/Chelsea.png"),
    ("skimage", "data/astronaut.png", "Family/Eileen at work.png"),
    ("skimage", "data/camera.png", "Family/grandpa filming.png"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "Family/Grace.jpg"),
    ("skimage", "data/coffee.png", "Food/espresso.png"),
    ("skimage", "data/moon.png", "Science/moon.png"),
    ("skimage", "data/hubble_deep_field.jpg", "Science/Hubble deep field.jpg"),
    ("skimage", "data/retina.jpg", "Science/retina scan.jpg"),
    ("skimage", "data/ihc.png", "Science/tissue under the microscope.png"),
    ("skimage", "data/cell.png", "Science/cell.png"),
    ("skimage", "data/coins.png", "Collection/Greek coins.png"),
    ("skimage", "data/horse.png", "Collection/horse silhouette.png"),
    ("skimage", "data/clock_motion.png", "Collection/clock, shaken.png"),
    ("skimage", "data/page.png", "Documents/scans/book page.png"),
    ("skimage", "data/text.png", "Documents/scans/handwriting.png"),
    # The same picture in two places: one asset, shown under duplicates/.
    ("skimage", "data/coffee.png", "Travel/that café in Pisa.png"),
)
TEXTS = tuple(
    ("sklearn", f"datasets/descr/{name}.rst", f"Science/data sets/{title}.rst")
    for name, title in (
        ("iris", "Iris flowers"),
        ("wine_data", "Wine recognition"),
        ("diabetes", "Diabetes study"),
        ("breast_cancer", "Breast cancer study"),
        ("california_housing", "House prices in California"),
        ("covtype", "Forest cover"),
        ("linnerud", "Exercise in a fitness club"),
        ("olivetti_faces", "Faces"),
        ("species_distributions", "Where animals live"),
        ("twenty_newsgroups", "Newsgroups"),
    )
)
READMES = (
    "rich", "pillow", "lancedb", "watchdog", "numpy", "scipy", "matplotlib", "scikit-image", "scikit-learn", "torch",
    "transformers", "timm", "onnxruntime", "pyarrow", "pathspec", "safetensors",
)  # fmt: skip


def assemble(target: Path) -> int:
    """Fill ``target`` with what is missing of the sample; how many files it has then.

    What a person changed or added there stays. A package that is not installed costs its files only.
    """
    for package, inside, name in (*PHOTOS, *TEXTS):
        source = _package_dir(package) / inside
        if source.is_file():
            _put(target / name, source)
    for package in READMES:
        _put(target / "Documents" / "manuals" / f"{package}.md", _readme(package))
    for licence in sorted(Path("/usr/share/common-licenses").glob("*")):
        if licence.is_file() and not licence.is_symlink():
            _put(target / "Documents" / "licences" / f"{licence.name}.txt", licence)
    return sum(path.is_file() for path in target.rglob("*"))


def _put(target: Path, source: Path | str) -> None:
    if target.exists() or source == "":
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        shutil.copyfile(source, target)
    else:
        target.write_text(source, encoding="utf-8")


def _package_dir(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


def _readme(package: str) -> str:
    try:
        metadata = importlib.metadata.distribution(package).read_text("METADATA") or ""
    except importlib.metadata.PackageNotFoundError:
        return ""
    return metadata.partition("\n\n")[2]  # behind the header: the README


if __name__ == "__main__":
    print(f"{assemble(Path(sys.argv[1]))} files in {sys.argv[1]}")
