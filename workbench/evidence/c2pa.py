"""Signed manifests (https://c2pa.org), validated offline.

Whether a signer is to be trusted only you can say: ``WORKBENCH_SIGNERS`` names a file of the
authorities' certificates that you trust, as PEM or as a list of trusted entities (ETSI TS 119 602,
JSON). The list of conforming signers that C2PA publishes comes in both forms.
Without it no signature reads as verified, for anybody can make a certificate in any name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.evidence.base import Evidence, library_missing, opened, quoted
from workbench.text import brief, first_line

SIGNERS = "WORKBENCH_SIGNERS"
AI = {
    "trainedAlgorithmicMedia": " as made by a model",
    "compositeWithTrainedAlgorithmicMedia": " as made by a model in part",
}
BEGIN, END = (f"-----{word} CERTIFICATE-----" for word in ("BEGIN", "END"))
USAGES = (
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.36",
    "1.3.6.1.5.5.7.3.8",
    "1.3.6.1.5.5.7.3.9",
    "1.3.6.1.4.1.311.76.59.1.9",
    "1.3.6.1.4.1.62558.2.1",
)
"""Key usages of a signer's certificate: e-mail protection, document signing, time stamping, OCSP
signing, Microsoft's for C2PA, and C2PA's own for claims."""
HASHES = ("sha256", "sha384", "sha512")
CHANGED = r"(assertion|claimSignature|ingredient|manifest)\.(.*\.)?mismatch|assertion\.missing"
"""Codes of what only bytes that were changed after the signing bring about."""
UNCHECKED = r"signingCredential\.untrusted$|cawg\.|timeStamp\."
"""Codes of what is not known here: who signed it, who is named in it, and when."""
PARTS = {
    "parentOf": "which it was made from",
    "componentOf": "a part of it",
    "inputTo": "given to what made it",
}
"""What an ingredient is to a picture, by its relationship."""
SIDE = 256
"""Pixels along a side at which a thumbnail and its picture are compared, at most."""
MOST = 5
"""Ingredients that are told of, at most."""
BOUND = r"assertion\.(dataHash|boxesHash|bmffHash|collectionHash)\.match"
TYPES = {
    "AVIF": "image/avif",
    "GIF": "image/gif",
    "HEIF": "image/heif",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
}


def _trusted() -> str | None:
    """Read the certificates whose signatures count; ValueError where their file holds none."""
    path = os.environ.get(SIGNERS)
    if not path:
        return None
    try:
        text = Path(path).read_text()
    except (OSError, ValueError) as error:
        raise ValueError(f"{SIGNERS} names {path!r}, which cannot be read ({error})") from None
    text = _of_list(text) if text.lstrip("\ufeff \t\r\n").startswith("{") else text
    if BEGIN not in text:
        raise ValueError(f"{SIGNERS} names {path!r}, which holds no certificate (PEM)")
    return text


def _of_list(text: str) -> str:
    """Return as PEM the certificates of a list of trusted entities, less those not trusted now.

    See https://github.com/c2pa-org/conformance-public, schemas/trust-list.
    """
    try:
        entities = json.loads(text.strip("\ufeff"))["LoTE"]["TrustedEntitiesList"]
        services = [x["ServiceInformation"] for each in entities for x in _services(each)]
        held = [
            str(each["val"])
            for service in services
            if str(service.get("ServiceStatus", "/trusted")).endswith("/trusted")
            for each in service["ServiceDigitalIdentity"].get("X509Certificates", [])
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return "".join(f"{BEGIN}\n{textwrap.fill(each, 64)}\n{END}\n" for each in held)


def _services(entity: dict[str, Any]) -> list[dict[str, Any]]:
    return entity.get("TrustedEntityServices", [])


def read_manifest(data: bytes) -> Evidence:
    """Read and validate a C2PA manifest inside the file.

    What the library cannot read is unchecked, with its reason; ValueError where `SIGNERS` is amiss.
    """
    try:
        import c2pa
    except (ImportError, RuntimeError) as error:  # the latter where there is no native library
        return library_missing("C2PA", "c2pa-python", error)
    form = str(opened(data).format)
    if form not in TYPES:
        return Evidence("C2PA", "unchecked", f"Manifests are not looked for in {form} files.")
    trusted = _trusted()
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(_settings(trusted)))
    except c2pa.C2paError as error:
        raise ValueError(f"{SIGNERS} names certificates that cannot be read ({error})") from None
    try:
        reader = c2pa.Reader(TYPES[form], io.BytesIO(data), context=context)
        state, report = reader.get_validation_state(), json.loads(reader.json())
        if state == "Invalid" and (odd := _unknown_hash(json.loads(reader.detailed_json()))):
            return _unreadable(f"it hashes by {quoted(odd)}, which is not known here")
        evidence = _judged(str(state), report, trusted)
        if evidence.state == "broken" and _thumbnail_holds(report):
            return dataclasses.replace(evidence, text=evidence.text + _thumbnail(reader, data))
        return evidence
    except c2pa.C2paError.ManifestNotFound:
        return Evidence("C2PA", "absent", "No C2PA manifest.")
    except MemoryError:
        raise
    except Exception as error:  # a manifest is anybody's, and the library may stumble over it
        reason = brief(first_line(error), 200)
        if isinstance(error, c2pa.C2paError) and reason.startswith("Remote"):
            text = f"A C2PA manifest is said to lie elsewhere; it was not fetched ({reason})."
            return Evidence("C2PA", "claimed", text)
        if b"c2pa" not in data:
            text = f"No C2PA manifest could be looked for ({reason})."
            return Evidence("C2PA", "unchecked", text)
        return _unreadable(reason)


def _settings(trusted: str | None) -> dict[str, Any]:
    """Return the library's settings: no network, and the key usages that signers may have."""
    trust = {"trust_config": "\n".join(USAGES)}
    return {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "core": {"decode_identity_assertions": False},  # whose issuers would have to be asked
        "trust": trust | ({"trust_anchors": trusted} if trusted else {}),
    }


