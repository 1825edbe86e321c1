"""Numbers of the index: of assets, places and folders, made of hashes, so that they are the same when it is made anew.

::

    item    [1 bit: a place][16 bits: shelf, the first four digits of the identity][20 bits: hash]
    number  [bit 62][25 bits: folder][37 bits: item]      an inode; all others have bit 62 clear

The invariant: what an inode number stands for is read from the number, so nobody has to remember which of a million the
kernel knows; and another content at the same place has another number.
"""

from __future__ import annotations

import hashlib

from lakewatchd.core.asset import AssetId, PathKey

ITEM_BITS = 37
SHELF_BITS = 20
NAME_BITS = 48
PLACE = 1 << 36
INDEXED = 1 << 62
PROBES = 1024
"""Two of one hash stand beside each other. So many of one are no accident, and the last is not shown."""
DEEP = 1 << 24
"""Set in ids of folders that are worked out when somebody looks."""
RESERVED = -1


def asset_slot(asset_id: AssetId) -> int:
    """Where the item of an asset is looked for first."""
    return _slot(asset_id[:4], asset_id)


def place_slot(key: PathKey, asset_id: AssetId) -> int:
    return PLACE | _slot(key.occurrence_id[:4], key.occurrence_id + asset_id)


def place_key(key: PathKey) -> int:
    return int(key.occurrence_id[:15], 16)


def name_hash(name: bytes) -> int:
    return _hash(name) & (1 << NAME_BITS) - 1


def folder_slot(path: tuple[bytes, ...]) -> int:
    return 1 + _hash(b"/".join(path)) % (DEEP - 1 - PROBES)


def shelf(item: int) -> tuple[int, int]:
    """The items whose identities begin as this one's, first and last."""
    first = item >> SHELF_BITS << SHELF_BITS
    return first, first | (1 << SHELF_BITS) - 1


def is_place(item: int) -> bool:
    return item & PLACE != 0


def inode(folder: int, item: int) -> int:
    return INDEXED | folder << ITEM_BITS | item


def item_of(number: int) -> int | None:
    """None for an inode that is not the index's."""
    return number & (1 << ITEM_BITS) - 1 if number & INDEXED else None


def _slot(digits: str, text: str) -> int:
    try:
        head = int(digits, 16)
    except ValueError:  # no identity of ours, and still one number
        head = _hash(digits.encode(errors="replace")) & 0xFFFF
    return (head & 0xFFFF) << SHELF_BITS | _hash(text.encode(errors="replace")) % ((1 << SHELF_BITS) - PROBES)


def _hash(raw: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest())
