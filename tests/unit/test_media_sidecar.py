"""What sidecars say, as real programs write them, and as nobody should."""

from __future__ import annotations

import datetime as dt
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakewatchd.core.asset import Kind
from lakewatchd.core.content import Content
from lakewatchd.errors import DamagedMedia, LakewatchError, TooLarge
from lakewatchd.media.kinds import AAE, TAKEOUT, XMP, kind_of
from lakewatchd.media.sidecar import MAX_BYTES, describe_sidecar

LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmp:Rating="4" xmp:CreateDate="2025-01-01T00:00:00" exif:DateTimeOriginal="2019-07-12T10:15:00+02:00"
    exif:GPSLatitude="47,22.614N" exif:GPSLongitude="8,32,30W" photoshop:City="Zürich" photoshop:Country="Switzerland">
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">The lake</rdf:li>
     <rdf:li xml:lang="de">Der See</rdf:li></rdf:Alt></dc:title>
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">Swimming
     at noon</rdf:li></rdf:Alt></dc:description>
   <dc:creator><rdf:Seq><rdf:li>Ann Lee</rdf:li></rdf:Seq></dc:creator>
   <dc:subject><rdf:Bag><rdf:li>animal</rdf:li><rdf:li>dog</rdf:li><rdf:li>summer</rdf:li></rdf:Bag></dc:subject>
   <lr:hierarchicalSubject><rdf:Bag><rdf:li>animal|dog</rdf:li></rdf:Bag></lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""

DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:digiKam="http://www.digikam.org/ns/1.0/"
   xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:dc="http://purl.org/dc/elements/1.1/">
  <xmp:Rating>5</xmp:Rating>
  <digiKam:TagsList><rdf:Seq><rdf:li>People/Bob</rdf:li><rdf:li>beach</rdf:li></rdf:Seq></digiKam:TagsList>
  <mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>
   <rdf:li><rdf:Description mwg-rs:Name="Bob" mwg-rs:Type="Face"><dc:title>no title of the picture</dc:title>
   </rdf:Description></rdf:li>
   <rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet"/></rdf:li>
  </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>
 </rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""

GOOGLE = {
    "title": "IMG_1.jpg",
    "description": "On the\nboat",
    "imageViews": "7",
    "creationTime": {"timestamp": "1600000000"},
    "photoTakenTime": {"timestamp": "1562919300", "formatted": "12 Jul 2019, 08:15:00 UTC"},
    "geoData": {"latitude": 0.0, "longitude": 0.0},
    "geoDataExif": {"latitude": 47.3769, "longitude": 8.5417},
    "people": [{"name": "Ann"}, {"name": ""}, {}, 3],
    "favorited": True,
}


def described(text: str | bytes, name: str) -> Content:
    data = text if isinstance(text, bytes) else text.encode()
    mime, kind = kind_of(data, name)
    assert kind is Kind.OTHER
    return describe_sidecar(io.BytesIO(data), mime)


def test_what_lightroom_says() -> None:
    found = described(LIGHTROOM, "IMG_1.xmp")
    assert (found.title, found.author) == ("The lake", "Ann Lee")
    assert (found.captured_at, found.captured_from) == (dt.datetime.fromisoformat("2019-07-12T10:15:00"), "sidecar")
    assert (found.latitude, found.longitude) == (47.3769, -8.5416667)
    assert found.exif == (
        ("Description", "Swimming at noon"),
        ("Keyword", "animal/dog"),
        ("Keyword", "summer"),
        ("Rating", "4"),
        ("Location", "Zürich, Switzerland"),
    )


def test_what_digikam_says() -> None:
    """Faces are people; a pet is not, and the title of a region is not the picture's."""
    found = described(DIGIKAM, "IMG_1.jpg.xmp")
    assert found.exif == (("Keyword", "People/Bob"), ("Keyword", "beach"), ("Person", "Bob"), ("Rating", "5"))
    assert found.title == ""


def test_what_google_says() -> None:
    found = described(json.dumps(GOOGLE), "IMG_1.jpg.json")
    assert (found.captured_at, found.captured_from) == (dt.datetime.fromisoformat("2019-07-12T08:15:00"), "takeout")
    assert (found.latitude, found.longitude) == (47.3769, 8.5417)
    assert found.exif == (("Description", "On the boat"), ("Keyword", "favourite"), ("Person", "Ann"))


def test_apple_says_nothing_that_is_read() -> None:
    assert described("<?xml version='1.0'?><plist/>", "IMG_1.AAE") == Content()


@pytest.mark.parametrize(
    ("text", "name", "mime"),
    [
        (json.dumps(GOOGLE), "whatever.json", TAKEOUT),
        (json.dumps({"title": "x", "rows": [1]}), "IMG_1.jpg.json", "application/json"),
        (LIGHTROOM, "IMG_1.XMP", XMP),
        ("<plist/>", "x.aae", AAE),
        (json.dumps(GOOGLE), "notes.txt", "text/plain"),
    ],
)
def test_what_a_sidecar_is_told_by(text: str, name: str, mime: str) -> None:
    assert kind_of(text.encode(), name)[0] == mime


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize(
    "text", [BOMB, OUTSIDE, "<x", "", "<x/><y/>", "\0\0", '<?xml version="1.0" encoding="nope"?><x/>']
)
def test_hostile_xmp_is_refused(text: str) -> None:
    with pytest.raises(DamagedMedia):
        describe_sidecar(io.BytesIO(text.encode()), XMP)


@pytest.mark.parametrize("data", [b"[" * 100_000, b"{", b"[1]", b"\xff\xfe", b'"x"'])
def test_hostile_json_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedMedia):
        describe_sidecar(io.BytesIO(data), TAKEOUT)


def test_a_sidecar_is_small() -> None:
    with pytest.raises(TooLarge):
        describe_sidecar(io.BytesIO(b" " * (MAX_BYTES + 1)), XMP)


def test_a_deep_one_costs_no_stack() -> None:
    deep = "<a>" * 200_000 + "</a>" * 200_000
    assert describe_sidecar(io.BytesIO(deep.encode()), XMP) == Content()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from([*GOOGLE, "x"]), JUNK | st.dictionaries(st.sampled_from(
    ["timestamp", "latitude", "longitude", "name"]), JUNK)))  # fmt: skip
def test_any_json_is_described_or_refused(said: dict[str, object]) -> None:
    found = describe_sidecar(io.BytesIO(json.dumps(said).encode()), TAKEOUT)
    assert found.latitude is None or abs(found.latitude) <= 90
    assert len(found.exif) <= 300


@given(st.binary(max_size=200) | st.text(max_size=20).map(lambda text: LIGHTROOM.replace("47,22.614N", text).encode()))
def test_any_xmp_is_described_or_refused(data: bytes) -> None:
    try:
        found = describe_sidecar(io.BytesIO(data), XMP)
    except LakewatchError:
        return
    assert found.latitude is None or abs(found.latitude) <= 90


def test_a_thousand_keywords_are_a_hundred() -> None:
    many = "".join(f"<rdf:li>k{at}</rdf:li>" for at in range(1000))
    found = described(LIGHTROOM.replace("<rdf:li>summer</rdf:li>", many), "a.xmp")
    assert len(found.exif) <= 110
