"""What a file says of its origin: signed, verified, claimed, contradicted, broken or absent."""

from __future__ import annotations

import datetime as dt
import gzip
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
from workbench.cli import terminal
from workbench.cli.app import app
from workbench.evidence.c2pa import _wrong
from workbench.evidence.watermark import read_watermark

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


EDIT = {
    "claim_generator_info": [{"name": "Test Editor", "version": "1"}],
    "assertions": [
        {"label": "org.test", "data": [1, "a signer may write anything"]},
        {"label": "org.test.more", "data": {"actions": 7}},
        {
            "label": "c2pa.actions",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.opened",
                        "softwareAgent": "Test Editor",
                        "parameters": {"ingredientIds": ["base"]},
                    }
                ]
            },
        },
    ],
}
FOOOCUS = {
    "prompt": "a green tree",
    "full_prompt": ["a green tree, cinematic", "soft"],
    "negative_prompt": "blurry",
    "base_model": "juggernaut",
    "base_model_hash": "aeb7",
    "resolution": "(64, 64)",
    "sampler": "dpmpp_2m",
    "seed": "1",
    "steps": 30,
}
INVOKE = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a grey owl",
    "negative_prompt": "blurry",
    "width": 64,
    "height": 64,
    "seed": 1,
    "steps": 30,
    "cfg_scale": 7,
    "scheduler": "euler",
    "model": {"key": "k", "name": "sdxl-base", "type": "main"},
}
NOVEL = {"sampler": "k_euler", "seed": 1, "scale": 5, "width": 64, "height": 64, "uc": "lowres"}
SWARM = {"prompt": "a black bee", "model": "sd_xl", "width": 64, "height": 64, "seed": 1}
EASY = {"prompt": "a red apple", "use_stable_diffusion_model": "sd-v1-5", "seed": "1"}
DRAW = {"c": "a ripe pear", "uc": "blurry", "model": "sd_v1.5", "size": "64x64", "seed": 1}
DRAWN = {
    "nodes": [
        {"id": 1, "type": "UNETLoader", "widgets_values": ["flux1-dev", "default"]},
        {"id": 2, "type": "CLIPTextEncode", "widgets_values": ["a blue ring"]},
        {"id": 3, "type": "CLIPTextEncode", "widgets_values": ["blurry"]},
        {"id": 4, "type": "EmptySD3LatentImage", "widgets_values": [64, 64, 1]},
        {
            "id": 5,
            "type": "KSampler",
            "inputs": [{"name": "positive", "link": 7}, {"name": "negative", "link": 8}],
            "widgets_values": [5, "fixed", 20, 8, "euler"],
        },
        {"id": 6, "type": "Note", "widgets_values": {"text": "by hand"}, "inputs": []},
    ],
    "links": [[7, 2, 0, 5, 1, "CONDITIONING"], [8, 3, 0, 5, 2, "CONDITIONING"]],
}
WIRES = [
    {"id": link[0], "origin_id": link[1], "origin_slot": link[2], "type": link[5]}
    for link in DRAWN["links"]
]
"""The links as newer versions of ComfyUI draw them."""
CONTROLLED = (
    ', ControlNet 0: "Module: canny, Model: control_canny [d14], Resize Mode: Crop, Size: 9x9"'
)
XMP = "<rdf:li><exif:UserComment><rdf:li>{}</rdf:li></exif:UserComment></rdf:li>"


def novel(**changed: object) -> dict[str, str]:
    return {
        "Description": "a tall girl",
        "Software": "NovelAI",
        "Source": "NovelAI Diffusion V4 37442FCA",
        "Comment": json.dumps(NOVEL | changed),
    }


SPACE = {"delimiter": " "}


def red_first(picture: Image.Image) -> Image.Image:
    """Mark a picture as diffusers did before 2024-02: the library takes its red for blue."""
    turned = Image.merge("RGB", picture.split()[::-1])
    marked = watermarked(turned, bytes.fromhex("b3ec907bb19e"), np.float32)
    return Image.merge("RGB", marked.split()[::-1])


