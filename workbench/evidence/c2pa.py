"""Signed manifests (https://c2pa.org), validated offline.

Whether a signer is to be trusted only you can say: ``WORKBENCH_SIGNERS`` names a file (PEM) of the
authorities' certificates that you trust, such as the C2PA trust list. Without it no signature reads
as verified, for anybody can make a certificate in any name.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.evidence.base import Evidence, library_missing, opened, quoted

SIGNERS = "WORKBENCH_SIGNERS"
AI = {
    "trainedAlgorithmicMedia": " as made by a model",
    "compositeWithTrainedAlgorithmicMedia": " as made by a model in part",
}
TYPES = {
    "AVIF": "image/avif",
    "GIF": "image/gif",
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
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError(f"{SIGNERS} names {path!r}, which holds no certificate (PEM)")
    return text


def read_manifest(data: bytes) -> Evidence:
    """Read and validate a C2PA manifest inside the file."""
    try:
        import c2pa
    except (ImportError, RuntimeError) as error:  # the latter where there is no native library
        return library_missing("C2PA", "c2pa-python", error)
    form = str(opened(data).format)
    if form not in TYPES:
        return Evidence("C2PA", "unchecked", f"Manifests are not looked for in {form} files.")
    trusted = _trusted()
    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if trusted:
        settings["trust"] = {"trust_anchors": trusted}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
    except c2pa.C2paError as error:
        raise ValueError(f"{SIGNERS} names certificates that cannot be read ({error})") from None
    try:
        reader = c2pa.Reader(TYPES[form], io.BytesIO(data), context=context)
        state, told = reader.get_validation_state(), json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return Evidence("C2PA", "absent", "No C2PA manifest.")
    except c2pa.C2paError as error:
        reason = str(error).splitlines()[0][:200]
        if reason.startswith("Remote"):
            text = f"A C2PA manifest is said to lie elsewhere; it was not fetched ({reason})."
            return Evidence("C2PA", "claimed", text)
        if b"c2pa" not in data:
            text = f"No C2PA manifest could be looked for ({reason})."
            return Evidence("C2PA", "unchecked", text)
        return Evidence("C2PA", "broken", f"A C2PA manifest that cannot be read ({reason}).")
    manifest = told["manifests"].pop(told["active_manifest"])
    source, named = _maker(manifest)
    signature = manifest.get("signature_info", {})
    signer = ", ".join(filter(None, [signature.get("common_name"), signature.get("issuer")]))
    says = f"It names {named}, signed by {quoted(signer) if signer else 'nobody named'}"
    inside = [f" An ingredient names {_maker(each)[1]}." for each in told["manifests"].values()]
    if any(_failures(each) for each in manifest.get("ingredients", [])):
        inside.insert(0, " An ingredient was broken when it was taken in.")
    more = "".join(inside[:5])
    if state == "Invalid":
        text = f"{_wrong(_failures(told))}. {says}.{more}"
        return Evidence("C2PA", "broken", text, source)
    valid = "Valid: unchanged since it was signed."
    if state == "Trusted":
        text = f"{valid} {says}, whom one of your certificates vouches for.{more}"
        return Evidence("C2PA", "verified", text, source)
    why = "none of your certificates vouches for it" if trusted else "anybody can sign in any name"
    text = f"{valid} {says}; who that is was not verified: {why}.{more}"
    return Evidence("C2PA", "signed", text, source)


def _failures(told: dict[str, Any]) -> list[str]:
    """List the codes of what is wrong with a manifest, but for a signer whom nobody knows."""
    results = told.get("validation_results", {})
    failed = [*results.get("activeManifest", {}).get("failure", [])]
    failed += [] if results else told.get("validation_status", [])  # of older manifests
    codes = dict.fromkeys(str(each.get("code")) for each in failed)
    return [code for code in codes if code != "signingCredential.untrusted"]


def _wrong(codes: list[str]) -> str:
    """Say what failure codes mean; without any, the failure is an ingredient's."""
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
    made = next((words for kind, words in AI.items() if kind in kinds), "")
    return source, (quoted(source) if source else "no maker") + made


def _actions(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in manifest.get("assertions", []):
        if str(each.get("label")).startswith("c2pa.actions"):
            listed = each["data"].get("actions") if isinstance(each.get("data"), dict) else None
            yield from (x for x in listed or [] if isinstance(x, dict))
