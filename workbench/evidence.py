"""What a file itself tells of its origin: looked at first, never mixed into a score.

Three places: a signed C2PA manifest (https://c2pa.org), the generation parameters that front ends
leave in text chunks, and the invisible watermark of the Stable Diffusion scripts and of SDXL. What
was checked, what is merely written there, and what is not there are told apart (`STATES`). All of
it is lost when a picture is saved again, so its absence says nothing.

Whether a signer is to be trusted only you can say: ``WORKBENCH_SIGNERS`` names a file (PEM) of the
authorities' certificates that you trust, such as the C2PA trust list. Without it no signature reads
as verified, for anybody can make a certificate in any name.

Needs the extra ``evidence``: c2pa-python, sd-parsers, invisible-watermark. No network is asked:
manifests kept elsewhere are not fetched, and no signer is looked up.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import frames, frontends, images

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

STATES = {
    "verified": "unchanged since it was signed, by a signer whom you trust",
    "signed": "unchanged since it was signed; who signed it is not checked",
    "claimed": "written there by whoever could write to the file; not proved",
    "contradicted": "written there, and the picture itself says otherwise",
    "broken": "signed, and the check fails: changed since, or signed wrongly",
    "absent": "nothing found, which says nothing",
    "unchecked": "could not be looked for",
}
SIGNERS = "WORKBENCH_SIGNERS"
WATERMARKS = {
    "Stable Diffusion 1 (original scripts)": b"StableDiffusionV1",
    "Stable Diffusion 2 (original scripts)": b"SDV2",
    "SDXL (Stability's and diffusers' code)": bytes.fromhex("b3ec907bb19e"),
}
"""The public messages; whoever has the library can write them into any picture."""
SMALLEST = 256 * 256
"""Pixels below which the library writes no watermark."""
LARGEST = 2**21
"""Pixels, from the top, that a watermark is looked for in: it repeats down the picture."""
CHANCE = 1e-6
"""Largest probability of so many equal bits by chance at which a watermark counts as found."""
EQUAL = 7 / 8
"""Least share of equal bits: a picture that repeats itself within 40 blocks equals the letters of
the first message in 114 of 136 bits at most. So 120 of 136 are needed, all 32, or 44 of 48. Of
3,000 pictures without a watermark (`unmarked` in tests/test_evidence.py) none seemed to have one:
at 95 % that is fewer than 1 in 1,000."""
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


@dataclass(frozen=True)
class Evidence:
    """One thing a file tells, or does not.

    ``kind`` is C2PA, parameters or watermark, ``state`` one of `STATES`, ``source`` the maker it
    names, ``prompt`` a prompt found there, ``text`` a sentence. All but the first two are the
    file's own words in part: escape them before they go into HTML.
    """

    kind: str
    state: str
    text: str
    source: str | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        """Let nothing in that would act on a screen, or, in a prompt, that no table can hold."""
        object.__setattr__(self, "text", frames.shown(self.text))
        object.__setattr__(self, "source", self.source and frames.shown(self.source))
        object.__setattr__(self, "prompt", self.prompt and frames.plain(self.prompt))


def inspect(path: str | Path) -> list[Evidence]:
    """Look for all three kinds of evidence in a picture file.

    Returns:
        one Evidence of C2PA, one of parameters, one of a watermark, in this order.

    Raises:
        images.ImageError: the file is no picture that can be opened.
    """
    data = images.read_bytes(path)
    picture = images.decode(data)
    return [_c2pa(data), _parameters(data, picture.size), _watermark(picture)]


def parameters(path: str | Path) -> Evidence:
    """Look for generation parameters alone; ImageError where the file cannot be opened."""
    data = images.read_bytes(path)
    return _parameters(data, images.decode(data).size)


def frame(
    paths: Iterable[str | Path], progress: Callable[[str, int, int], None] | None = None
) -> pd.DataFrame:
    """Inspect picture files.

    Args:
        paths: of the files.
        progress: called with ("inspect", done, total).

    Returns:
        frame with path, kind, state, source, prompt, text, three rows a picture; one row of kind
        ``file`` and state ``unchecked`` where it cannot be opened.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    files = list(paths)
    for done, path in enumerate(files):
        if progress is not None:
            progress("inspect", done, len(files))
        try:
            found = inspect(path)
        except images.ImageError as error:
            found = [Evidence("file", "unchecked", f"It cannot be opened: {error}.")]
        except MemoryError:
            found = [Evidence("file", "unchecked", "There is not enough memory to open it.")]
        rows += [{"path": images.written(path), **vars(each)} for each in found]
    if progress is not None and files:
        progress("inspect", len(files), len(files))
    return pd.DataFrame(rows, columns=["path", "kind", "state", "source", "prompt", "text"])


def _missing(kind: str, library: str, error: Exception) -> Evidence:
    how = "pip install 'attribution-workbench[evidence]'"
    return Evidence(kind, "unchecked", f"Not looked for: {library} is needed ({how}; {error}).")


def _opened(data: bytes) -> Image:
    """Open a picture that could be decoded, its pixels unread."""
    from PIL import Image

    return Image.open(io.BytesIO(data))


def _quoted(name: object) -> str:
    """Mark a name as the file's own word, and keep it short."""
    return f"“{frames.brief(name, 100)}”"


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