def _unreadable(reason: str) -> Evidence:
    text = f"A C2PA manifest that cannot be checked here ({reason})."
    return Evidence("C2PA", "unchecked", text)


def _unknown_hash(detailed: dict[str, Any]) -> str | None:
    """Return a hash algorithm of the active manifest that is not of `HASHES`; None for none.

    The library then hashes by another one, finds no digest equal, and reports a mismatch.
    """
    manifest = detailed["manifests"][detailed["active_manifest"]]
    stored = manifest.get("assertion_store") or {}
    bindings = [each for label, each in stored.items() if label.startswith("c2pa.hash.")]
    named = [each.get("alg") for each in (manifest["claim"], *bindings) if isinstance(each, dict)]
    return next((str(name) for name in named if name and name not in HASHES), None)


def _judged(state: str, report: dict[str, Any], trusted: str | None) -> Evidence:
    """Return the evidence that the library's validation of a manifest amounts to."""
    manifest = report["manifests"].pop(report["active_manifest"])
    source, named = _maker(manifest)
    signature = manifest.get("signature_info") or {}
    signer = ", ".join(filter(None, [signature.get("common_name"), signature.get("issuer")]))
    says = f"It names {named}, signed by {quoted(signer) if signer else 'nobody named'}"
    more = _ingredients(manifest, report["manifests"]) + _identities(manifest)
    failures, valid = _failures(report), "Valid: unchanged since it was signed."
    if state == "Invalid":
        every = [*failures, *_failures_of_ingredients(report)]
        if _changed(every):
            return Evidence("C2PA", "broken", f"{_wrong(every)}. {says}.{more}", source)
        if not _holds(report):
            what = f"It cannot be checked here ({', '.join(failures) or 'nobody says why'})"
            return Evidence("C2PA", "unchecked", f"{what}. {says}.{more}", source)
        valid = f"{_wrong(failures)}."
    elif state == "Trusted":
        text = f"{valid} {says}, whom one of your certificates vouches for.{more}"
        return Evidence("C2PA", "verified", text, source)
    why = "none of your certificates vouches for it" if trusted else "anybody can sign in any name"
    text = f"{valid} {says}; who that is was not verified: {why}.{more}"
    return Evidence("C2PA", "signed", text, source)


def _ingredients(manifest: dict[str, Any], others: dict[str, Any]) -> str:
    """Return a sentence on the ingredients of a picture, from its manifest."""
    listed, further = manifest.get("ingredients", []), dict(others)
    inside = []
    for each in listed:
        what = quoted(each["title"]) if each.get("title") else "without a name"
        part = PARTS.get(str(each.get("relationship")), "its part is not told")
        own = further.pop(str(each.get("active_manifest")), None)
        says = f"names {_maker(own)[1]}" if own else "carries no manifest"
        inside.append(f" An ingredient, {what} ({part}), {says}.")
    inside += [f" An ingredient of an ingredient names {_maker(x)[1]}." for x in further.values()]
    if any(_failures(each) for each in listed):
        inside.insert(0, " An ingredient was broken when it was taken in.")
    more = len(inside) - MOST
    return "".join(inside[:MOST]) + (f" More ingredients: {more}." if more > 0 else "")


def _thumbnail_holds(report: dict[str, Any]) -> bool:
    """Return whether a manifest's thumbnail is the one that was signed."""
    codes = _failures(report)
    active = (report.get("validation_results") or {}).get("activeManifest") or {}
    signed = "claimSignature.validated" in _codes(active.get("success", []))
    return signed and not any("hashedURI" in code or "missing" in code for code in codes)


