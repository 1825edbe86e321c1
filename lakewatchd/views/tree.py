"""The folders of the view: pure structure over the catalog, no I/O, no FUSE.

::

    Catalog.apply(rows) -> Change(asset, before, after)
                              │  placements(): the folders a state belongs in
                              ▼
    Group      a folder that stands in the trie: its files and subfolders          (all folders but the next)
    by-tag/a/b the files that are in both groups: worked out when somebody looks
                              │  first list or lookup
                              ▼
    Listing    the names in a folder, cached, then kept up to date file by file

The invariant: after any sequence of :meth:`Tree.apply`, every answer equals that of a new tree given only the
rows as they are now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from lakewatchd.views.catalog import Catalog, Change, File, Rows, State
from lakewatchd.views.folders import RECENT, TAG, TAG_DEPTH, TOP, Folder, Placement, is_tagged, placements
from lakewatchd.views.listing import RECENT_FILES, Listing, Recent, asset_rank


@dataclass(frozen=True, slots=True)
class Branch:
    """A folder as its parent shows it. ``newest_ns`` is the latest modification of a file in it or below."""

    newest_ns: int
    links: int
    """2 + subfolders; 1, which means *not counted*, where counting would mean to list it."""


Entry = Branch | File


@dataclass(slots=True)
class Touched:
    """What a reader who remembers answers has to forget."""

    entries: dict[Folder, set[bytes]] = field(default_factory=dict)
    """Names that mean something else now."""
    folders: set[Folder] = field(default_factory=set)
    """Folders of the trie with another modification time or number of links."""
    tags: set[bytes] = field(default_factory=set)
    """Of every asset that changed: folders of several of these may have changed too."""
    dropped: set[Folder] = field(default_factory=set)
    """Folders that went, or whose listing had to make room: all of what was said of their entries."""

    def concerns(self, folder: Folder) -> bool:
        return folder in self.folders or (is_tagged(folder) and self.tags.issuperset(folder[1:]))


@dataclass(slots=True)
class Group:
    files: set[File] = field(default_factory=set)
    groups: dict[bytes, Group] = field(default_factory=dict)
    _newest_ns: int | None = 0

    @property
    def newest_ns(self) -> int:
        if self._newest_ns is None:
            below = [group.newest_ns for group in self.groups.values()]
            self._newest_ns = max((*below, *(file.mtime_ns for file in self.files)), default=0)
        return self._newest_ns

    def gains(self, mtime_ns: int) -> None:
        if self._newest_ns is not None:
            self._newest_ns = max(self._newest_ns, mtime_ns)

    def loses(self, mtime_ns: int) -> None:
        if self._newest_ns == mtime_ns:
            self._newest_ns = None


class Tree:
    """See the module. Not thread-safe: one owner applies and asks."""

    def __init__(self, listed_max: int = 2_000_000, recent: int = RECENT_FILES) -> None:
        """``listed_max`` bounds the entries of all cached listings together."""
        self.catalog = Catalog()
        self.files = 0
        self.total_bytes = 0
        """Of the assets shown, each counted once."""
        self._root = Group(groups={name: Group() for name in TOP})
        self._listings: OrderedDict[Folder, Listing] = OrderedDict()
        self._deep: dict[Folder, Listing] = {}
        """Those of the cached listings that are for several tags."""
        self._listed = 0
        self._listed_max = listed_max
        self._recent = Recent(recent)
        self._touched = Touched()

    # --- questions

    def folder(self, folder: Folder) -> Branch | None:
        """The folder itself, None if there is no such folder (any more)."""
        if len(folder) > 2 and is_tagged(folder):
            entry = self.lookup(folder[:-1], folder[-1])
            return entry if isinstance(entry, Branch) else None
        group = self._group(folder)
        return self._branch(folder, group) if group is not None else None

    def lookup(self, folder: Folder, name: bytes) -> Entry | None:
        listing = self._listing(folder)
        return None if listing is None else self._subfolder(folder, listing, name) or listing.names.entries.get(name)

    def entries(self, folder: Folder) -> list[tuple[bytes, Entry]]:
        """Everything in the folder as of now, unsorted (``recent``: newest first). Raises KeyError if there is none."""
        listing = self._listing(folder)
        if listing is None:
            raise KeyError(folder)
        group = self._group(folder)
        subfolders = listing.further if group is None or is_tagged(folder) else group.groups
        branches = [(name, self._subfolder(folder, listing, name)) for name in subfolders]
        files = list(listing.names.entries.items())
        if folder == (RECENT,):
            files.sort(key=lambda item: asset_rank(item[1]), reverse=True)
        return [*((name, branch) for name, branch in branches if branch is not None), *files]

    def _subfolder(self, folder: Folder, listing: Listing, name: bytes) -> Branch | None:
        if is_tagged(folder):
            return Branch(listing.newest_ns(name), 1) if name in listing.further else None
        parent = self._group(folder)
        group = parent.groups.get(name) if parent is not None else None
        return self._branch((*folder, name), group) if group is not None else None

    def _branch(self, folder: Folder, group: Group) -> Branch:
        return Branch(group.newest_ns, 1 if is_tagged(folder) else 2 + len(group.groups))

    def _group(self, folder: Folder) -> Group | None:
        group: Group | None = self._root
        for name in folder:
            group = group.groups.get(name) if group is not None else None
        return group

    def _listing(self, folder: Folder) -> Listing | None:
        listing = self._listings.get(folder)
        if listing is not None:
            self._listings.move_to_end(folder)
            return listing
        files = self._members(folder)
        if files is None:
            return None
        listing = Listing(folder)
        group = None if is_tagged(folder) else self._group(folder)
        for name in group.groups if group is not None else ():
            listing.names.reserve(name)
        listing.fill(files)
        self._keep(folder, listing)
        return listing

    def _members(self, folder: Folder) -> set[File] | None:
        if not is_tagged(folder):
            group = self._group(folder)
            return group.files if group is not None else None
        tags = folder[1:]
        groups = [self._group((TAG, tag)) for tag in tags]
        if len(tags) > TAG_DEPTH or len(set(tags)) < len(tags):
            return None
        sets = sorted((group.files for group in groups if group is not None), key=len)
        return (sets[0].intersection(*sets[1:]) or None) if len(sets) == len(tags) else None

    def _keep(self, folder: Folder, listing: Listing) -> None:
        listing.cost = 1 + len(listing.names.entries)
        self._listed += listing.cost
        self._listings[folder] = listing
        if len(listing.tags) > 1:
            self._deep[folder] = listing
        while self._listed > self._listed_max and len(self._listings) > 1:
            self._drop(next(iter(self._listings)))

    def _drop(self, folder: Folder) -> None:
        listing = self._listings.pop(folder, None)
        if listing is not None:
            self._listed -= listing.cost
            self._deep.pop(folder, None)
            self._touched.dropped.add(folder)

    # --- changes

    def apply(self, rows: Rows) -> Touched:
        """Take in changed rows. Costs time with the number of rows, not with the size of the folders."""
        for change in self.catalog.apply(rows):
            self._apply(change)
        self._refresh_recent()
        touched, self._touched = self._touched, Touched()
        for folder in [*touched.folders, *(deep for deep in self._deep if touched.concerns(deep))]:
            listing = self._listings.get(folder)
            if listing is not None and listing.names.changed:
                touched.entries[folder] = set(listing.names.changed)
                listing.names.changed.clear()
        return touched

    def _apply(self, change: Change) -> None:
        before, after = dict.fromkeys(placements(change.before)), dict.fromkeys(placements(change.after))
        left = [place for place in before if place not in after]
        joined = [place for place in after if place not in before]
        for place in left:
            self._leave(place)
        self._narrow(change.before, change.after)
        for place in joined:
            self._join(place)
        self._count(change)

    def _leave(self, place: Placement) -> None:
        path = [self._root]
        for name in place.folder:
            path.append(path[-1].groups[name])
        path[-1].files.discard(place.file)
        if (listing := self._listings.get(place.folder)) is not None:
            listing.discard(place.file, place.tags)
        for group in path:
            group.loses(place.file.mtime_ns)
        self._touch(place)
        self._prune(place.folder, path)

    def _prune(self, folder: Folder, path: list[Group]) -> None:
        """Folders that became empty go, up to the top ones, which stay."""
        while len(folder) > 1 and not path[-1].files and not path[-1].groups:
            path.pop()
            self._drop(folder)
            folder, name = folder[:-1], folder[-1]
            del path[-1].groups[name]
            if (listing := self._listings.get(folder)) is not None:
                listing.names.release(name)

    def _join(self, place: Placement) -> None:
        group, at = self._root, 0
        for at, name in enumerate(place.folder):
            group.gains(place.file.mtime_ns)
            if name not in group.groups:
                group.groups[name] = Group()
                if (listing := self._listings.get(place.folder[:at])) is not None:
                    listing.names.reserve(name)
            group = group.groups[name]
        group.gains(place.file.mtime_ns)
        group.files.add(place.file)
        if (listing := self._listings.get(place.folder)) is not None:
            listing.add(place.file, place.tags)
        self._touch(place)

    def _touch(self, place: Placement) -> None:
        self._touched.folders.update(place.folder[:depth] for depth in range(len(place.folder) + 1))
        self._touched.tags.update(place.tags)

    def _narrow(self, before: State, after: State) -> None:
        """Keep up the cached listings of several tags, which are no groups of the trie."""
        old, new = _tagged(before), _tagged(after)
        if old == new:
            return
        for folder, listing in list(self._deep.items()):
            for tagged, step in ((old, listing.discard), (new, listing.add)):
                if tagged is not None and listing.tags.issubset(tagged[1]):
                    step(*tagged)
            if not listing.names.entries:
                self._drop(folder)

    def _count(self, change: Change) -> None:
        for sign, state in ((-1, change.before), (1, change.after)):
            if state.files and state.facts is not None:
                self.files += sign
                self.total_bytes += sign * state.files[0].size_bytes
                (self._recent.add if sign > 0 else self._recent.discard)(state.files[0])

    def _refresh_recent(self) -> None:
        shown = self._root.groups[RECENT].files
        newest = self._recent.newest(self._shown())
        for file in shown - newest:
            self._leave(Placement((RECENT,), file))
        for file in newest - shown:
            self._join(Placement((RECENT,), file))

    def _shown(self) -> Iterator[File]:
        states = (asset.state for asset in self.catalog.assets.values())
        return (state.files[0] for state in states if state.files and state.facts is not None)


def _tagged(state: State) -> tuple[File, tuple[bytes, ...]] | None:
    return (state.files[0], state.facts.tag_folders) if state.files and state.facts is not None else None
