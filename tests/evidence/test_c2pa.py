"""Signed manifests: broken only where bytes were changed, and never the end of a run."""

from __future__ import annotations

import io
import json
import time

import c2pa
import numpy as np
import pillow_heif
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from tests.evidence.making import (
    AUTHORITY,
    MANIFEST,
    OWN,
    ROOT,
    bytes_of,
    certificate,
    commented,
    repainted,
    signed,
    small,
)
from workbench import evidence
from workbench.evidence import c2pa as reading
from workbench.evidence.c2pa import _wrong, read_manifest


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
    base = "An ingredient, “base” (which it was made from), names “Test Model” as made by a model."
    assert all(base in text for text in texts)
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


CLAIM_SIGNING, DOCUMENT_SIGNING = "1.3.6.1.4.1.62558.2.1", "1.3.6.1.5.5.7.3.36"
MICROSOFT = "1.3.6.1.4.1.311.76.59.1.9"
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
KEYS = {
    "es256": lambda: OWN,
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
    "ps384": lambda: rsa.generate_private_key(65537, 2048),
    "ps512": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def plain_in(form: str) -> bytes:
    """Save the picture in a format, or in one of its kinds (`KINDS`)."""
    if form == "HEIF":
        made = io.BytesIO()
        pillow_heif.from_pillow(PICTURE).save(made)
        return made.getvalue()
    return bytes_of(PICTURE.convert(MODES.get(form, "RGB")), form.split()[0], **KINDS.get(form, {}))


def signed_as(
    form="JPEG", by="es256", usages=(), seconds=86400, more=(), told=None, parts=0, url="", **how
) -> bytes:
    """Sign a picture in a format, by an algorithm, with a certificate of these usages.

    With more assertions, other fields of the manifest, so many ingredients, an address.
    """
    key = KEYS[by]()
    leaf = certificate("Leaf", key, "Test CA", ROOT, ca=False, usages=usages, seconds=seconds)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    how = {"verify": {"verify_after_sign": False}, **how}
    how |= {"trust": {"trust_config": "\n".join(usages)}} if usages else {}
    told = MANIFEST | {"assertions": [*MANIFEST["assertions"], *more]} | (told or {})
    builder = c2pa.Builder(told, context=c2pa.Context(c2pa.Settings.from_dict(how)))
    for number in range(parts):
        base = signed_as() if number % 2 else bytes_of(PICTURE, "JPEG")
        part = {"title": f"part {number}", "relationship": "componentOf"}
        builder.add_ingredient(part, "image/jpeg", io.BytesIO(base))
    if url:
        builder.set_remote_url(url)
    info = c2pa.C2paSignerInfo(by.encode(), leaf + AUTHORITY, private, None)
    made, plain = io.BytesIO(), io.BytesIO(plain_in(form))
    builder.sign(c2pa.Signer.from_info(info), f"image/{form.split()[0].lower()}", plain, made)
    return made.getvalue()


def repainted_inside(signed: bytes, form: str) -> bytes:
    """Change one bit of what was the picture's own data before it was signed."""
    plain = plain_in(form)
    place = next(
        at
        for start in range(len(plain) // 2, len(plain) - 12)
        if (at := signed.find(plain[start : start + 12])) >= 0
    )
    return signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]


KINDS = {
    "JPEG progressive": {"progressive": True, "subsampling": 0},
    "JPEG with EXIF": {"exif": commented(b"ASCII\0\0\0a kettle")},
    "PNG of 16 bits": {},
    "PNG with a palette": {},
    "WEBP lossless": {"lossless": True},
    "WEBP with alpha": {},
    "TIFF packed": {"compression": "tiff_lzw"},
    "TIFF of ink": {},
    "AVIF of few bits": {"quality": 20},
}
MODES = {"PNG of 16 bits": "I;16", "PNG with a palette": "P", "WEBP with alpha": "RGBA"}
MODES |= {"TIFF of ink": "CMYK", "GIF": "P"}
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF")
WAYS = {
    **{form: {"form": form} for form in (*FORMATS, *KINDS)},
    **{alg: {"told": {"alg": alg}} for alg in ("sha384", "sha512")},
    "sha512 in PNG": {"told": {"alg": "sha512"}, "form": "PNG"},
    "a claim of version 1": {"told": {"claim_version": 1}},
    "a claim of version 1 in PNG": {"told": {"claim_version": 1}, "form": "PNG"},
    "a title and a format": {"told": {"title": "a kettle", "format": "image/jpeg"}},
    "ingredients": {"parts": 3},
    "an ingredient, in AVIF": {"parts": 1, "form": "AVIF"},
    "an address beside the manifest": {"url": "http://a.test/b"},
    **{by: {"by": by} for by in KEYS},
    "claim signing alone": {"usages": (CLAIM_SIGNING,)},
    "claim and document signing": {"usages": (CLAIM_SIGNING, DOCUMENT_SIGNING)},
    "Microsoft's": {"usages": (MICROSOFT,)},
    "no thumbnail": {"builder": {"thumbnail": {"enabled": False}}},
    "an assertion of its own": {"more": [{"label": "org.test", "data": {"a": [1, None]}}]},
    "an identity": {"more": [{"label": "cawg.identity", "data": {"a": 1}, "kind": "Cbor"}]},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_signed_is_never_broken_and_what_was_changed_since_always_is(way):
    form = WAYS[way].get("form", "JPEG")
    whole = signed_as(**WAYS[way])
    found = read_manifest(whole)
    assert (found.state, found.source) == ("signed", "Test Model")
    assert found.text.startswith("Valid: unchanged since it was signed. It names “Test Model”")
    assert read_manifest(repainted_inside(whole, form)).state == "broken"


def test_ingredients_are_told_with_what_they_are_and_what_they_carry():
    text = read_manifest(signed_as(parts=6)).text
    assert " An ingredient, “part 0” (a part of it), carries no manifest." in text
    assert " An ingredient, “part 1” (a part of it), names “Test Model” as made by" in text
    assert text.count("An ingredient") == 5
    assert text.endswith(" More ingredients: 1.")


def test_what_is_broken_is_held_to_the_thumbnail_that_was_signed():
    whole = signed(bytes_of(small()), "image/png")
    again, other = repainted(whole, small().point(lambda x: min(x + 2, 255))), repainted(whole)
    said = "The thumbnail that was signed and this picture are"
    near, far = (float(read_manifest(x).text.split(said)[1].split()[0]) for x in (again, other))
    assert near < 20 < 50 < far
    renamed = whole.replace(b"Test Model", b"Best Model")  # what was signed is not what is there
    assert "thumbnail" not in read_manifest(renamed).text
    bare = signed_as(**WAYS["no thumbnail"])
    assert "thumbnail" not in read_manifest(repainted_inside(bare, "JPEG")).text


def trusted_entities(*services: tuple[str, bytes]) -> str:
    """Write a list of trusted entities as C2PA publishes it: a status and a certificate each."""

    def service(status: str, pem: bytes) -> dict:
        value = "".join(pem.decode().split("-----")[2].split())
        status = f"http://c2pa.org/conformance/trust-list/{status}"
        identity = {"X509Certificates": [{"val": value}]}
        information = {"ServiceDigitalIdentity": identity, "ServiceStatus": status}
        return {"ServiceInformation": information}

    entity = {"TrustedEntityServices": [service(*each) for each in services]}
    return json.dumps({"LoTE": {"TrustedEntitiesList": [entity]}})


ELSE = certificate("Else", OWN, "Else", OWN, ca=True)
LISTS = [
    (trusted_entities(("trusted", ELSE), ("trusted", AUTHORITY)), "verified"),
    (trusted_entities(("trusted", ELSE), ("untrusted", AUTHORITY)), "signed"),
    ("# Root\n" + ELSE.decode() + "# Test CA\n" + AUTHORITY.decode(), "verified"),
]


@pytest.mark.parametrize(("text", "state"), LISTS, ids=range(len(LISTS)))
def test_the_list_of_conforming_signers_is_read_in_both_its_forms(
    text, state, tmp_path, monkeypatch
):
    (tmp_path / "list").write_text(text)
    monkeypatch.setenv("WORKBENCH_SIGNERS", str(tmp_path / "list"))
    assert read_manifest(signed_as()).state == state


@pytest.mark.parametrize("text", ['{"LoTE": 7}', "{}", '{"LoTE": {"TrustedEntitiesList": []}}'])
def test_a_list_without_a_certificate_is_one_sentence(text, tmp_path, monkeypatch):
    (tmp_path / "list").write_text(text)
    monkeypatch.setenv("WORKBENCH_SIGNERS", str(tmp_path / "list"))
    with pytest.raises(ValueError, match=r"WORKBENCH_SIGNERS names .*, which holds no certificate"):
        read_manifest(signed_as())


def test_an_identity_that_would_have_to_be_asked_for_is_said_to_be_unchecked():
    found = read_manifest(signed_as(**WAYS["an identity"]))
    assert found.text.endswith(
        "An identity asserted there is unchecked: its issuer would have to be asked."
    )
    assert "identity" not in read_manifest(signed_as()).text


def test_a_certificate_that_has_expired_leaves_the_picture_unchanged(tmp_path, monkeypatch):
    data = signed_as(seconds=2)
    time.sleep(3)
    for authority in (None, AUTHORITY):
        if authority:
            (tmp_path / "trusted.pem").write_bytes(authority)
            monkeypatch.setenv("WORKBENCH_SIGNERS", str(tmp_path / "trusted.pem"))
        found = read_manifest(data)
        assert found.state == "signed"
        assert found.text.startswith(
            "Unchanged since it was signed, but with a certificate that does not hold "
            "(signingCredential.expired). It names"
        )


UNREADABLE = {
    "a version to come": (b"c2pa.claim.v2\0", b"c2pa.claim.v9\0", "too new"),
    "an unknown hash": (b"sha256", b"sha999", "it hashes by “sha999”, which is not known here"),
    "an unknown signature": (b"\xa2\x01\x26", b"\xa2\x01\x2f", "algorithm.unsupported"),
    "no store of assertions": (b"c2as", b"c2az", "assertion store"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_manifest_that_cannot_be_read_here_is_unchecked_with_the_reason(what):
    old, new, reason = UNREADABLE[what]
    data = signed_as()
    assert old in data
    found = read_manifest(data.replace(old, new))
    assert found.state == "unchecked"
    assert reason in found.text


def test_an_unknown_signature_does_not_hide_that_the_picture_was_changed():
    data = repainted_inside(signed_as().replace(b"\xa2\x01\x26", b"\xa2\x01\x2f"), "JPEG")
    assert read_manifest(data).state == "broken"


def test_a_library_that_stumbles_stops_no_other_picture(tmp_path, monkeypatch):
    (tmp_path / "odd.jpg").write_bytes(signed_as())
    PICTURE.save(tmp_path / "plain.png")

    def stumble(*_):
        raise KeyError("active_manifest")

    monkeypatch.setattr(reading, "_judged", stumble)
    table = evidence.frame([tmp_path / "odd.jpg", tmp_path / "plain.png"])
    states = table[table["kind"] == "C2PA"]["state"].tolist()
    assert states == ["unchecked", "absent"]
    assert "cannot be checked here (active_manifest)" in table["text"][0]


def validated(failure=(), success=(), ingredient=()):
    """Lay out what the library answers of a manifest with these codes."""
    active = {"failure": [{"code": x} for x in failure], "success": [{"code": x} for x in success]}
    inside = {"validationDeltas": {"failure": [{"code": code} for code in ingredient]}}
    return {
        "active_manifest": "a",
        "manifests": {"a": {"signature_info": {"common_name": "B"}}},
        "validation_results": {"activeManifest": active, "ingredientDeltas": [inside]},
    }


HOLDS = ("claimSignature.validated", "assertion.dataHash.match")
JUDGED = [
    (validated(["assertion.dataHash.mismatch"], HOLDS[:1]), "broken"),
    (validated(["assertion.hashedURI.mismatch"], HOLDS), "broken"),
    (validated(["claimSignature.mismatch"], HOLDS[1:]), "broken"),
    (validated(["assertion.missing"], HOLDS), "broken"),
    (validated([], HOLDS, ["assertion.hashedURI.mismatch"]), "broken"),
    (validated([], HOLDS, ["assertion.dataHash.mismatch"]), "signed"),
    (validated([], HOLDS, ["signingCredential.expired"]), "signed"),
    (validated(["signingCredential.invalid"], HOLDS), "signed"),
    (validated(["signingCredential.revoked"], HOLDS), "signed"),
    (validated(["cawg.ica.did_unavailable"], HOLDS), "signed"),
    (validated(["timeStamp.mismatch"], HOLDS), "signed"),
    (validated(["assertion.action.ingredientMismatch"], HOLDS), "signed"),
    (validated(["claim.hardBindings.missing"], HOLDS[:1]), "unchecked"),
    (validated(["algorithm.unsupported", "claimSignature.mismatch"], HOLDS[1:]), "unchecked"),
    (validated(["claim.cbor.invalid"]), "unchecked"),
]


@pytest.mark.parametrize(("told", "state"), JUDGED, ids=range(len(JUDGED)))
def test_only_codes_of_changed_bytes_mean_broken(told, state):
    assert reading._judged("Invalid", told, None).state == state