def comfy(side: int, **more: tuple[str, dict]) -> dict[str, str]:
    """The two chunks of ComfyUI: an API prompt, with more nodes by name, and a workflow."""
    link = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    sampler = {"seed": 5, "steps": 20, "cfg": 8, "sampler_name": "euler", "denoise": 1, **link}
    nodes = {
        "3": ("KSampler", sampler),
        "4": ("CheckpointLoaderSimple", {"ckpt_name": "sd_xl_base_1.0.safetensors"}),
        "5": ("EmptyLatentImage", {"width": side, "height": side, "batch_size": 1}),
        "6": ("CLIPTextEncode", {"text": "a blue ring", "clip": ["4", 1]}),
        "7": ("CLIPTextEncode", {"text": "blurry", "clip": ["4", 1]}),
        **more,
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


OWN, ROOT = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
AUTHORITY = certificate("Test CA", ROOT, "Test CA", ROOT, ca=True)


def signed(picture: bytes, kind: str, base: bytes = b"", address: str = "") -> bytes:
    """Sign a picture by the C2PA library, with a certificate that nobody knows.

    As made from the JPEG `base`, if given; without its manifest, if that lies at an address.
    """
    chain = certificate("Test Signer", OWN, "Test CA", ROOT, ca=False) + AUTHORITY
    key = OWN.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    made = io.BytesIO()
    builder = c2pa.Builder(EDIT if base else MANIFEST)
    if base:
        told = {"title": "base", "relationship": "parentOf", "label": "base"}
        builder.add_ingredient(told, "image/jpeg", io.BytesIO(base))
    if address:
        builder.set_remote_url(address)
        builder.set_no_embed()
    builder.sign(signer, kind, io.BytesIO(picture), made)
    return made.getvalue()


def repainted(png: bytes, other: Image.Image | None = None) -> bytes:
    """Change the pixels of a PNG and leave every other chunk, the manifest too, as it was."""
    other = other or Image.open(io.BytesIO(png)).convert("RGB").point(lambda value: 255 - value)
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


def stealthy(image: Image.Image, text: str) -> Image.Image:
    """Hide a text in the lowest bits of an alpha channel, column by column."""
    packed = gzip.compress(text.encode())
    hidden = b"stealth_pngcomp" + struct.pack(">I", 8 * len(packed)) + packed
    bits = np.unpackbits(np.frombuffer(hidden, np.uint8))
    alpha = np.full(image.width * image.height, 254, np.uint8)
    alpha[: len(bits)] |= bits
    made = image.convert("RGBA")
    made.putalpha(Image.fromarray(alpha.reshape(image.width, image.height).T))
    return made


def watermarked(image: Image.Image, message: bytes, kind: type = np.uint8) -> Image.Image:
    from imwatermark import WatermarkEncoder

    encoder = WatermarkEncoder()
    encoder.set_watermark("bytes", message)
    made = encoder.encode(np.asarray(image)[:, :, ::-1].astype(kind), "dwtDct")
    return Image.fromarray(made[:, :, ::-1].clip(0, 255).astype(np.uint8))


def commented(comment: bytes | str, turned: int = 1, **tags: str) -> Image.Exif:
    """EXIF with a UserComment, where front ends write it: bytes in its own directory."""
    exif = Image.Exif()
    (exif.get_ifd(0x8769) if isinstance(comment, bytes) else exif)[0x9286] = comment
    exif[0x0112], exif[0x0131] = turned, "Test Painter"
    for number, value in zip((0x0110, 0x010F), tags, strict=False):
        exif[number] = f"{value}:{tags[value]}"
    return exif


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Write a table of files that carry each kind of evidence, forged and stripped ones too."""
    folder = tmp_path_factory.mktemp("evidence")
    photo = Image.fromarray(data.astronaut())
    small = photo.resize((64, 64))
    wide = photo.resize((64, 48))
    text = A1111.format(size="64x64")
    little = b"UNICODE\0" + text.encode("utf-16-le")
    big = b"UNICODE\0" + text.encode("utf-16-be")
    other = b"UNICODE\0" + A1111.format(size="64x48").encode("utf-16-be")
    dark = Image.fromarray(data.coffee()[:384, :512])
    ramp = np.zeros((256, 512, 3), np.uint8)
    ramp[..., 2] = (np.arange(512) + 56) % 160 / 160 * 255
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
        "signed.webp": signed(bytes_of(small, "WEBP"), "image/webp"),
        "signed.avif": signed(bytes_of(small, "AVIF"), "image/avif"),
        "signed.gif": signed(bytes_of(small.convert("P"), "GIF"), "image/gif"),
        "edited.jpg": signed(bytes_of(small, "JPEG"), "image/jpeg", jpeg),
        "edited-forged.jpg": signed(
            bytes_of(small, "JPEG"),
            "image/jpeg",
            jpeg[:-600] + bytes([jpeg[-600] ^ 1]) + jpeg[-599:],
        ),
        "elsewhere.jpg": signed(bytes_of(small, "JPEG"), "image/jpeg", address="http://a.test/b"),
        "copied.png": repainted(whole, photo.resize((64, 64), box=(0, 0, 200, 200))),
        "renamed.jpg": jpeg.replace(b"Test Model", b"Best Model"),
        "stripped.png": bytes_of(Image.open(io.BytesIO(whole))),
        "a1111.png": with_text(small, parameters=A1111.format(size="64x64")),
        "a1111.jpg": bytes_of(small, "JPEG", exif=commented(big)),
        "a1111-little.jpg": bytes_of(small, "JPEG", exif=commented(little)),
        "a1111-ascii.webp": bytes_of(small, "WEBP", exif=commented(b"ASCII\0\0\0" + text.encode())),
        "a1111.avif": bytes_of(small, "AVIF", exif=commented(big)),
        "a1111.gif": bytes_of(small.convert("P"), "GIF", comment=text.encode()),
        "turned.jpg": bytes_of(wide, "JPEG", exif=commented(other, turned=6)),
        "twice.png": with_text(small, parameters=text.replace("blurry", "\nNegative prompt:")),
        "endless.png": with_text(small, parameters=text * 500),
        "spaces.png": with_text(small, **novel() | {"Source": " " * 49_000 + "!"}),
        "forged.png": with_text(small, parameters=A1111.format(size="512x512")),
        "noise.png": with_text(small, parameters="made by hand, honestly"),
        "comfy.png": with_text(small, **comfy(64)),
        "comfy-forged.png": with_text(small, **comfy(1024)),
        "comfy-scaled.png": with_text(small, **comfy(32, more=("ImageScale", {"image": ["3", 0]}))),
        "comfy-prompt.png": with_text(small, prompt=comfy(64)["prompt"]),
        "comfy-drawn.png": with_text(small, workflow=json.dumps(DRAWN)),
        "comfy-drawn-forged.png": with_text(wide, workflow=json.dumps(DRAWN)),
        "comfy.webp": bytes_of(small, "WEBP", exif=commented("", **comfy(64))),
        "comfy-odd.png": with_text(
            small, **comfy(64, **{"4": ("CheckpointLoaderSimple", {"ckpt_name": {"a": 1}})})
        ),
        "fooocus.png": with_text(small, parameters=json.dumps(FOOOCUS)),
        "fooocus.jpg": bytes_of(small, "JPEG", exif=commented(json.dumps(FOOOCUS))),
        "fooocus-forged.png": with_text(wide, parameters=json.dumps(FOOOCUS)),
        "invoke.png": with_text(small, invokeai_metadata=json.dumps(INVOKE)),
        "invoke-forged.png": with_text(wide, invokeai_metadata=json.dumps(INVOKE)),
        "novel.png": with_text(small, **novel()),
        "novel-forged.png": with_text(small, **novel(width=832)),
        "stealthy.png": bytes_of(stealthy(wide, A1111.format(size="64x48"))),
        "stealthy-novel.png": bytes_of(stealthy(small, json.dumps(novel()))),
        "swarm.png": with_text(small, parameters=json.dumps({"sui_image_params": SWARM})),
        "easy.png": with_text(small, **EASY),
        "draw.png": with_text(small, **{"XML:com.adobe.xmp": XMP.format(json.dumps(DRAW))}),
        "watermark-v1.png": bytes_of(v1),
        "watermark-xl.png": bytes_of(xl),
        "watermark.jpg": bytes_of(v1, "JPEG", quality=75),
        "watermark-dark.png": bytes_of(
            watermarked(dark, bytes.fromhex("b3ec907bb19e"), np.float32)
        ),
        "watermark-dark-v2.png": bytes_of(watermarked(dark, b"SDV2")),
        "ramp.png": bytes_of(Image.fromarray(ramp)),
        "watermark-xl-red.png": bytes_of(red_first(photo)),
        "grid.png": with_text(
            photo.crop((0, 0, 512, 256)), parameters=A1111.format(size="256x256")
        ),
        "controlled.png": with_text(small, parameters=A1111.format(size="64x64") + CONTROLLED),
        "controlled-forged.png": with_text(
            small, parameters=A1111.format(size="512x512") + CONTROLLED
        ),
        "quoted.png": with_text(
            small, parameters=A1111.format(size="64x64").replace("v1-5-pruned", '"a, b: c"')
        ),
        "comfy-turned.png": with_text(
            wide,
            **comfy(
                64,
                **{
                    "8": ("VAEDecode", {"samples": ["3", 0]}),
                    "9": ("Mine", {"image": ["8", 0]}),
                    "10": ("SaveImage", {"images": ["9", 0]}),
                },
            ),
        ),
        "comfy-saved-forged.png": with_text(
            wide,
            **comfy(
                64,
                **{
                    "8": ("VAEDecode", {"samples": ["3", 0]}),
                    "10": ("SaveImage", {"images": ["8", 0]}),
                },
            ),
        ),
        "comfy-wired.png": with_text(small, workflow=json.dumps(DRAWN | {"links": WIRES})),
        "cut.png": bytes_of(photo)[:2000],
        "<b>.png": with_text(small, parameters="<b>" + A1111.format(size="64x64")),
    }
    for name, content in written.items():
        (folder / name).write_bytes(content)
    return folder


TABLE = [
    ("plain.png", "absent", "absent", "absent"),
    ("signed.png", "signed", "absent", "absent"),
    ("signed.jpg", "signed", "absent", "absent"),
    ("signed.webp", "signed", "absent", "absent"),
    ("signed.avif", "signed", "absent", "absent"),
    ("signed.gif", "signed", "absent", "absent"),
    ("edited.jpg", "signed", "absent", "absent"),
    ("edited-forged.jpg", "signed", "absent", "absent"),
    ("elsewhere.jpg", "claimed", "absent", "absent"),
    ("tampered.png", "broken", "absent", "absent"),
    ("tampered.jpg", "broken", "absent", "absent"),
    ("copied.png", "broken", "absent", "absent"),
    ("renamed.jpg", "broken", "absent", "absent"),
    ("stripped.png", "absent", "absent", "absent"),
    ("a1111.png", "absent", "claimed", "absent"),
    ("a1111.jpg", "absent", "claimed", "absent"),
    ("a1111-little.jpg", "absent", "claimed", "absent"),
    ("a1111-ascii.webp", "absent", "claimed", "absent"),
    ("a1111.avif", "absent", "claimed", "absent"),
    ("a1111.gif", "absent", "claimed", "absent"),
    ("turned.jpg", "absent", "claimed", "absent"),
    ("forged.png", "absent", "contradicted", "absent"),
    ("twice.png", "absent", "claimed", "absent"),
    ("endless.png", "absent", "unchecked", "absent"),
    ("spaces.png", "absent", "claimed", "absent"),
    ("noise.png", "absent", "claimed", "absent"),
    ("comfy.png", "absent", "claimed", "absent"),
    ("comfy.webp", "absent", "claimed", "absent"),
    ("comfy-prompt.png", "absent", "claimed", "absent"),
    ("comfy-drawn.png", "absent", "claimed", "absent"),
    ("comfy-drawn-forged.png", "absent", "contradicted", "absent"),
    ("comfy-scaled.png", "absent", "claimed", "absent"),
    ("comfy-odd.png", "absent", "claimed", "absent"),
    ("comfy-forged.png", "absent", "contradicted", "absent"),
    ("fooocus.png", "absent", "claimed", "absent"),
    ("fooocus.jpg", "absent", "claimed", "absent"),
    ("fooocus-forged.png", "absent", "contradicted", "absent"),
    ("invoke.png", "absent", "claimed", "absent"),
    ("invoke-forged.png", "absent", "contradicted", "absent"),
    ("novel.png", "absent", "claimed", "absent"),
    ("novel-forged.png", "absent", "contradicted", "absent"),
    ("stealthy.png", "absent", "claimed", "absent"),
    ("stealthy-novel.png", "absent", "claimed", "absent"),
    ("swarm.png", "absent", "claimed", "absent"),
    ("easy.png", "absent", "claimed", "absent"),
    ("draw.png", "absent", "claimed", "absent"),
    ("watermark-v1.png", "absent", "absent", "claimed"),
    ("watermark-xl.png", "absent", "absent", "claimed"),
    ("watermark-dark.png", "absent", "absent", "claimed"),
    ("watermark-xl-red.png", "absent", "absent", "claimed"),
    ("grid.png", "absent", "claimed", "absent"),
    ("controlled.png", "absent", "claimed", "absent"),
    ("controlled-forged.png", "absent", "contradicted", "absent"),
    ("quoted.png", "absent", "claimed", "absent"),
    ("comfy-turned.png", "absent", "claimed", "absent"),
    ("comfy-saved-forged.png", "absent", "contradicted", "absent"),
    ("comfy-wired.png", "absent", "claimed", "absent"),
    ("watermark-dark-v2.png", "absent", "absent", "claimed"),
    ("watermark.jpg", "absent", "absent", "absent"),
    ("ramp.png", "absent", "absent", "absent"),
]
PROMPTS = [
    ("a1111.png", "v1-5-pruned", "a red star on snow"),
    ("a1111-little.jpg", "v1-5-pruned", "a red star on snow"),
    ("comfy.png", "sd_xl_base_1.0.safetensors", "a blue ring"),
    ("comfy-odd.png", "ComfyUI", "a blue ring"),
    ("comfy-drawn.png", "flux1-dev", "a blue ring"),
    ("comfy-wired.png", "flux1-dev", "a blue ring"),
    ("twice.png", "v1-5-pruned", "a red star on snow"),
    ("controlled.png", "v1-5-pruned", "a red star on snow"),
    ("quoted.png", "a, b: c", "a red star on snow"),
    ("fooocus.png", "juggernaut", "a green tree"),
    ("invoke.png", "sdxl-base", "a grey owl"),
    ("novel.png", "NovelAI Diffusion V4", "a tall girl"),
    ("stealthy.png", "v1-5-pruned", "a red star on snow"),
    ("stealthy-novel.png", "NovelAI Diffusion V4", "a tall girl"),
    ("swarm.png", "sd_xl", "a black bee"),
    ("easy.png", "sd-v1-5", "a red apple"),
    ("draw.png", "sd_v1.5", "a ripe pear"),
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
        "Valid: unchanged since it was signed. It names “Test Model” as made by a model, signed by "
        "“Test Signer, Test House”; who that is was not verified: anybody can sign in any name."
    )
    wrong = {
        "tampered.png": "The picture was changed since it was signed, or the manifest is another "
        "picture's (assertion.dataHash.mismatch)",
        "renamed.jpg": "The manifest was changed since it was signed (assertion.hashedURI.mism",
        "elsewhere.jpg": "A C2PA manifest is said to lie elsewhere; it was not fetched",
    }
    for name, text in wrong.items():
        assert evidence.inspect(files / name)[0].text.startswith(text)
    unchanged = "Unchanged since it was signed, but"
    expired = _wrong(["signingCredential.expired"])
    assert expired.startswith(f"{unchanged} with a certificate that does not hold (signing")
    assert _wrong([]) == f"{unchanged} an ingredient does not hold"
    assert _wrong(["claim.missing"]) == "Signed wrongly (claim.missing)"


def test_a_manifest_tells_of_what_a_picture_was_made_from(files):
    texts = [evidence.inspect(files / f"edited{end}.jpg")[0].text for end in ("", "-forged")]
    assert all("It names “Test Editor”, signed" in text for text in texts)
    assert all("An ingredient names “Test Model” as made by a model." in text for text in texts)
    assert ["An ingredient was broken" in text for text in texts] == [False, True]


def test_a_signer_is_verified_only_by_a_certificate_that_the_user_names(
    files, tmp_path, monkeypatch
):
    for name, authority, state in (
        ("signed.png", AUTHORITY, "verified"),
        ("tampered.png", AUTHORITY, "broken"),
        ("signed.png", certificate("Else", OWN, "Else", OWN, ca=True), "signed"),
    ):
        (tmp_path / "trusted.pem").write_bytes(authority)
        monkeypatch.setenv("WORKBENCH_SIGNERS", str(tmp_path / "trusted.pem"))
        assert evidence.inspect(files / name)[0].state == state
    (tmp_path / "trusted.pem").write_text("no certificate")
    with pytest.raises(ValueError, match=r"WORKBENCH_SIGNERS names .*, which holds no certificate"):
        evidence.inspect(files / "signed.png")
    head, foot = (f"-----{word} CERTIFICATE-----\n" for word in ("BEGIN", "END"))
    (tmp_path / "trusted.pem").write_text(f"{head}garbage\n{foot}")
    with pytest.raises(ValueError, match=r"^WORKBENCH_SIGNERS names certificates that cannot be"):
        evidence.inspect(files / "signed.png")
    monkeypatch.setenv("WORKBENCH_SIGNERS", str(tmp_path))
    with pytest.raises(ValueError, match=r"WORKBENCH_SIGNERS names .*, which cannot be read"):
        evidence.inspect(files / "signed.png")


@pytest.mark.parametrize(("name", "source", "prompt"), PROMPTS)
def test_parameters_hold_the_prompt_and_the_model(files, name, source, prompt):
    found = evidence.inspect(files / name)[1]
    assert (found.source, found.prompt) == (source, prompt)


def test_a_prompt_of_comfyui_is_what_lies_behind_the_positive_wire(tmp_path):
    more = {
        "3": ("SamplerCustomAdvanced", {"guider": ["8", 0], "latent_image": ["5", 0]}),
        "4": ("UNETLoader", {"unet_name": "flux1-dev"}),
        "8": ("BasicGuider", {"model": ["4", 0], "conditioning": ["9", 0]}),
        "9": ("FluxGuidance", {"conditioning": ["6", 0], "guidance": 3.5}),
    }
    control = {"positive": ["6", 0], "negative": ["7", 0], "image": ["11", 0], "strength": 1}
    between = {
        "3": ("KSampler", {"positive": ["10", 0], "negative": ["10", 1]}),
        "6": ("CLIPTextEncodeSDXL", {"text_g": ["12", 0], "text_l": "soft", "clip": ["4", 1]}),
        "10": ("ControlNetApplyAdvanced", control),
        "12": ("PrimitiveString", {"value": "a blue ring"}),
    }
    round_about = {"6": ("ConditioningCombine", {"conditioning_1": ["6", 0]})}
    wanted = {"a blue ring": more, "a blue ring, soft": between, "": round_about}
    for prompt, nodes in wanted.items():
        (tmp_path / "it.png").write_bytes(
            with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes))
        )
        found = evidence.parameters(tmp_path / "it.png")
        assert (found.state, found.prompt or "") == ("claimed", prompt)


FOX = ("PrimitiveString", {"value": "a red fox"})
PIPES = {
    # what a text encoder's text is wired to: more nodes, and the prompt that is read
    "a photo of a red fox": {
        "20": ("StringConcatenate", {"string_a": "a photo of", "string_b": ["21", 0], **SPACE}),
        "21": FOX,
    },
    "one, a red fox": {
        "20": ("ShowText", {"text": ["22", 0], "text_0": "shown"}),
        "21": FOX,
        "22": ("Text Concatenate", {"text_a": "one", "text_b": ["21", 0], "delimiter": ", "}),
    },
    "a red fox": {"20": ("Pipe", {"pos": ["21", 0], "neg": ["23", 0]}), "21": FOX},
    "a styled fox": {"20": ("Styler", {"text_positive": "a styled fox", "text_negative": "bad"})},
    "a blue fox": {"20": ("Wild", {"wildcard_text": "a _ fox", "populated_text": "a blue fox"})},
    None: {"20": ("OllamaGenerate", {"prompt": "Describe the image.", "model": "llava"})},
}


@pytest.mark.parametrize("prompt", [*PIPES, "unknown"])
def test_a_prompt_is_followed_through_nodes_or_said_to_be_lost(tmp_path, prompt):
    nodes = PIPES.get(prompt, {"20": ("Mine", {"words": "half of it", "rest": ["21", 0]})})
    nodes = {"21": FOX, "23": ("PrimitiveString", {"value": "NEGATIVE"}), **nodes}
    nodes["6"] = ("CLIPTextEncode", {"text": ["20", 0], "clip": ["4", 1]})
    (tmp_path / "it.png").write_bytes(with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes)))
    found = evidence.parameters(tmp_path / "it.png")
    wanted = None if prompt == "unknown" else prompt
    assert (found.state, found.prompt) == ("claimed", wanted)
    assert ("the prompt lost in its nodes" in found.text) is (wanted is None)


def test_two_paths_to_a_guider_are_both_followed(tmp_path):
    nodes = {
        "3": ("SamplerCustomAdvanced", {"guider": ["8", 0], "latent_image": ["5", 0]}),
        "8": ("DualCFGGuider", {"cond1": ["6", 0], "cond2": ["9", 0], "negative": ["7", 0]}),
        "9": ("CLIPTextEncodeFlux", {"clip_l": "soft", "t5xxl": "a soft light", "clip": ["4", 1]}),
    }
    (tmp_path / "it.png").write_bytes(with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes)))
    assert evidence.parameters(tmp_path / "it.png").prompt == "a blue ring, soft, a soft light"


def test_endless_prompts_are_cut_where_they_are_shown_and_turn_nothing_around(tmp_path, capsys):
    long = "a\u202eb\x1b[2J " + "so " * 5000
    nodes = {"6": ("CLIPTextEncode", {"text": long, "clip": ["4", 1]})}
    (tmp_path / "it.png").write_bytes(with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes)))
    terminal.print_evidence(evidence.frame([tmp_path / "it.png"]), False)
    said = capsys.readouterr().out
    assert "\u202e" not in said
    assert "a\\u202eb\\x1b[2J so so" in " ".join(said.split())
    assert len(said) < 2000
    assert evidence.parameters(tmp_path / "it.png").prompt == long.strip()


def test_no_text_is_taken_for_another_pictures(files):
    for _ in range(20):  # at the same place in memory
        assert evidence.parameters(files / "a1111.jpg").state == "claimed"
        assert evidence.parameters(files / "signed.webp").state == "absent"


def test_contradicted_and_unknown_texts_are_told(files):
    assert "512×512 pixels, the picture has 64×64" in evidence.inspect(files / "forged.png")[1].text
    assert "Other texts: “parameters”." in evidence.inspect(files / "noise.png")[1].text
    assert "more than 50,000 characters" in evidence.inspect(files / "endless.png")[1].text


def test_watermarks_are_named_and_counted(files):
    v1, xl = (evidence.inspect(files / f"watermark-{name}.png")[2] for name in ("v1", "xl"))
    assert v1.source.startswith("Stable Diffusion 1")
    assert "136 of 136 bits" in v1.text
    assert xl.source.startswith("SDXL")
    assert "48 of 48 bits" in xl.text


def unmarked(count: int):
    """Yield pictures without a watermark: photographs, noise, flat ones, ramps, stripes, waves."""
    rng = np.random.default_rng(0)
    photos = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    for number in range(count):
        colours, turn = rng.random((2, 3)) * 255, rng.integers(2)
        across = np.arange(320) / rng.uniform(4, 320) + rng.random()
        if number % 6 == 0:
            photo = photos[rng.integers(4)]
            top, left = (rng.integers(0, side - 256) for side in photo.shape[:2])
            pixels = photo[top : top + 256, left : left + 256]
        elif number % 6 == 1:
            pixels = rng.random((256, 320, 3)) * 255
        else:
            share = [0 * across, across % 1, across % 1 < 0.5, np.sin(across * 6.283) / 2 + 0.5]
            mixed = np.multiply.outer(share[number % 6 - 2], colours[0] - colours[1]) + colours[1]
            pixels = np.broadcast_to(mixed, (256, 320, 3))
        made = np.ascontiguousarray(pixels.swapaxes(0, 1) if turn else pixels)
        yield Image.fromarray(made.astype(np.uint8))


def test_pictures_without_a_watermark_seldom_seem_to_have_one():
    found = [read_watermark(each).state for each in unmarked(24)]
    assert found == ["absent"] * 24


def test_a_folder_is_a_frame_and_a_broken_file_is_a_row(files, tmp_path):
    for name in ("cut.png", "a1111.png", "signed.gif"):
        (tmp_path / name).symlink_to(files / name)
    table = evidence.frame(wb.images.find([tmp_path])).set_index("path")
    row = table.loc[str(tmp_path / "cut.png")]
    assert (row["kind"], row["state"]) == ("file", "unchecked")
    assert row["text"].startswith("It cannot be opened: the picture is damaged")
    assert len(table) == 3 + 1 + 3


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
    assert found["failure"].tolist()[1] == (
        "no prompt could be read in the file: No parameters of a known front end."
    )
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
    assert "C2PA, signed:" in words
    found = run(app, ["inspect", "--json", str(files / "cut.png"), str(files / "a1111.png")])
    assert found.exit_code == 1
    cut, good = map(json.loads, found.stdout.splitlines())
    assert [each["state"] for each in cut["evidence"]] == ["unchecked"]
    assert [each["state"] for each in good["evidence"]] == ["absent", "claimed", "absent"]
    assert good["evidence"][0]["prompt"] is None


def test_each_file_tells_its_own_prompt_though_the_pixels_are_the_same(
    files, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path))
    names = ["a1111.png", "comfy.png", "stripped.png", "noise.png"]
    told = ["invert", "--json", "--inverter", "metadata", *(str(files / name) for name in names)]
    found = CliRunner().invoke(app, told)
    prompts = [json.loads(line)["prompt"] for line in found.stdout.splitlines()]
    assert prompts == ["a red star on snow", "a blue ring", None, None]
    assert found.exit_code == 1
