"""Documents of many formats, made here: small, whole, and with words of our choice.

Each function gives the bytes of a file. They are written from the formats' own descriptions, not by the libraries that
read them; :data:`LETTER_DOC` comes from LibreOffice.
"""

from __future__ import annotations

import base64
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from xml.sax.saxutils import escape

PROSE = (
    "The committee met in the old library and talked about wind turbines. "
    "Nobody had expected that the smallest of them would make the most noise at night."
)


def zipped(members: dict[str, str | bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """In this order; a member ``mimetype`` is stored, as OpenDocument and EPUB ask for it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_STORED if name == "mimetype" else method)
    return out.getvalue()


# --- PDF ---------------------------------------------------------------------------------------------------


def pdf(pages: Sequence[str], *, info: str = "", catalog: str = "", encrypt: bool = False) -> bytes:
    """A line of text for each line of each page; ``info`` as PDF writes it: ``/Title (Words)``."""
    objects = [f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode(), b"", b"<< /Type /Font /Subtype /Type1 "
               b"/BaseFont /Helvetica /Encoding /WinAnsiEncoding >>", f"<< {info} >>".encode("latin-1")]  # fmt: skip
    kids = []
    for page in pages:
        shown = "".join(f"({_escaped(line)}) Tj 0 -14 Td\n" if line else "0 -14 Td\n" for line in page.split("\n"))
        stream = zlib.compress(f"BT /F1 11 Tf 60 780 Td\n{shown}ET".encode("cp1252"))
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /Font "
                       b"<< /F1 3 0 R >> >> >>" % len(objects))  # fmt: skip
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, places = bytearray(b"%PDF-1.5\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size, begin = len(objects) + 1, len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    locked = b"/Encrypt << /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4 >>" % (b"41" * 32, b"42" * 32)
    more = locked + b" /ID [<00> <00>]" if encrypt else b""
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (size, more, begin)
    return bytes(out)


def _escaped(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def scan(*pages: str) -> bytes:
    """A PDF that is nothing but pictures of text, as scanners write it."""
    from PIL import Image, ImageDraw, ImageFont

    images = []
    for words in pages:
        image = Image.new("L", (1240, 1754), "white")
        ImageDraw.Draw(image).text((120, 150), words, fill="black", font=ImageFont.load_default(40))
        images.append(image)
    out = io.BytesIO()
    images[0].save(out, "PDF", resolution=150, save_all=True, append_images=images[1:])
    return out.getvalue()


# --- Office Open XML ---------------------------------------------------------------------------------------

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_CORE = (
    f'{_XML}<cp:coreProperties xmlns:cp="c" xmlns:dc="d" xmlns:dcterms="t"><dc:title>{{title}}</dc:title>'
    "<dc:creator>Ada Lovelace</dc:creator><dcterms:created>2021-03-04T12:00:00+01:00</dcterms:created>"
    "<cp:keywords>wind, noise</cp:keywords></cp:coreProperties>"
)


def relations(*found: tuple[str, str, str]) -> str:
    """``(id, last word of its type, target)`` each."""
    inside = "".join(f'<Relationship Id="{i}" Type="{_RELATIONS}/{kind}" Target="{to}"/>' for i, kind, to in found)
    return f'{_XML}<Relationships xmlns="r">{inside}</Relationships>'


def docx(body: str, *, title: str = "Minutes", **parts: str) -> bytes:
    """``body`` is markup: see :func:`paragraphs`. ``footnotes="..."`` is markup of such a part."""
    main = f'{_XML}<w:document xmlns:w="w" xmlns:mc="m"><w:body>{body}</w:body></w:document>'
    beside = [(f"rId{number}", kind, f"{kind}.xml") for number, kind in enumerate(parts, 1)]
    return zipped(
        {
            "[Content_Types].xml": f'{_XML}<Types xmlns="t"/>',
            "_rels/.rels": relations(("rId1", "officeDocument", "word/document.xml")),
            "word/document.xml": main,
            "word/_rels/document.xml.rels": relations(*beside),
            **{
                f"word/{kind}.xml": f'{_XML}<w:{kind} xmlns:w="w">{inside}</w:{kind}>' for kind, inside in parts.items()
            },
            "docProps/core.xml": _CORE.format(title=escape(title)),
        }
    )


def paragraphs(*words: str) -> str:
    return "".join(f"<w:p><w:r><w:t>{escape(text)}</w:t></w:r></w:p>" for text in words)


def pptx(*slides: tuple[str, str], title: str = "A talk") -> bytes:
    """Words and notes of each slide. Their files are numbered against their order."""
    count = len(slides)
    members: dict[str, str | bytes] = {
        "[Content_Types].xml": f'{_XML}<Types xmlns="t"/>',
        "_rels/.rels": relations(("rId1", "officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f'{_XML}<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst>'
        + "".join(f'<p:sldId id="{256 + n}" r:id="rId{n}"/>' for n in range(count))
        + "</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(
            *((f"rId{n}", "slide", f"slides/slide{count - n}.xml") for n in range(count))
        ),
        "docProps/core.xml": _CORE.format(title=escape(title)),
    }
    for n, (words, notes) in enumerate(slides):
        number = count - n
        members[f"ppt/slides/slide{number}.xml"] = _slide("sld", words)
        members[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(
            ("rId1", "notesSlide", f"../notesSlides/notesSlide{number}.xml")
        )
        members[f"ppt/notesSlides/notesSlide{number}.xml"] = _slide("notes", notes)
    return zipped(members)


def _slide(root: str, words: str) -> str:
    return f'{_XML}<p:{root} xmlns:p="p" xmlns:a="a"><a:p><a:r><a:t>{escape(words)}</a:t></a:r></a:p></p:{root}>'


# --- OpenDocument, EPUB, and others in a ZIP file ----------------------------------------------------------

_ODF = "application/vnd.oasis.opendocument."
_META = (
    "<office:meta><dc:title>Minutes</dc:title><meta:initial-creator>Ada Lovelace</meta:initial-creator>"
    "<meta:creation-date>2021-03-04T12:00:00</meta:creation-date><meta:keyword>wind</meta:keyword></office:meta>"
)
_NAMES = 'xmlns:office="o" xmlns:text="t" xmlns:dc="d" xmlns:meta="m" xmlns:draw="w" xmlns:presentation="p"'


def opendocument(body: str, *, kind: str = "text") -> bytes:
    """``body`` is markup inside of ``office:body``."""
    return zipped(
        {
            "mimetype": _ODF + kind,
            "content.xml": f"{_XML}<office:document-content {_NAMES}><office:body>{body}</office:body>"
            "</office:document-content>",
            "meta.xml": f"{_XML}<office:document-meta {_NAMES}>{_META}</office:document-meta>",
            "META-INF/manifest.xml": f'{_XML}<manifest:manifest xmlns:manifest="m"/>',
        }
    )


def flat_opendocument(body: str) -> bytes:
    inside = f"{_META}<office:body>{body}</office:body>"
    return f"{_XML}\n<office:document {_NAMES}>{inside}</office:document>".encode()


def epub(*chapters: str, title: str = "A book", cover: bytes = b"", repeats: int = 1) -> bytes:
    """Each chapter is a piece of HTML; their files are named against their order."""
    names = [f"c{len(chapters) - n}.xhtml" for n in range(len(chapters))]
    items = "".join(f'<item id="i{n}" href="{name}" media-type="x"/>' for n, name in enumerate(names))
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(names))) * repeats
    pictured = '<item id="cover" href="cover.png" properties="cover-image" media-type="image/png"/>' if cover else ""
    package = (
        f'{_XML}<package xmlns="p" xmlns:dc="d"><metadata><dc:title>{escape(title)}</dc:title>'
        "<dc:creator>Ada Lovelace</dc:creator><dc:language>en-GB</dc:language><dc:date>2021-03-04</dc:date></metadata>"
        f"<manifest>{items}{pictured}</manifest><spine>{spine}</spine></package>"
    )
    page = '<?xml version="1.0"?><!DOCTYPE html><html xmlns="h"><head><title>t</title></head><body>{}</body></html>'
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": f'{_XML}<container xmlns="c"><rootfiles><rootfile full-path="OPS/book.opf"/>'
            "</rootfiles></container>",
            "OPS/book.opf": package,
            **{f"OPS/{name}": page.format(text) for name, text in zip(names, chapters, strict=True)},
            **({"OPS/cover.png": cover} if cover else {}),
        }
    )


def picture(colour: str = "red") -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (200, 300), colour).save(out, "PNG")
    return out.getvalue()


def comic(pages: int = 3) -> bytes:
    info = f"{_XML}<ComicInfo><Series>Turbines</Series><Number>4</Number><Writer>Ada</Writer></ComicInfo>"
    colours = ("red", "green", "blue")
    return zipped({"ComicInfo.xml": info, **{f"p{n:02}.png": picture(colours[n % 3]) for n in range(pages)}})


def xps(*pages: str) -> bytes:
    def page(text: str) -> str:
        lines = text.split("\n")
        glyphs = (f'<Glyphs OriginY="{n}" UnicodeString="{escape(line)}"/>' for n, line in enumerate(lines))
        return f'{_XML}<FixedPage xmlns="x">{"".join(glyphs)}</FixedPage>'

    return zipped({f"Documents/1/Pages/{n}.fpage": page(text) for n, text in enumerate(pages, 1)})


def fiction(*words: str) -> bytes:
    said = (
        "<description><title-info><genre>prose</genre><author><first-name>Ada</first-name><last-name>Lovelace"
        "</last-name></author><book-title>A book</book-title><lang>en</lang></title-info></description>"
    )
    body = "".join(f"<p>{escape(text)}</p>" for text in words)
    picture = "<binary id='c'>aGlkZGVu</binary>"
    return (
        f'{_XML}\n<FictionBook xmlns="f">{said}<body><section>{body}</section></body>{picture}</FictionBook>'.encode()
    )


# --- compound files ----------------------------------------------------------------------------------------


def compound(streams: dict[str, bytes]) -> bytes:
    """``name`` or ``folder/name`` -> less than 4096 bytes each, as all of them lie in the stream of small sectors."""
    entries: list[_Entry] = [_Entry("Root Entry", 5)]

    def chain(found: Sequence[str], inside: str) -> int:
        """Entries of one folder, each the right neighbour of the one before: the number of the first."""
        first = len(entries)
        for name in found:
            data = streams.get(inside + name)
            entries.append(_Entry(name, 1 if data is None else 2, len(entries) + 1, data=data or b""))
        entries[-1].right = -1
        return first

    entries[0].child = chain(sorted({name.partition("/")[0] for name in streams}), "")
    for entry in entries[1:]:
        if entry.kind == 1:
            inside = f"{entry.name}/"
            entry.child = chain(
                sorted(name.removeprefix(inside) for name in streams if name.startswith(inside)), inside
            )
    small = _Sectors(64)
    places = [small.store(entry.data) for entry in entries]
    entries[0].data = bytes(small.data)
    large = _Sectors(512)
    places[0] = large.store(entries[0].data)
    small_table = large.store(struct.pack(f"<{len(small.table)}i", *small.table))
    directory = large.store(b"".join(map(_Entry.packed, entries, places)))
    at = len(large.table)  # of the table of sectors, which takes one
    table = struct.pack("<128i", *large.table, -3, *[-1] * (127 - at))
    begin = struct.pack("<8s16xHHHHH6xIIi4xIiIiI", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, 1,
                        directory, 4096, small_table, 1, -2, 0)  # fmt: skip
    return begin + struct.pack("<109i", at, *[-1] * 108) + bytes(large.data) + table


@dataclass
class _Entry:
    name: str
    kind: int
    """1 a folder, 2 a stream, 5 the root."""
    right: int = -1
    child: int = -1
    data: bytes = b""

    def packed(self, place: int) -> bytes:
        wide = self.name.encode("utf-16-le")
        head = struct.pack("<64sHBBiii36x", wide, len(wide) + 2, self.kind, 1, -1, self.right, self.child)
        return head + struct.pack("<iQ", place, len(self.data))


class _Sectors:
    def __init__(self, size: int) -> None:
        self.data, self.table, self._size = bytearray(), list[int](), size

    def store(self, data: bytes) -> int:
        """The number of its first sector."""
        if not data:
            return -2
        first, count = len(self.table), -(-len(data) // self._size)
        self.table += [*range(first + 1, first + count), -2]
        self.data += data.ljust(count * self._size, b"\0")
        return first


def ppt(*texts: str) -> bytes:
    """Slides as PowerPoint 97 nests them: what is in a master is no text of the talk."""

    def record(kind: int, data: bytes, version: int = 0) -> bytes:
        return struct.pack("<HHI", version, kind, len(data)) + data

    slides = b"".join(record(1006, record(4000, text.encode("utf-16-le")), 0xF) for text in texts)
    master = record(1016, record(4008, b"Click to edit Master title style"), 0xF)
    return compound({"PowerPoint Document": record(1000, master + slides, 0xF), "Current User": b"x"})


def msg(subject: str, body: str, *, attached: str = "") -> bytes:
    sent = struct.pack("<IIQ", 0x0039_0040, 6, 132_593_328_000_000_000)  # 2021-03-04 12:00 in Greenwich
    words = {"0037": subject, "1000": body, "0C1A": "Ada Lovelace", "0E04": "Bob"}
    streams = {f"__substg1.0_{number}001F": text.encode("utf-16-le") for number, text in words.items()}
    if attached:
        streams["__attach_version1.0_#00000000/__substg1.0_3707001F"] = attached.encode("utf-16-le")
    return compound({**streams, "__properties_version1.0": bytes(32) + sent})


# --- mail --------------------------------------------------------------------------------------------------


def eml(subject: str = "Invoice for März", words: str = PROSE, *, html: str = "", attached: str = "") -> bytes:
    message = EmailMessage()
    message["Received"] = "from here"
    message["From"] = "Ada Lovelace <ada@example.org>"
    message["To"] = "bob@example.org"
    message["Subject"] = subject
    message["Date"] = "Thu, 04 Mar 2021 12:00:00 +0500"
    message.set_content(words)
    if html:
        message.add_alternative(html, subtype="html")
    if attached:
        message.add_attachment(b"bytes nobody reads", maintype="application", subtype="pdf", filename=attached)
    return message.as_bytes()


def mbox(*mails: bytes) -> bytes:
    return b"".join(b"From ada@example.org Thu Mar  4 12:00:00 2021\n" + mail + b"\n" for mail in mails)


# --- text --------------------------------------------------------------------------------------------------

RTF = rb"""{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\info{\title Minutes}{\author Ada Lovelace}
{\creatim\yr2021\mo3\dy4\hr12\min0}}\f0 Caf\'e9 and \u8364? and {\b bold} words.\par A second paragraph.\par}"""
NOTEBOOK = b"""{"cells": [{"cell_type": "markdown", "source": ["# Noise of turbines\\n", "Measured at night."]},
{"cell_type": "code", "source": "import numpy", "outputs": [{"output_type": "stream", "text": ["42 decibels\\n"]},
{"output_type": "display_data", "data": {"image/png": "aGlkZGVu"}}]}],
"metadata": {"kernelspec": {"display_name": "Python 3"}}, "nbformat": 4, "nbformat_minor": 5}"""
CALENDAR = b"""BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Europe/Berlin:20210304T120000\r
SUMMARY:Meeting about tur\r\n bines\\, at last\r\nLOCATION:Old library\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"""
CARD = b"""BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada Lovelace\r
ORG:Analytical Engines;Notes\r
EMAIL;TYPE=work:ada@example.org\r
PHOTO;ENCODING=b:aGlkZGVu\r\nEND:VCARD\r\n"""
SUBTITLES = b"""1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Do you hear</i> the wind?\r
\r
2\r
00:00:03,000 --> 00:00:04,000
It is 3 o'clock.\r\n"""
PAGE = (
    b"""<!doctype html><html lang="en-GB"><head><meta charset="windows-1251"><title>Turbines &amp; noise</title>
<meta name="author" content="Ada Lovelace"><meta property="article:published_time" content="2021-03-04T12:00:00">
<style>p{}</style></head><body><nav>Home About Contact</nav><main><h1>Turbines</h1><p>"""
    + PROSE.encode()
    + b"""
"""
    + PROSE.encode()
    + b""" \xcf\xf0\xe8\xe2\xe5\xf2</p></main><script>if (a<b) evil()</script><footer>All rights</footer>"""
)
NOTE = f"""---
title: "Noise at night"
author: Ada Lovelace
date: 2021-03-04
tags: [wind, noise]
lang: en
---

# Another heading

{PROSE}
""".encode()
TEX = rb"""\documentclass{article} % hidden words
\title{Noise at night}\author{Ada Lovelace}\date{2021-03-04}
\begin{document}\maketitle Fifty \% of them are quiet. \end{document}"""

LETTER_DOC = lzma.decompress(
    base64.b85decode(
        """
{Wp48S^xk9=GL@E0stWa8~^|S5YJf5;3fYCc3l8yGrk;#Fn3_|q=YHL-
W+x(g7T4u+=$92y7CzYj_@118<~dYYjuu8B8E#1lsWTGSr$2+B4m}}dw^*qay(m_Kb4&yn35&x9%%<Io8uqke~(7RsRi)Q0DfVlV%$TSzOA$|Tne
<8VjVcY7i9KgG2tkU+CMKe^ZPTOaMYsHfw0V@|0*;4ptiay$rliO1iF0nQ73`CffOs~Ov9x$V|t=u=hH_1Km=a3h|~b)Z8iSfL&k_z4GNRy3q29d
=_(Hr3uf`X*PTKvCPMwCv*DDzpZi1e0avfSF&tDBlt0aV!^D$rotyWhZ9|Q#J3(kv2wAgSZ(Sfxdehg#w^Omr<javekzmeZ)6+&dfrnoezjTOPRe
8k(5q&t$u&IQuZXo-eI42tfM!40Z`k$3&-lueA?bKogBXLo_ZXoM-^d{-LzKO;x-
3<%hj`~uYvR)Zec4Lg>i2T(p0Nh>ta;;gsB6367j7H9_jkk2%5pbOHLan&cg4s~wUtzj1GVgO;vDw1Hy8COlNnh^qI#51GT^69pK!vZFYCp9m2dX
5x(~#=)4&ADHbanQz&0?F%_Y?MIp^{_%N69m&xwNg<<AXj9c}hLIp%~^-
H(L`IY)K8WM&SMIIVq|Nc%aLJ`>DNqPrI=p@cM@tjEhkOyZ#hD1eaD*st{d#@@KTUX)W%NcEU>jc0woE>4UtTgEvAb^b$SOQ-
&Iex{WNyR`OT|jd*Dhf(=U?WX8oE(9fUoVI)_tJ#i`Sr@LG-cKeF{Q+H{CR<^L8+RlZzfE?OiTzt{1ZFM)_6S~QX+Fi{<&Wqmk$=NV^b!}6(Nogg
rPlKPsEy`gG$X{q^j<BPd$XUr;wfIxD+71`sKzZa^QH2U{&xF*E{O~U+>h`b{Xu7$F%Xsbas1>=C{DW!>-
d;IL<1CzOs$%B7qzcjD35EW{C<sTIY^q4-LpEbDpIg**Ep7#Vk!cx{KO|Z-
A=djmWh)drG^Efm4vK^1iDDAhXdRzWLqwOc)sea<6T7v?xKFnnq&l-WorQ_yxt%mW?FJ8Mn^K`VK=Aw4o9ZX2-_^j$P4KT+K{0<H%##Z%Dz|-
hFx2T!iBB}yAe$sb6*{@$KJSFS(^<n*bk{M^<Le{?19sQJm;Ou16Wm#M4Sr!qC`NG5YSU%lFnIX`rh$aw*uasLhpj|4f%)Bw0nv;)aE3Vgu0^^E^
is(6Y#docE;RTou!G~sZ12f0d;s^`M4rQ=#Xa0npw4-a$+ip>E)SOT&$B*KZtX>7Q1)1jI6|2$3<i;S$A9YrnC6zFMT-
6Yxi82};G)aTpJyZRyLH|KvXi`jeCBms0S8a;D?YC9_bBASyOT-8Q62Agb)bXm$chOJG)=Oh7lq9y3!f`n-
TQYMpZurdyifp&tS9Pe;NjPK<~1NG>_ft1!yMn;i8^{f38s&*ti7zTCljTujXVw;tnr}vWAP?U7|PLcM|<bEr8OeguH+4tKgw1DAHZ-
Yw7}1V@LgCg<sS0;1ki)}I&)Bh=sP~y8H1?40=P7>f>s&n#|M9<(UAs_`z+OR`KpkGupW*zV4%V{xC%N&liYw-lJQarKf|cJ)kQ&4^IC-Pt74UEJ
WHPhi2^#$M|FPgurJEGb%KfMtyk{bVg=m(@A=<!I;$&eL&OOhj}3OEE9D7N#=~Aa%~7Ns13&Vq*$RYNmW}Z`i!BFW83$3FzlUw<&cv%VLOi3G+B0
!c+@IY9_p46W`FJ5;<&C1^i|h)mA&R`%eANp%89b-
Xri80*GtFmaarbD=LmN)aphNhiFCBO`PR8+73ZIdwUCmOOcM>H}rPN59z0od46Vl9=@#cCK{cuBw-
|BVF3I>Am*nnUadYMThT>6n=S~*wB*lua`I+<uV5*f*YL>oUhZfXaXR(6ci>y>X*n#H?f?uAW*hlLm>Z9hX~UtZ6n5NWgWp>!%=?&^x!qC1L3na;
<GGuuT)6}z&=ouA0R!Qc)onO|$E0osAr+y*6D;qV|$T%;TAC?XT`KtwzhsE7ZG-!q#?Js>IRjyrD&Or}|2bNyahspodbV)hE}`QAM5Rsf1-
<tI<8P;fC^u#zwr+nl?diswqUAjEnxQFCLfS;m0ESIyp~$Y^*wDV8}LAznTz!BmHn-
jj=|WB>pFHYW)ojMnSw00EK>fJ^`YyJfQfvBYQl0ssI200dcD
""".replace("\n", "")
    )
)
"""Written by LibreOffice 7.4: a heading, two paragraphs, a link and a table of two cells."""
