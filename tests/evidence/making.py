"""Files that carry each kind of evidence, made by the libraries that write such files."""

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
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image, PngImagePlugin
from skimage import data

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


def certificate(subject, key, issuer, issuer_key, ca: bool, usages=(), seconds=30 * 86400) -> bytes:
    """Make a certificate (PEM) that holds from yesterday on, for so many seconds from now."""

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
        .not_valid_after(now + dt.timedelta(seconds=seconds))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **uses), critical=True
        )
    )
    if not ca:
        uses_of = map(x509.ObjectIdentifier, usages)
        usage = x509.ExtendedKeyUsage([*uses_of] or [ExtendedKeyUsageOID.EMAIL_PROTECTION])
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


def photo() -> Image.Image:
    """Return the photograph that most files show, 512×512."""
    return Image.fromarray(data.astronaut())


def small() -> Image.Image:
    """Return it at 64×64."""
    return photo().resize((64, 64))


def wide() -> Image.Image:
    """Return it at 64×48."""
    return photo().resize((64, 48))


def with_manifests() -> dict[str, bytes]:
    """Sign pictures in every format, and change some afterwards."""
    whole = signed(bytes_of(small()), "image/png")
    jpeg = signed(bytes_of(photo(), "JPEG"), "image/jpeg")
    return {
        "plain.png": bytes_of(photo()),
        "signed.png": whole,
        "signed.jpg": jpeg,
        "tampered.png": repainted(whole),
        "tampered.jpg": jpeg[:-600] + bytes([jpeg[-600] ^ 1]) + jpeg[-599:],
        "signed.webp": signed(bytes_of(small(), "WEBP"), "image/webp"),
        "signed.avif": signed(bytes_of(small(), "AVIF"), "image/avif"),
        "signed.gif": signed(bytes_of(small().convert("P"), "GIF"), "image/gif"),
        "edited.jpg": signed(bytes_of(small(), "JPEG"), "image/jpeg", jpeg),
        "edited-forged.jpg": signed(
            bytes_of(small(), "JPEG"),
            "image/jpeg",
            jpeg[:-600] + bytes([jpeg[-600] ^ 1]) + jpeg[-599:],
        ),
        "elsewhere.jpg": signed(bytes_of(small(), "JPEG"), "image/jpeg", address="http://a.test/b"),
        "copied.png": repainted(whole, photo().resize((64, 64), box=(0, 0, 200, 200))),
        "renamed.jpg": jpeg.replace(b"Test Model", b"Best Model"),
        "stripped.png": bytes_of(Image.open(io.BytesIO(whole))),
    }


def with_infotext() -> dict[str, bytes]:
    """Write what Automatic1111 and its kin write, in every place where they do."""
    text = A1111.format(size="64x64")
    little = b"UNICODE\0" + text.encode("utf-16-le")
    big = b"UNICODE\0" + text.encode("utf-16-be")
    other = b"UNICODE\0" + A1111.format(size="64x48").encode("utf-16-be")
    plain = b"ASCII\0\0\0" + text.encode()
    return {
        "a1111.png": with_text(small(), parameters=A1111.format(size="64x64")),
        "a1111.jpg": bytes_of(small(), "JPEG", exif=commented(big)),
        "a1111-little.jpg": bytes_of(small(), "JPEG", exif=commented(little)),
        "a1111-ascii.webp": bytes_of(small(), "WEBP", exif=commented(plain)),
        "a1111.avif": bytes_of(small(), "AVIF", exif=commented(big)),
        "a1111.gif": bytes_of(small().convert("P"), "GIF", comment=text.encode()),
        "turned.jpg": bytes_of(wide(), "JPEG", exif=commented(other, turned=6)),
        "twice.png": with_text(small(), parameters=text.replace("blurry", "\nNegative prompt:")),
        "endless.png": with_text(small(), parameters=text * 500),
        "spaces.png": with_text(small(), **novel() | {"Source": " " * 49_000 + "!"}),
        "forged.png": with_text(small(), parameters=A1111.format(size="512x512")),
        "noise.png": with_text(small(), parameters="made by hand, honestly"),
        "grid.png": with_text(
            photo().crop((0, 0, 512, 256)), parameters=A1111.format(size="256x256")
        ),
        "controlled.png": with_text(small(), parameters=A1111.format(size="64x64") + CONTROLLED),
        "controlled-forged.png": with_text(
            small(), parameters=A1111.format(size="512x512") + CONTROLLED
        ),
        "quoted.png": with_text(
            small(), parameters=A1111.format(size="64x64").replace("v1-5-pruned", '"a, b: c"')
        ),
        "<b>.png": with_text(small(), parameters="<b>" + A1111.format(size="64x64")),
    }


