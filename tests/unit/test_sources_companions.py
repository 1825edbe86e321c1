"""Which names belong together."""

from __future__ import annotations

import pytest

from lakewatchd.core.asset import PathKey
from lakewatchd.core.companions import group_of
from lakewatchd.sources.companions import Groups

LONG = "Screenshot_20240131-181500_Some very long app name"
"""50 characters: Takeout cuts it."""

TOGETHER = [
    ("IMG_1.jpg", "IMG_1.xmp", "IMG_1.jpg.xmp", "IMG_1.JPG", "img_1.XMP", "IMG_1.aae"),
    ("a/IMG_1234.HEIC", "a/IMG_1234.MOV", "a/IMG_1234.AAE", "a/IMG_E1234.HEIC", "a/IMG_O1234.AAE"),
    ("DSC_1.NEF", "DSC_1.JPG", "DSC_1.NEF.xmp", "DSC_1.xmp", "DSC_1.dng"),
    ("PXL_1.MP.jpg", "PXL_1.MP.jpg.json", "PXL_1.MP"),
    ("IMG_1.jpg", "IMG_1.jpg.json", "IMG_1.jpg.supplemental-metadata.json", "IMG_1.jpg.suppl.json", "IMG_1.jpg..json"),
    ("IMG_1(2).jpg", "IMG_1.jpg(2).json", "IMG_1.jpg.supplemental-metadata(2).json", "IMG_1-edited(2).jpg"),
    ("IMG_1.jpg", "IMG_1-edited.jpg", "IMG_1.json"),
    (f"{LONG}.jpg", f"{LONG[:46]}.json", f"{LONG}.mp4"),
    (f"{LONG[:44]}.jpg", f"{LONG[:44]}.j.json"),
    (f"{LONG[:42]}.jpg", f"{LONG[:42]}.jpg.json", f"{LONG[:42]}.jpg.s.json"),
    ("film.mkv", "film.srt", "film.en.srt", "film.pt-BR.vtt", "film.eng.forced.srt", "film.mkv.srt"),
    ("GX010123.MP4", "GX010123.THM", "GL010123.LRV"),
    ("MVI_1.MP4", "MVI_1.THM", "MVI_1.xmp"),
    (f"{LONG[:47]}(1).jpg", f"{LONG[:46]}(1).json"),
    ("dir.jpg/a.jpg", "dir.jpg/a.xmp"),
    ("\udcff\n.jpg", "\udcff\n.jpg.xmp"),
    (".jpg.xmp", ".jpg.aae"),
]

APART = [
    ("IMG_1.jpg", "IMG_2.jpg"),
    ("IMG_1.jpg", "IMG_1(1).jpg"),
    ("IMG_1(1).jpg", "IMG_1.jpg(2).json"),
    ("a/IMG_1.jpg", "b/IMG_1.jpg"),
    ("a/IMG_1.jpg", "IMG_1.xmp"),
    ("film.one.mkv", "film.two.mkv"),
    ("en.mkv", "film.en.srt"),
    (f"{LONG} 1 and more.jpg", f"{LONG} 2 and more.jpg"),
    (f"{LONG[:47]}(1).jpg", f"{LONG[:47]}(2).jpg"),
]


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0][-20:])
def test_what_belongs_together(names: tuple[str, ...]) -> None:
    groups = {group_of(name) for name in names}
    assert len(groups) == 1 and None not in groups, {name: group_of(name) for name in names}


@pytest.mark.parametrize("names", APART, ids=lambda names: names[0][-20:])
def test_what_does_not(names: tuple[str, ...]) -> None:
    assert len({group_of(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["notes.txt", "a.csv", "noext", ".hidden", ".xmp", "song.mp3", "", "a.jpg/notes.txt"])
def test_names_without_companions(name: str) -> None:
    assert group_of(name) is None


def test_an_empty_group_leaves_nothing_behind() -> None:
    groups, key = Groups(), PathKey("r", "a.jpg")
    for forget in (groups.leave, lambda group, _key: groups.take(group)):
        groups.stir("a", key)
        groups.rest("a", key)
        forget("a", key)
        assert not groups._stirring and not groups._quiet