def _c2pa(data: bytes) -> Evidence:
    """Read and validate a C2PA manifest inside the file."""
    try:
        import c2pa
    except (ImportError, RuntimeError) as error:  # the latter where there is no native library
        return _missing("C2PA", "c2pa-python", error)
    form = str(_opened(data).format)
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
    says = f"It names {named}, signed by {_quoted(signer) if signer else 'nobody named'}"
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
    """Answer the maker that a manifest names, and how to say so; a signer may write anything."""
    makers = [each.get("name") for each in manifest.get("claim_generator_info", [])]
    makers.append(manifest.get("claim_generator"))
    actions = list(_actions(manifest))
    agents = [each.get("softwareAgent") for each in actions]
    agents = [each.get("name") if isinstance(each, dict) else each for each in agents]
    source = next((each for each in (*agents, *makers) if isinstance(each, str) and each), None)
    kinds = [str(each.get("digitalSourceType")).rpartition("/")[2] for each in actions]
    made = next((words for kind, words in AI.items() if kind in kinds), "")
    return source, (_quoted(source) if source else "no maker") + made


def _actions(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in manifest.get("assertions", []):
        if str(each.get("label")).startswith("c2pa.actions"):
            listed = each["data"].get("actions") if isinstance(each.get("data"), dict) else None
            yield from (x for x in listed or [] if isinstance(x, dict))


def _parameters(data: bytes, size: tuple[int, int]) -> Evidence:
    """Read the generation parameters that a front end wrote, and hold their size to the picture."""
    try:
        import sd_parsers  # noqa: F401
    except ImportError as error:
        return _missing("parameters", "sd-parsers", error)
    try:
        with _opened(data) as opened:
            texts, sizes = frontends.texts(opened), {size, opened.size}  # turned by EXIF, and not
        found = frontends.read(texts)
    except Exception as error:  # the text is anybody's, and so is what a parser makes of it
        reason = f"{type(error).__name__}: {error}"[:100]
        text = f"Text that its parser stumbles over ({reason})."
        return Evidence("parameters", "unchecked", text)
    if found is None:
        named = ", ".join(map(_quoted, sorted(texts)[:10]))
        other = f" Other texts: {named}." if texts else ""
        return Evidence("parameters", "absent", f"No parameters of a known front end.{other}")
    models = ", ".join(found.models)
    named = f"model {_quoted(models)}" if models else "model not named"
    text = f"Parameters as {found.front} writes them, {named}"
    text += ", the prompt lost in its nodes" if found.lost else ""
    state, why = "claimed", "; anybody can write them"
    if found.size is not None and not any(map(partial(_made_at, found), sizes)):
        told, seen = ("×".join(map(str, each)) for each in (found.size, size))
        state, why = "contradicted", f", but they tell {told} pixels, the picture has {seen}"
    return Evidence(
        "parameters", state, f"{text}{why}.", models or found.front, found.prompt or None
    )


def _made_at(found: frontends.Parameters, seen: tuple[int, int]) -> bool:
    """Tell whether a picture may have come out at the size that is told.

    Models make whole blocks of 8 pixels, and leave out what is more; Automatic1111 writes the size
    of one picture into a grid of several.
    """
    for told, there in zip(found.size or seen, seen, strict=True):
        tiles = there // told if found.front == "AUTOMATIC1111" and told else 1
        if there not in (told, told // 8 * 8) and there != max(tiles, 1) * told:
            return False
    return True


def _watermark(picture: Image) -> Evidence:
    """Decode the invisible watermark (DWT and DCT) and compare it with the known messages.

    Of L message bits, of which k are ones, those k positions are read as ones whose blocks read
    most so: a dark or flat picture shifts all blocks one way, and the half that the library's
    decoder compares with is then no middle. Chance: hypergeometric, times the number of tries.
    """
    import numpy as np

    rows = max(8, LARGEST // picture.width)
    pixels = np.asarray(picture)[:rows]
    blocks = (pixels.shape[0] // 8) * (pixels.shape[1] // 8)
    if picture.width * picture.height < SMALLEST or blocks < 8 * max(map(len, WATERMARKS.values())):
        text = f"Too small to hold an invisible watermark ({picture.width}×{picture.height})."
        return Evidence("watermark", "absent", text)
    try:
        from imwatermark import WatermarkDecoder
    except ImportError as error:
        return _missing("watermark", "invisible-watermark", error)
    from scipy.stats import hypergeom

    tries = []
    # A decoder must do as who wrote: the scripts into integers, diffusers into floats, blue first
    # both of them, as the library expects it; diffusers before 2024-02 red first.
    for kind, order in ((np.uint8, -1), (np.float32, -1), (np.float32, 1)):
        values = pixels[:, :, ::order].astype(kind)
        read = WatermarkDecoder("bits", blocks).decode(values, "dwtDct")
        for name, message in WATERMARKS.items():
            wanted = np.unpackbits(np.frombuffer(message, np.uint8)).astype(bool)
            length, ones = len(wanted), int(wanted.sum())
            means = np.array([np.mean(read[place::length]) for place in range(length)])
            bits = means > np.quantile(means, 1 - ones / length)
            both, equal = int((bits & wanted).sum()), int((bits == wanted).sum())
            least = float(hypergeom.sf(both - 1, length, ones, int(bits.sum())))
            tries.append((least, name, equal, length))
    least, name, equal, length = min(tries)
    chance = min(1.0, len(tries) * least)
    if chance > CHANCE or equal < EQUAL * length:
        text = "No known invisible watermark: never there, or lost when the picture was saved."
        return Evidence("watermark", "absent", text)
    text = (
        f"The invisible watermark of {name}: {equal} of {length} bits "
        f"(by chance {chance:.0e}); anybody with the library can write it."
    )
    return Evidence("watermark", "claimed", text, name)