def with_graphs() -> dict[str, bytes]:
    """Write graphs of ComfyUI, executed and drawn."""
    scaled = comfy(32, more=("ImageScale", {"image": ["3", 0]}))
    return {
        "comfy.png": with_text(small(), **comfy(64)),
        "comfy-forged.png": with_text(small(), **comfy(1024)),
        "comfy-scaled.png": with_text(small(), **scaled),
        "comfy-prompt.png": with_text(small(), prompt=comfy(64)["prompt"]),
        "comfy-drawn.png": with_text(small(), workflow=json.dumps(DRAWN)),
        "comfy-drawn-forged.png": with_text(wide(), workflow=json.dumps(DRAWN)),
        "comfy.webp": bytes_of(small(), "WEBP", exif=commented("", **comfy(64))),
        "comfy-odd.png": with_text(
            small(), **comfy(64, **{"4": ("CheckpointLoaderSimple", {"ckpt_name": {"a": 1}})})
        ),
        "comfy-turned.png": with_text(
            wide(),
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
            wide(),
            **comfy(
                64,
                **{
                    "8": ("VAEDecode", {"samples": ["3", 0]}),
                    "10": ("SaveImage", {"images": ["8", 0]}),
                },
            ),
        ),
        "comfy-wired.png": with_text(small(), workflow=json.dumps(DRAWN | {"links": WIRES})),
    }


def with_front_ends() -> dict[str, bytes]:
    """Write what other front ends write."""
    return {
        "fooocus.png": with_text(small(), parameters=json.dumps(FOOOCUS)),
        "fooocus.jpg": bytes_of(small(), "JPEG", exif=commented(json.dumps(FOOOCUS))),
        "fooocus-forged.png": with_text(wide(), parameters=json.dumps(FOOOCUS)),
        "invoke.png": with_text(small(), invokeai_metadata=json.dumps(INVOKE)),
        "invoke-forged.png": with_text(wide(), invokeai_metadata=json.dumps(INVOKE)),
        "novel.png": with_text(small(), **novel()),
        "novel-forged.png": with_text(small(), **novel(width=832)),
        "stealthy.png": bytes_of(stealthy(wide(), A1111.format(size="64x48"))),
        "stealthy-novel.png": bytes_of(stealthy(small(), json.dumps(novel()))),
        "swarm.png": with_text(small(), parameters=json.dumps({"sui_image_params": SWARM})),
        "easy.png": with_text(small(), **EASY),
        "draw.png": with_text(small(), **{"XML:com.adobe.xmp": XMP.format(json.dumps(DRAW))}),
    }


def with_watermarks() -> dict[str, bytes]:
    """Mark pictures as the Stable Diffusion scripts and SDXL do, and some that seem marked."""
    dark = Image.fromarray(data.coffee()[:384, :512])
    ramp = np.zeros((256, 512, 3), np.uint8)
    ramp[..., 2] = (np.arange(512) + 56) % 160 / 160 * 255
    v1 = watermarked(photo(), b"StableDiffusionV1")
    xl = watermarked(photo(), bytes.fromhex("b3ec907bb19e"), np.float32)
    return {
        "watermark-v1.png": bytes_of(v1),
        "watermark-xl.png": bytes_of(xl),
        "watermark.jpg": bytes_of(v1, "JPEG", quality=75),
        "watermark-dark.png": bytes_of(
            watermarked(dark, bytes.fromhex("b3ec907bb19e"), np.float32)
        ),
        "watermark-dark-v2.png": bytes_of(watermarked(dark, b"SDV2")),
        "ramp.png": bytes_of(Image.fromarray(ramp)),
        "watermark-xl-red.png": bytes_of(red_first(photo())),
        "cut.png": bytes_of(photo())[:2000],
    }


def write_files(folder: Path) -> Path:
    """Write a table of files that carry each kind of evidence, forged and stripped ones too."""
    for part in (with_manifests, with_infotext, with_graphs, with_front_ends, with_watermarks):
        for name, content in part().items():
            (folder / name).write_bytes(content)
    return folder
