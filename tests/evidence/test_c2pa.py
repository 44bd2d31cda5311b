"""Signed manifests: broken only where bytes were changed, and never the end of a run."""

from __future__ import annotations

import io
import time

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from tests.evidence.making import AUTHORITY, MANIFEST, OWN, ROOT, bytes_of, certificate
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


def signed_as(form="JPEG", by="es256", usages=(), seconds=86400, more=(), **settings) -> bytes:
    """Sign a picture in a format, by an algorithm, with a certificate of these usages."""
    key = KEYS[by]()
    leaf = certificate("Leaf", key, "Test CA", ROOT, ca=False, usages=usages, seconds=seconds)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    how = {"verify": {"verify_after_sign": False}, **settings}
    how |= {"trust": {"trust_config": "\n".join(usages)}} if usages else {}
    told = MANIFEST | {"assertions": [*MANIFEST["assertions"], *more]}
    builder = c2pa.Builder(told, context=c2pa.Context(c2pa.Settings.from_dict(how)))
    info = c2pa.C2paSignerInfo(by.encode(), leaf + AUTHORITY, private, None)
    made, plain = io.BytesIO(), io.BytesIO(bytes_of(PICTURE, form))
    builder.sign(c2pa.Signer.from_info(info), f"image/{form.lower()}", plain, made)
    return made.getvalue()


def repainted_inside(signed: bytes, form: str) -> bytes:
    """Change one bit of what was the picture's own data before it was signed."""
    plain = bytes_of(PICTURE, form)
    place = next(
        at
        for start in range(len(plain) // 2, len(plain) - 12)
        if (at := signed.find(plain[start : start + 12])) >= 0
    )
    return signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]


WAYS = {
    **{form: {"form": form} for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF")},
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
