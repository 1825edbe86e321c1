"""How much of a document's words is read, beside other libraries: words found, words made up, seconds, memory.

    .venv/bin/python -m tests.quality.documents [--python PYTHON] [--json]

Real documents of Debian (policy, FAQ, a licence format) as PDF, EPUB and HTML, with the plain text that their packages
carry as well; and where LibreOffice is installed, one of them as it saves it in the formats of offices. Every reading
is a process of its own. Peers that ``PYTHON`` can import are run beside it (kreuzberg, markitdown, pypdf, python-docx,
trafilatura: in an environment of theirs, as they are no dependencies). Exit status 1 if we find less than 95 % of the
words of any.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PACKAGES = ("debian-policy", "debian-faq")
LEAST_FOUND = 0.95

_OURS = """
from lakewatchd.config import DecodeConfig
from lakewatchd.media import document
from lakewatchd.media.kinds import kind_of
document.load()
def read(path):
    with open(path, "rb") as stream:
        mime, _ = kind_of(stream.read(65536), path)
        return document.describe_document(stream, mime, path, DecodeConfig())[1]
"""
_PEERS = {
    "kreuzberg": """
from kreuzberg import ExtractionConfig, extract_file_sync
def read(path):
    return extract_file_sync(path, config=ExtractionConfig(use_cache=False)).content
""",
    "markitdown": """
from markitdown import MarkItDown
def read(path):
    return MarkItDown(enable_plugins=False).convert(path).text_content
""",
    "pypdf": """
import pypdf
def read(path):
    return "\\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
""",
    "python-docx": """
import docx
def read(path):
    document = docx.Document(path)
    cells = (cell.text for table in document.tables for row in table.rows for cell in row.cells)
    return "\\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])
""",
    "trafilatura": """
import trafilatura
def read(path):
    return trafilatura.extract(open(path, "rb").read()) or ""
""",
}
_READS = {"pypdf": {".pdf"}, "python-docx": {".docx"}, "trafilatura": {".html"}}
"""Others are asked for every format."""
_RUN = """
import json, resource, sys, time
began = time.perf_counter()
text = read(sys.argv[1])
took = time.perf_counter() - began
print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, text]))
"""


@dataclass(frozen=True, slots=True)
class Row:
    document: str
    reader: str
    found: float
    """Share of the words that are there."""
    right: float
    """Share of the words read that are there."""
    seconds: float
    memory_mb: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="the interpreter of an environment with peers")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_measure(Path(folder), chosen.python))
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print("| document | reader | words found | right | seconds | MB |\n|---|---|---|---|---|---|")
        for row in rows:
            numbers = f"{row.found:.3f} | {row.right:.3f} | {row.seconds:.2f} | {row.memory_mb}"
            print(f"| {row.document} | {row.reader} | {numbers} |")
    return 0 if all(row.found >= LEAST_FOUND for row in rows if row.reader == "lakewatchd") else 1


def _measure(folder: Path, peers: str | None) -> Iterator[Row]:
    for path, text in _documents(folder):
        words = _words(text)
        for reader, code in {"lakewatchd": _OURS, **(_PEERS if peers else {})}.items():
            if path.suffix not in _READS.get(reader, {path.suffix}):
                continue
            python = sys.executable if reader == "lakewatchd" else str(peers)
            done = subprocess.run([python, "-c", code + _RUN, str(path)], capture_output=True, text=True, check=False)
            if done.returncode:  # not installed, or it does not read that
                continue
            seconds, memory_mb, read = json.loads(done.stdout.splitlines()[-1])
            common = sum((words & _words(read)).values())
            right = common / max(1, sum(_words(read).values()))
            yield Row(path.name, reader, common / sum(words.values()), right, seconds, memory_mb)


def _words(text: str) -> collections.Counter[str]:
    return collections.Counter(re.findall(r"\w+", text.lower()))


def _documents(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each document, and its text as its package says it."""
    for package in PACKAGES:
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True)
        archive = next(folder.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(archive), "."], cwd=folder, check=True)
    docs = folder / "usr" / "share" / "doc"
    for packed in (*docs.rglob("*.txt.gz"), *docs.rglob("*.pdf.gz")):
        if packed.is_file():
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    policy, faq = docs / "debian-policy", docs / "debian" / "FAQ"
    yield policy / "policy.pdf", _text(policy / "policy.txt")
    yield policy / "policy.epub", _text(policy / "policy.txt")
    yield faq / "debian-faq.en.pdf", _text(faq / "debian-faq.en.txt")
    form = policy / "copyright-format-1.0.html"
    yield form, _text(policy / "copyright-format-1.0.txt")
    if office := shutil.which("soffice"):
        yield from _saved_by(office, form, _text(policy / "copyright-format-1.0.txt"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _saved_by(office: str, page: Path, text: str) -> Iterator[tuple[Path, str]]:
    def save(path: Path, form: str, *more: str) -> None:
        command = [office, "--headless", *more, "--convert-to", form, "--outdir", str(page.parent), str(path)]
        subprocess.run(command, check=True, capture_output=True)

    save(page, "odt:writer8", "--infilter=HTML (StarWriter)")
    yield page.with_suffix(".odt"), text
    for form in ("docx", "doc", "rtf", "fodt"):
        save(page.with_suffix(".odt"), form)
        yield page.with_suffix(f".{form}"), text


if __name__ == "__main__":
    sys.exit(main())
