"""Which entries of a root are left out, and by which rule: one matcher for watch, scan and ``explain``.

Rules are those of gitignore: the configured list first, then a ``.lakeignore`` per directory, the deepest and
last match deciding. An ignored directory is never entered, so nothing below it can be brought back.
Walking and watching are elsewhere.

The invariant: the answer for a path does not depend on who asks, nor on what was asked before.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lakewatchd.core.asset import path_text
from lakewatchd.errors import ConfigError

MAX_FILE_BYTES = 256 << 10
MAX_RULES = 1000
MAX_STARS = 3
"""Per path segment. The cost of a match grows with length ** stars, and these files come from strangers."""
MAX_PROBLEMS = 100
OR_BELOW = "(?:(?P<ps_d>/)|$)"
"""How pathspec ends a pattern. We ask level by level, so a rule is about the entry alone; and ``$`` would also match
before a newline that ends a file name."""

SYMLINK = "symbolic link"
SPECIAL = "special file"
OWN = "belongs to lakewatchd"
IGNORE_FILE = "ignore file"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. ``is_negated`` brings back what an earlier rule left out."""

    text: str
    regex: re.Pattern[str]
    is_negated: bool
    only_directories: bool


def parse_rule(line: str) -> Rule | None:
    """The rule a line holds; None for a blank or a comment. Raises ``ValueError`` with the reason."""
    from pathspec.patterns.gitignore.base import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    text = line if line.endswith("\\ ") else line.rstrip()
    if not text or text.startswith("#"):
        return None
    if any(len(re.findall(r"\*+", segment)) > MAX_STARS for segment in text.split("/")) or text.count("**") > MAX_STARS:
        raise ValueError(f"more than {MAX_STARS} wildcards")
    # A rule is matched against entries one level at a time, so "only directories" is a fact of the entry here
    only_directories = text.endswith("/")
    try:
        regex, include = GitIgnoreSpecPattern.pattern_to_regex(text.rstrip("/") if only_directories else text)
    except GitIgnorePatternError as exc:
        raise ValueError("not a gitignore pattern") from exc
    if regex is None:
        raise ValueError("matches nothing")
    if regex.endswith(OR_BELOW):
        regex = regex.removesuffix(OR_BELOW) + r"\Z"
    return Rule(text, re.compile(regex, re.DOTALL), not include, only_directories)


class RuleSet:
    """Rules of one origin, the last match deciding."""

    def __init__(self, rules: Iterable[Rule], origin: str) -> None:
        self.rules = tuple(rules)
        self.origin = origin
        texts = "\0".join(rule.text for rule in self.rules)
        self.digest = hashlib.blake2b(os.fsencode(texts), digest_size=16).digest()
        self._names: set[str] = set()
        self._starts: tuple[str, ...] = ()
        self._ends: tuple[str, ...] = ()
        self._needs_regex = False
        for rule in self.rules:
            self._index(rule)

    def match(self, name: str, path: str, is_dir: bool) -> Rule | None:
        """``path`` is relative to the directory of the rules and ends with ``name``."""
        if not (self._needs_regex or name in self._names or name.endswith(self._ends) or name.startswith(self._starts)):
            return None
        for rule in reversed(self.rules):
            if (is_dir or not rule.only_directories) and rule.regex.match(path):
                return rule
        return None

    def _index(self, rule: Rule) -> None:
        """Most rules are a name, ``*.end`` or ``start*``: telling those from other names takes no regex."""
        text = rule.text.removeprefix("!").rstrip("/")
        plain = text.strip("*")
        if not plain or any(c in plain for c in "*?[]\\/!"):
            self._needs_regex = True
        elif text == plain:
            self._names.add(plain)
        elif text == "*" + plain:
            self._ends += (plain,)
        elif text == plain + "*":
            self._starts += (plain,)
        else:
            self._needs_regex = True


@dataclass(frozen=True, slots=True)
class DirectoryRules:
    """What holds for the entries directly in one directory: ask this in a loop over them."""

    directory: str
    layers: tuple[tuple[int, RuleSet], ...]
    """Deepest first: the length of the part to cut off a path, and the rules."""
    ignore_file: str

    @property
    def identity(self) -> bytes:
        """Equal as long as the same rules hold."""
        return b"".join(b"%d:%b" % (cut, rules.digest) for cut, rules in self.layers) + os.fsencode(self.ignore_file)

    def why(self, name: str, is_dir: bool) -> str | None:
        """The rule that leaves the entry out, as text for people, or None."""
        if name == self.ignore_file:
            return IGNORE_FILE
        path = f"{self.directory}/{name}" if self.directory else name
        for cut, rules in self.layers:
            rule = rules.match(name, path[cut:] if cut else path, is_dir)
            if rule is not None:
                return None if rule.is_negated else f"{rules.origin}: {path_text(rule.text)}"
        return None