def _thumbnail(reader: Any, data: bytes) -> str:
    """Return how far a picture is from the thumbnail that was signed; "" where there is none."""
    import numpy as np
    from PIL import Image

    from workbench import images

    with contextlib.suppress(Exception):  # the library's, and of a file of anybody's
        name = (reader.get_active_manifest() or {})["thumbnail"]["identifier"]
        held = io.BytesIO()
        reader.resource_to_stream(name, held)
        small = images.decode(held.getvalue())
        small.thumbnail((SIDE, SIDE))
        seen = (images.decode(data), opened(data).convert("RGB"))  # turned by EXIF, and not
        alike = (each.resize(small.size, Image.Resampling.BICUBIC) for each in seen)
        apart = min(np.abs(np.asarray(small, float) - np.asarray(x)).mean() for x in alike)
        return (
            f" The thumbnail that was signed and this picture are {apart:.1f} of 255 levels apart "
            f"on average, at {small.width}×{small.height} pixels."
        )
    return ""


def _identities(manifest: dict[str, Any]) -> str:
    """Return the remark that an identity assertion was left unchecked; "" without one."""
    labels = (str(each.get("label")) for each in manifest.get("assertions", []))
    if not any(label.startswith("cawg.identity") for label in labels):
        return ""
    return " An identity asserted there is unchecked: its issuer would have to be asked."


def _failures(report: dict[str, Any]) -> list[str]:
    """Return the codes of what is wrong with a manifest, but for a signer whom nobody knows."""
    results = report.get("validation_results") or {}
    failed = [*(results.get("activeManifest") or {}).get("failure", [])]
    failed += [] if results else report.get("validation_status") or []  # of older manifests
    return _codes(failed)


def _failures_of_ingredients(report: dict[str, Any]) -> list[str]:
    """Return what has become wrong inside a manifest's ingredients, whose pixels are not here."""
    deltas = (report.get("validation_results") or {}).get("ingredientDeltas") or []
    failed = [x for each in deltas for x in (each.get("validationDeltas") or {}).get("failure", [])]
    return [code for code in _codes(failed) if not re.match(r"assertion\.[a-z]+Hash\.", code)]


def _codes(failed: list[dict[str, Any]]) -> list[str]:
    codes = dict.fromkeys(str(each.get("code")) for each in failed)
    return [code for code in codes if not re.match(UNCHECKED, code)]


def _changed(codes: list[str]) -> bool:
    """Return whether failure codes mean that bytes were changed after the signing."""
    if "algorithm.unsupported" in codes:  # the library then calls the signature a mismatch
        codes = [code for code in codes if code != "claimSignature.mismatch"]
    return any(re.fullmatch(CHANGED, code) for code in codes)


def _holds(report: dict[str, Any]) -> bool:
    """Return whether a manifest's own signature and its digest of the picture were found right."""
    active = (report.get("validation_results") or {}).get("activeManifest") or {}
    right = _codes(active.get("success", []))
    return "claimSignature.validated" in right and any(re.fullmatch(BOUND, code) for code in right)


def _wrong(codes: list[str]) -> str:
    """Return the meaning of failure codes; without any, the failure is an ingredient's."""
    if any(re.search("(data|boxes|bmff|collection)Hash", code) for code in codes):
        what = "The picture was changed since it was signed, or the manifest is another picture's"
    elif any("mismatch" in code for code in codes):
        what = "The manifest was changed since it was signed"
    elif all(code.startswith("signingCredential") for code in codes):
        whose = "with a certificate that does not hold" if codes else "an ingredient does not hold"
        what = f"Unchanged since it was signed, but {whose}"
    else:
        what = "Signed wrongly"
    return f"{what} ({', '.join(codes)})" if codes else what


def _maker(manifest: dict[str, Any]) -> tuple[str | None, str]:
    """Return the maker that a manifest names, and how to say so; a signer may write anything."""
    makers = [each.get("name") for each in manifest.get("claim_generator_info", [])]
    makers.append(manifest.get("claim_generator"))
    actions = list(_actions(manifest))
    agents = [each.get("softwareAgent") for each in actions]
    agents = [each.get("name") if isinstance(each, dict) else each for each in agents]
    source = next((each for each in (*agents, *makers) if isinstance(each, str) and each), None)
    kinds = [str(each.get("digitalSourceType")).rpartition("/")[2] for each in actions]
    origin = next((words for kind, words in AI.items() if kind in kinds), "")
    return source, (quoted(source) if source else "no maker") + origin


def _actions(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in manifest.get("assertions", []):
        if str(each.get("label")).startswith("c2pa.actions"):
            listed = each["data"].get("actions") if isinstance(each.get("data"), dict) else None
            yield from (x for x in listed or [] if isinstance(x, dict))
