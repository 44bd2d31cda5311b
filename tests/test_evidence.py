"""What a file says of its origin: verified, claimed, contradicted, broken or absent, told apart."""

from __future__ import annotations

import datetime as dt
import io
import json
import struct
import zlib
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image, PngImagePlugin
from skimage import data
from typer.testing import CliRunner

import workbench as wb
from workbench import evidence
from workbench.cli import app

A1111 = (
    "a red star on snow\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, "
    "Seed: 42, Size: {size}, Model hash: abc123, Model: v1-5-pruned, Version: v1.6.0"
)
MANIFEST = {
    "claim_generator_info": [{"name": "Test Painter", "version": "1"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "softwareAgent": {"name": "Test Model"},
                        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/"
                        "trainedAlgorithmicMedia",
                    }
                ]
            },
        }
    ],
}


def comfy(side: int) -> dict[str, str]:
    """The two chunks of ComfyUI: an API prompt and a workflow."""
    link = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    sampler = {"seed": 5, "steps": 20, "cfg": 8, "sampler_name": "euler", "denoise": 1, **link}
    nodes = {
        "3": ("KSampler", sampler),
        "4": ("CheckpointLoaderSimple", {"ckpt_name": "sd_xl_base_1.0.safetensors"}),
        "5": ("EmptyLatentImage", {"width": side, "height": side, "batch_size": 1}),
        "6": ("CLIPTextEncode", {"text": "a blue ring", "clip": ["4", 1]}),
        "7": ("CLIPTextEncode", {"text": "blurry", "clip": ["4", 1]}),
    }
    wires = [
        (1, 4, 0, 3, 0, "MODEL"),
        (2, 6, 0, 3, 1, "CONDITIONING"),
        (3, 7, 0, 3, 2, "CONDITIONING"),
        (4, 5, 0, 3, 3, "LATENT"),
    ]
    prompt = {key: {"class_type": kind, "inputs": each} for key, (kind, each) in nodes.items()}
    return {"prompt": json.dumps(prompt), "workflow": json.dumps({"links": wires})}


def certificate(subject, key, issuer, issuer_key, ca: bool) -> bytes:
    def named(text: str) -> x509.Name:
        pairs = [(NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "Test House")]
        return x509.Name([x509.NameAttribute(*pair) for pair in pairs])

    now = dt.datetime.now(dt.UTC)
    uses = dict.fromkeys(
        "content_commitment key_encipherment data_encipherment key_agreement crl_sign "
        "encipher_only decipher_only".split(),
        False,
    )
    public = issuer_key.public_key()
    made = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **uses), critical=True
        )
    )
    if not ca:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(usage, critical=False)
    return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def signed(picture: bytes, kind: str) -> bytes:
    """Sign a picture by the C2PA library, with a certificate that nobody knows."""
    own, root = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = certificate("Test Signer", own, "Test CA", root, ca=False)
    chain += certificate("Test CA", root, "Test CA", root, ca=True)
    key = own.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    made = io.BytesIO()
    c2pa.Builder(MANIFEST).sign(signer, kind, io.BytesIO(picture), made)
    return made.getvalue()


def repainted(png: bytes) -> bytes:
    """Change the pixels of a PNG and leave every other chunk, the manifest too, as it was."""
    other = Image.open(io.BytesIO(png)).convert("RGB").point(lambda value: 255 - value)
    plain = io.BytesIO()
    other.save(plain, "PNG")
    new = b"".join(body for kind, body in chunks(plain.getvalue()) if kind == b"IDAT")
    out, painted = png[:8], False
    for kind, body in chunks(png):
        if kind == b"IDAT":
            if painted:
                continue
            body, painted = new, True
        out += struct.pack(">I", len(body)) + kind + body
        out += struct.pack(">I", zlib.crc32(kind + body))
    return out


def chunks(png: bytes):
    place = 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += length + 12


def bytes_of(image: Image.Image, form: str = "PNG", **options) -> bytes:
    made = io.BytesIO()
    image.save(made, form, **options)
    return made.getvalue()


