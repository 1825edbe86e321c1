"""The words of the lake, in memory: which of them begin with what was typed, or hold it.

"Steuer" is in "Einkommensteuerbescheid", which no index of words knows. An index of trigrams would, at five times the
size and for every write; the different words themselves are few (4 MB of 200 000 assets, 1.2 s to collect, 5 ms to look
through), so each process that searches collects them when they are first needed. Known are the words of ``text`` in
``gold_assets``: names, folders, titles, tags and the beginning of what a file says.

Invariant: a word that was in the newest version when the call began is known, up to :data:`MOST` different ones; one
that is gone may be known still. All calls block.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lakewatchd.lake.lance_errors import translated
from lakewatchd.lake.roll import Rows

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 4_000_000
"""Different words, some 50 MB."""
SHORTEST, LONGEST = 3, 40
"""Characters of a word that is kept; the index of words reads no longer ones."""
_BESIDE = 3
"""Characters before a part that is not the beginning: "rain" is no part of "train"."""
_AT_ONCE = 8192
"""Texts in a batch, of which each word is looked at once."""
_TOGETHER_BYTES = 32_000_000
"""Words of batches that are compared at once, which takes some ten times as much: of texts that people wrote, a few
megabytes a batch; of logs and tables of numbers, as many as there is text."""


class Terms:
    def __init__(self, gold: Rows) -> None:
        self._gold = gold
        self._runs: list[pa.Array] = []
        """Different words, folded, in arrays of which each is at least twice as long as the next."""
        self._read: set[tuple[int, str]] = set()
        """Fragments, with the path of their first file: they never change but for rows that go."""
        self._lock = threading.Lock()

    def holding(self, part: str, most: int, *, inside: bool) -> list[str]:
        """Words that begin with ``part`` and go on, or (``inside``) hold it behind at least three other characters; at
        most ``most``, those that begin with it and the shortest first. Folded: lower case, no accents."""
        import pyarrow as pa
        import pyarrow.compute as pc

        folded = _folded(pa.array([part]))[0].as_py()
        if not folded:
            return []
        runs = self.collect()
        found: set[str] = set()
        for run in runs:
            which = pc.match_substring(run, folded) if inside else pc.starts_with(run, folded)
            found.update(run.filter(which).to_pylist())
        placed = ((word.find(folded), word) for word in found if word != folded)
        fitting = [(bool(at), len(word), word) for at, word in placed if not at or at >= _BESIDE]
        return [word for _, _, word in sorted(fitting)[:most]]

    def collect(self) -> list[pa.Array]:
        """Read what is new: some 6 s of a core for a million assets that are all new."""
        with self._lock, translated("collecting the words of the lake"):
            if (dataset := self._gold.newest()) is not None:
                there = {(one.fragment_id, one.metadata.files[0].path): one for one in dataset.get_fragments()}
                if new := [one for key, one in there.items() if key not in self._read]:
                    self._learn(dataset.scanner(columns=["text"], fragments=new, batch_size=_AT_ONCE).to_batches())
                self._read = set(there)
            return list(self._runs)

    def _learn(self, batches: Iterator[pa.RecordBatch]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        rough = list[pa.Array]()
        for batch in batches:
            if sum(map(len, self._runs)) >= MOST:
                return
            rough.append(pc.unique(pc.list_flatten(pc.ascii_split_whitespace(batch["text"]))))
            if sum(words.nbytes for words in rough) >= _TOGETHER_BYTES:
                self._keep(_words_of(rough))
                rough = []
        if rough:
            self._keep(_words_of(rough))

    def _keep(self, run: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = pc.unique(pa.concat_arrays([self._runs.pop(), run]))
        self._runs.append(run)


def _words_of(rough: list[pa.Array]) -> pa.Array:
    """Different words of what stands between spaces."""
    import pyarrow as pa
    import pyarrow.compute as pc

    split = pc.split_pattern_regex(_folded(pc.unique(pa.chunked_array(rough).combine_chunks())), r"[^\pL\pN]+")
    words = pc.unique(pc.list_flatten(split))
    length = pc.utf8_length(words)
    return words.filter(pc.and_(pc.greater_equal(length, SHORTEST), pc.less_equal(length, LONGEST)))


def _folded(texts: pa.Array) -> pa.Array:
    """As the index folds them, but for the stem."""
    import pyarrow.compute as pc

    plain = pc.replace_substring(pc.utf8_lower(texts), "ß", "ss")
    return pc.replace_substring_regex(pc.utf8_normalize(plain, "NFKD"), r"\pM+", "")