class IgnoreRules:
    """The rules of one root at ``base``. ``excluded`` are (device, inode) of lakewatchd's own directories.

    Raises :class:`ConfigError` naming every bad configured pattern. A bad line in an ignore file leaves nothing
    out and is listed in :attr:`problems`.
    """

    def __init__(
        self,
        base: Path,
        patterns: Iterable[str],
        ignore_file: str = ".lakeignore",
        excluded: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self._base = os.fspath(base)
        self.ignore_file = ignore_file
        self._excluded = excluded
        self._files: dict[str, tuple[tuple[int, int, int], RuleSet]] = {}
        self._problems: dict[str, list[str]] = {}
        rules, problems = _parse(patterns)
        if problems:
            raise ConfigError("watch.ignore: " + "; ".join(problems))
        self._configured = RuleSet(rules, "config")

    @property
    def problems(self) -> tuple[str, ...]:
        """Lines of ignore files that could not be used, and why. At most a hundred."""
        return tuple(text for texts in self._problems.copy().values() for text in texts)[:MAX_PROBLEMS]

    def why_ignored(self, path: str, is_dir: bool = False, *, cached: bool = False) -> str | None:
        """The rule that leaves out ``path`` or a directory above it, or None.

        ``cached`` asks only what was read before, so that it never blocks; the next scan catches up.
        """
        parts = path.split("/") if path else []
        layers: tuple[tuple[int, RuleSet], ...] = ((0, self._configured),)
        directory = ""
        for depth, name in enumerate(parts):
            layers = self._add_layer(directory, layers, cached)
            is_last = depth == len(parts) - 1
            why = DirectoryRules(directory, layers, self.ignore_file).why(name, is_dir or not is_last)
            if why is not None:
                return why
            directory = f"{directory}/{name}" if directory else name
        return None

    def within(self, directory: str, *, cached: bool = False) -> DirectoryRules:
        """The rules for the entries of ``directory``, which itself must not be ignored. ``cached`` as above."""
        layers = self._add_layer("", ((0, self._configured),), cached)
        for end in (i for i, c in enumerate(directory + "/") if directory and c == "/"):
            layers = self._add_layer(directory[:end], layers, cached)
        return DirectoryRules(directory, layers, self.ignore_file)

    def enter(self, above: DirectoryRules, directory: str) -> DirectoryRules:
        """As :meth:`within`, for a directory directly in that of ``above``: one look at the disk, however deep."""
        return DirectoryRules(directory, self._add_layer(directory, above.layers), self.ignore_file)

    def why_special(self, status: os.stat_result) -> str | None:
        """Why an entry is neither a file nor a directory to us, whatever it is called. Takes an ``lstat``."""
        if stat.S_ISREG(status.st_mode):
            return None
        if stat.S_ISDIR(status.st_mode):
            return OWN if (status.st_dev, status.st_ino) in self._excluded else None
        return SYMLINK if stat.S_ISLNK(status.st_mode) else SPECIAL

    def _add_layer(
        self, directory: str, layers: tuple[tuple[int, RuleSet], ...], cached: bool = False
    ) -> tuple[tuple[int, RuleSet], ...]:
        rules = self._files.get(directory, (None, None))[1] if cached else self._read(directory)
        return layers if rules is None else ((len(directory) + 1 if directory else 0, rules), *layers)

    def _read(self, directory: str) -> RuleSet | None:
        path = os.path.join(self._base, directory, self.ignore_file)  # noqa: PTH118 - hot, and names may be no text
        try:
            status = os.lstat(path)
        except (OSError, ValueError):
            self._forget(directory)
            return None
        if not stat.S_ISREG(status.st_mode):
            self._forget(directory)
            return None
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        cached = self._files.get(directory)
        if cached is None or cached[0] != signature:
            cached = (signature, self._load(directory, path))
            self._files[directory] = cached
        return cached[1]

    def _load(self, directory: str, path: str) -> RuleSet:
        origin = f"{self.ignore_file} in {path_text(directory)}" if directory else self.ignore_file
        lines, problems = _read_lines(path)
        rules, bad = _parse(lines)
        self._problems.pop(directory, None)
        if (problems or bad) and len(self._problems) < MAX_PROBLEMS:
            self._problems[directory] = [f"{origin}: {path_text(text)}" for text in (problems + bad)[:MAX_PROBLEMS]]
        return RuleSet(rules, origin)

    def _forget(self, directory: str) -> None:
        if self._files.pop(directory, None) is not None:
            self._problems.pop(directory, None)


def _read_lines(path: str) -> tuple[list[str], list[str]]:
    """Lines and problems. O_NONBLOCK and O_NOFOLLOW: the file may have become a FIFO or a link by now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        return [], [f"cannot be read ({exc.strerror})"]
    with os.fdopen(fd, "rb") as file:
        try:
            raw = file.read(MAX_FILE_BYTES + 1)
        except OSError as exc:
            return [], [f"cannot be read ({exc.strerror})"]
    problems = [f"only the first {MAX_FILE_BYTES} bytes are used"] if len(raw) > MAX_FILE_BYTES else []
    return os.fsdecode(raw[:MAX_FILE_BYTES].removeprefix(b"\xef\xbb\xbf")).split("\n"), problems


def bad_patterns(patterns: Iterable[str]) -> list[str]:
    """Why :class:`IgnoreRules` would not take these as configured ones: a line for each."""
    return _parse(patterns)[1]


def _parse(lines: Iterable[str]) -> tuple[list[Rule], list[str]]:
    rules: list[Rule] = []
    problems: list[str] = []
    for line in lines:
        try:
            rule = parse_rule(line)
        except ValueError as exc:
            problems.append(f"{line.strip()!r} {exc}")
            continue
        if rule is not None and len(rules) >= MAX_RULES:
            problems.append(f"only the first {MAX_RULES} rules are used")
            break
        if rule is not None:
            rules.append(rule)
    return rules, problems