def with_text(image: Image.Image, **chunk: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, value in chunk.items():
        info.add_text(name, value)
    return bytes_of(image, pnginfo=info)


def watermarked(image: Image.Image, message: bytes, kind: type = np.uint8) -> Image.Image:
    from imwatermark import WatermarkEncoder

    encoder = WatermarkEncoder()
    encoder.set_watermark("bytes", message)
    made = encoder.encode(np.asarray(image)[:, :, ::-1].astype(kind), "dwtDct")
    return Image.fromarray(made[:, :, ::-1].clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Write a table of files that carry each kind of evidence, forged and stripped ones too."""
    folder = tmp_path_factory.mktemp("evidence")
    photo = Image.fromarray(data.astronaut())
    small = photo.resize((64, 64))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.format(size="64x64").encode("utf-16-be")
    v1 = watermarked(photo, b"StableDiffusionV1")
    xl = watermarked(photo, bytes.fromhex("b3ec907bb19e"), np.float32)
    whole = signed(bytes_of(small), "image/png")
    jpeg = signed(bytes_of(photo, "JPEG"), "image/jpeg")
    written = {
        "plain.png": bytes_of(photo),
        "signed.png": whole,
        "signed.jpg": jpeg,
        "tampered.png": repainted(whole),
        "tampered.jpg": jpeg[:-600] + bytes([jpeg[-600] ^ 1]) + jpeg[-599:],
        "stripped.png": bytes_of(Image.open(io.BytesIO(whole))),
        "a1111.png": with_text(small, parameters=A1111.format(size="64x64")),
        "a1111.jpg": bytes_of(small, "JPEG", exif=exif),
        "forged.png": with_text(small, parameters=A1111.format(size="512x512")),
        "noise.png": with_text(small, parameters="made by hand, honestly"),
        "comfy.png": with_text(small, **comfy(64)),
        "comfy-forged.png": with_text(small, **comfy(1024)),
        "watermark-v1.png": bytes_of(v1),
        "watermark-xl.png": bytes_of(xl),
        "watermark.jpg": bytes_of(v1, "JPEG", quality=75),
        "cut.png": bytes_of(photo)[:2000],
        "<b>.png": with_text(small, parameters="<b>" + A1111.format(size="64x64")),
    }
    for name, content in written.items():
        (folder / name).write_bytes(content)
    return folder


TABLE = [
    ("plain.png", "absent", "absent", "absent"),
    ("signed.png", "verified", "absent", "absent"),
    ("signed.jpg", "verified", "absent", "absent"),
    ("tampered.png", "broken", "absent", "absent"),
    ("tampered.jpg", "broken", "absent", "absent"),
    ("stripped.png", "absent", "absent", "absent"),
    ("a1111.png", "absent", "claimed", "absent"),
    ("a1111.jpg", "absent", "claimed", "absent"),
    ("forged.png", "absent", "contradicted", "absent"),
    ("noise.png", "absent", "absent", "absent"),
    ("comfy.png", "absent", "claimed", "absent"),
    ("comfy-forged.png", "absent", "contradicted", "absent"),
    ("watermark-v1.png", "absent", "absent", "claimed"),
    ("watermark-xl.png", "absent", "absent", "claimed"),
    ("watermark.jpg", "absent", "absent", "absent"),
]


@pytest.mark.parametrize(("name", "manifest", "parameters", "watermark"), TABLE)
def test_each_kind_is_told_apart(files, name, manifest, parameters, watermark):
    found = evidence.inspect(files / name)
    assert [each.kind for each in found] == ["C2PA", "parameters", "watermark"]
    assert [each.state for each in found] == [manifest, parameters, watermark]
    assert {each.state for each in found} <= set(evidence.STATES)


def test_a_manifest_names_its_maker_and_says_that_the_signer_is_unchecked(files):
    found = evidence.inspect(files / "signed.png")[0]
    assert found.source == "Test Model"
    assert found.text == (
        "Unchanged since it was signed. It names Test Model as made by a model, signed by Test "
        "Signer, Test House; whether the signer is who the name says is not checked."
    )
    assert "dataHash.mismatch" in evidence.inspect(files / "tampered.png")[0].text


def test_parameters_hold_the_prompt_and_the_model(files):
    found = evidence.inspect(files / "a1111.png")[1]
    assert (found.source, found.prompt) == ("v1-5-pruned", "a red star on snow")
    found = evidence.inspect(files / "comfy.png")[1]
    assert (found.source, found.prompt) == ("sd_xl_base_1.0.safetensors", "a blue ring")
    assert "512×512 pixels, the picture has 64×64" in evidence.inspect(files / "forged.png")[1].text
    assert "Other text chunks: parameters." in evidence.inspect(files / "noise.png")[1].text


def test_watermarks_are_named_and_counted(files):
    v1, xl = (evidence.inspect(files / f"watermark-{name}.png")[2] for name in ("v1", "xl"))
    assert v1.source.startswith("Stable Diffusion 1")
    assert "136 of 136 bits" in v1.text
    assert xl.source.startswith("SDXL")
    assert "48 of 48 bits" in xl.text


def test_pictures_without_a_watermark_seldom_seem_to_have_one():
    photos = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    tiles = [
        Image.fromarray(np.ascontiguousarray(photo[top : top + 256, left : left + 256]))
        for photo in photos
        for top in (0, 40)
        for left in (0, 90, 180)
    ]
    tiles += [Image.new("RGB", (256, 256), colour) for colour in ("black", "white", "red")]
    found = [evidence._watermark(tile).state for tile in tiles]
    assert found == ["absent"] * len(tiles)


def test_a_folder_is_a_frame_and_a_broken_file_is_a_row(files):
    table = evidence.frame(wb.images.find([files])).set_index("path")
    row = table.loc[str(files / "cut.png")]
    assert (row["kind"], row["state"]) == ("file", "unchecked")
    assert row["text"].startswith("It cannot be opened: the picture is damaged")
    assert len(table) == 3 * (len(list(files.iterdir())) - 1) + 1


def test_a_missing_library_is_told_with_the_way_to_install_it(files, monkeypatch):
    for name in ("c2pa", "sd_parsers", "imwatermark"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    found = evidence.inspect(files / "plain.png")
    assert [each.state for each in found] == ["unchecked"] * 3
    assert all("pip install 'attribution-workbench[evidence]'" in each.text for each in found)


def test_metadata_answers_the_prompt_of_the_file(files, store):
    wanted = [files / name for name in ("a1111.png", "plain.png")]
    images = wb.images.frame(wb.images.index(wanted, keep=store.put_picture))
    found = wb.invert(images, wb.load("metadata"), store)
    assert found["prompt"].tolist()[0] == "a red star on snow"
    assert found["failure"].tolist()[1] == ("the file holds no prompt: No generation parameters.")
    with pytest.raises(ValueError, match="metadata reads files, and these are pictures"):
        wb.load("metadata")([Image.new("RGB", (8, 8))])
    found = wb.invert(images, wb.Metadata(wb.Empty()), store)
    assert found["prompt"].tolist() == ["a red star on snow", ""]


def test_it_stands_beside_the_ranking_escaped_and_changes_no_score(tiny, files, store, tmp_path):
    plain = tmp_path / "plain.png"
    Image.open(files / "a1111.png").save(plain)
    told = wb.attribute(files / "<b>.png", store=store)
    bare = wb.attribute(plain, store=store)
    columns = ["generator", "score", "rank"]
    assert told.rankings[columns].equals(bare.rankings[columns])
    (record,) = told.records()
    (found,) = record["evidence"]
    assert found["kind"] == "parameters"
    assert found["prompt"].startswith("<b>a red star")
    assert bare.records()[0]["evidence"] == []
    page = told.report(tmp_path / "report.html").read_text()
    assert "it has no part in the ranking" in page
    assert "&lt;b&gt;a red star" in page
    assert "<q><b>" not in page


def test_the_command_tells_each_file_and_fails_where_one_cannot_be_opened(files):
    run = CliRunner().invoke
    told = run(app, ["inspect", str(files / "forged.png"), str(files / "signed.png")])
    assert told.exit_code == 0
    words = " ".join(told.stdout.split())
    assert "parameters, contradicted:" in words
    assert "C2PA, verified:" in words
    found = run(app, ["inspect", "--json", str(files / "cut.png"), str(files / "a1111.png")])
    assert found.exit_code == 1
    cut, good = map(json.loads, found.stdout.splitlines())
    assert [each["state"] for each in cut["evidence"]] == ["unchecked"]
    assert [each["state"] for each in good["evidence"]] == ["absent", "claimed", "absent"]
    assert good["evidence"][0]["prompt"] is None
