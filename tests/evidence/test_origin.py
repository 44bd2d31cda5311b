"""What XMP, IPTC and EXIF say of a picture's maker is shown as a claim."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, PngImagePlugin

from tests.evidence.making import A1111, bytes_of, with_text
from workbench import evidence
from workbench.evidence.origin import KINDS, read_origin

SMALL = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
HEAD = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    "<rdf:RDF "
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
)
TAIL = '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
FORMS = {
    "attribute": ' Iptc4xmpExt:DigitalSourceType="{}"/>',
    "element": "><Iptc4xmpExt:DigitalSourceType>{}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description>",
    "resource": '><Iptc4xmpExt:DigitalSourceType rdf:resource="{}"/></rdf:Description>',
    "another prefix": ' xmlns:n1="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    "><n1:DigitalSourceType>\n  {}\n </n1:DigitalSourceType></rdf:Description>",
    "list": "><Iptc4xmpExt:DigitalSourceType><rdf:Bag><rdf:li>{}</rdf:li></rdf:Bag>"
    "</Iptc4xmpExt:DigitalSourceType></rdf:Description>",
}


def packet(inside: str) -> str:
    return HEAD + inside + TAIL


def with_xmp(text: str, form: str) -> bytes:
    if form == "PNG":
        told = PngImagePlugin.PngInfo()
        told.add_itxt("XML:com.adobe.xmp", text)
        return bytes_of(SMALL, pnginfo=told)
    if form == "TIFF":
        return bytes_of(SMALL, "TIFF", tiffinfo={700: text.encode()})
    if form == "JPEG2000":  # a box of its own, which Pillow does not write
        plain, made = bytes_of(SMALL, "JPEG2000"), text.encode()
        return plain + struct.pack(">I", len(made) + 24) + b"uuid" + bytes(16) + made
    return bytes_of(SMALL, form, xmp=text.encode())


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("way", FORMS)
def test_a_digital_source_type_is_told_in_every_form_of_every_format(form, way, tmp_path):
    text = packet(FORMS[way].format(CODES + "trainedAlgorithmicMedia"))
    (tmp_path / "it").write_bytes(with_xmp(text, form))
    *_, found = evidence.inspect(tmp_path / "it")
    assert (found.kind, found.state) == ("origin", "claimed")
    assert found.text == (
        "Written there: the digital source type “trainedAlgorithmicMedia” (made by a model). "
        "Anybody can write it."
    )


@pytest.mark.parametrize("code", ["compositeWithTrainedAlgorithmicMedia", "digitalCapture", "new"])
def test_a_source_type_is_told_as_what_it_means(code):
    found = read_origin(with_xmp(packet(FORMS["attribute"].format(CODES + code)), "PNG"))
    assert f"“{code}”" in found.text
    assert (KINDS.get(code.lower(), "(") in found.text) is (code != "new")
    assert found.source is None


def test_makers_are_named_by_what_says_most():
    told = (
        f' Iptc4xmpExt:DigitalSourceType="{CODES}trainedAlgorithmicMedia" '
        'xmp:CreatorTool="Wide Brush 3" photoshop:Credit="Made with Kettle AI"'
    )
    for more, source in (
        (' Iptc4xmpExt:AISystemUsed="Kettle Painter"/>', "Kettle Painter"),
        ("/>", "Kettle AI"),
    ):
        found = read_origin(with_xmp(packet(told + more), "JPEG"))
        assert found.source == source
        assert "the credit: “Made with Kettle AI”" in found.text
        assert "the creator tool: “Wide Brush 3”" in found.text


def test_notes_of_exif_and_iptc_are_told():
    exif = Image.Exif()
    exif[0x0131] = "Kettle Painter 3"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0Made with Kettle AI"
    exif.get_ifd(0x8769)[0x927C] = b"Kettle note"
    found = read_origin(bytes_of(SMALL, "JPEG", exif=exif))
    assert found.source == "Kettle AI"
    assert "EXIF Software: “Kettle Painter 3”" in found.text
    assert "EXIF MakerNote: “Kettle note”" in found.text
    record = b"".join(
        b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text
        for number, text in ((110, b"Made with Kettle AI"), (120, b"a kettle"))
    )
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    plain = bytes_of(SMALL, "JPEG")
    block += b"\0" * (len(block) % 2)
    data = plain[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + plain[2:]
    found = read_origin(data)
    assert (found.state, found.source) == ("claimed", "Kettle AI")
    assert "IPTC Credit: “Made with Kettle AI”" in found.text


def test_a_note_of_a_camera_in_its_own_code_is_not_told():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = bytes(range(200))
    assert read_origin(bytes_of(SMALL, "JPEG", exif=exif)) is None
    assert read_origin(bytes_of(SMALL)) is None


def test_the_tool_of_a_front_end_is_not_told_twice(tmp_path):
    text = A1111.format(size="64x64")
    (tmp_path / "it.png").write_bytes(with_text(SMALL, parameters=text, Software="Front 1"))
    found = evidence.inspect(tmp_path / "it.png")
    assert [each.kind for each in found] == ["C2PA", "parameters", "watermark"]
    (tmp_path / "it.png").write_bytes(with_text(SMALL, Software="Front 1"))
    assert evidence.inspect(tmp_path / "it.png")[-1].source == "Front 1"


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]>"
        + packet(' xmp:CreatorTool="&b;"/>'),
        "<" * 200_000,
        "<a:b " * 100_000,
        packet(' xmp:CreatorTool="\x1b[2J\u202e"/>'),
        packet("><xmp:CreatorTool>cut sho"),
    ],
    ids=["entities", "brackets", "tags", "escapes", "cut"],
)
def test_xmp_of_anybodys_ends_no_run_and_acts_on_no_screen(text, tmp_path):
    made = io.BytesIO()
    SMALL.save(made, "WEBP", xmp=text.encode())
    (tmp_path / "it.webp").write_bytes(made.getvalue())
    for found in evidence.inspect(tmp_path / "it.webp"):
        assert found.text.isprintable()
        assert "hahaha" not in found.text
