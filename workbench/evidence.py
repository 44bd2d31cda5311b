"""What a file itself tells of its origin: looked at first, never mixed into a score.

Three places: a signed C2PA manifest (https://c2pa.org), the generation parameters that front ends
leave in text chunks, and the invisible watermark of the Stable Diffusion scripts and of SDXL. What
was checked, what is merely written there, and what is not there are told apart (`STATES`). All of
it is lost when a picture is saved again, so its absence says nothing.

Needs the extra ``evidence``: c2pa-python, sd-parsers, invisible-watermark. No network is asked:
manifests kept elsewhere are not fetched, and no signer is looked up.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import frames, images

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

STATES = {
    "verified": "checked, and unchanged since it was signed",
    "claimed": "written there by whoever could write to the file; not proved",
    "contradicted": "written there, and the picture itself says otherwise",
    "broken": "signed, and changed since",
    "absent": "nothing found, which says nothing",
    "unchecked": "could not be looked for",
}
WATERMARKS = {
    "Stable Diffusion 1 (original scripts)": b"StableDiffusionV1",
    "Stable Diffusion 2 (original scripts)": b"SDV2",
    "SDXL (Stability's and diffusers' code)": bytes.fromhex("b3ec907bb19e"),
}
"""The public messages; whoever has the library can write them into any picture."""
SMALLEST = 256 * 256
"""Pixels below which the library writes no watermark."""
CHANCE = 1e-6
"""Largest probability of so many equal bits by chance at which a watermark counts as found."""
AI = "trainedAlgorithmicMedia"
TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff"}


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


def frame(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Inspect picture files.

    Returns:
        frame with path, kind, state, source, prompt, text, three rows a picture; one row of kind
        ``file`` and state ``unchecked`` where it cannot be opened.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            found = inspect(path)
        except images.ImageError as error:
            found = [Evidence("file", "unchecked", f"It cannot be opened: {error}.")]
        rows += [{"path": images.written(path), **vars(each)} for each in found]
    return pd.DataFrame(rows, columns=["path", "kind", "state", "source", "prompt", "text"])


def _missing(kind: str, library: str, error: ImportError) -> Evidence:
    how = "pip install 'attribution-workbench[evidence]'"
    return Evidence(kind, "unchecked", f"Not looked for: {library} is needed ({how}; {error}).")


def _opened(data: bytes) -> Image:
    """Open a picture that could be decoded, its pixels unread."""
    from PIL import Image

    return Image.open(io.BytesIO(data))


def _c2pa(data: bytes) -> Evidence:
    """Read and validate a C2PA manifest inside the file."""
    try:
        import c2pa
    except ImportError as error:
        return _missing("C2PA", "c2pa-python", error)
    form = str(_opened(data).format)
    if form not in TYPES:
        return Evidence("C2PA", "unchecked", f"Manifests are not looked for in {form} files.")
    offline = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    context = c2pa.Context(c2pa.Settings.from_dict(offline))
    try:
        reader = c2pa.Reader(TYPES[form], io.BytesIO(data), context=context)
    except c2pa.C2paError.ManifestNotFound:
        return Evidence("C2PA", "absent", "No C2PA manifest.")
    except c2pa.C2paError as error:
        reason = str(error).splitlines()[0]
        return Evidence("C2PA", "broken", f"A C2PA manifest that cannot be read ({reason}).")
    state = reader.get_validation_state()
    told = json.loads(reader.json())
    manifest = told["manifests"][told["active_manifest"]]
    signature = manifest.get("signature_info", {})
    signer = ", ".join(filter(None, [signature.get("common_name"), signature.get("issuer")]))
    makers = [each.get("name") for each in manifest.get("claim_generator_info", [])]
    actions = [
        action
        for each in manifest.get("assertions", [])
        for action in (each.get("data") or {}).get("actions", [])
    ]
    source = next(
        (name for name in (_agent(each.get("softwareAgent")) for each in actions) if name),
        next(filter(None, makers), None),
    )
    made = any(str(each.get("digitalSourceType", "")).endswith(AI) for each in actions)
    kind = " as made by a model" if made else ""
    says = f"It names {source or 'no maker'}{kind}, signed by {signer or 'nobody named'}"
    if state == "Invalid":
        codes = [each["code"] for each in told.get("validation_status", [])]
        wrong = ", ".join(code for code in codes if code != "signingCredential.untrusted")
        text = f"Changed since it was signed, or signed wrongly ({wrong}). {says}."
        return Evidence("C2PA", "broken", text, source)
    trust = "" if state == "Trusted" else "; whether the signer is who the name says is not checked"
    return Evidence("C2PA", "verified", f"Unchanged since it was signed. {says}{trust}.", source)


def _agent(value: Any) -> str | None:
    """Answer the name of a softwareAgent, which is text or a mapping."""
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def _parameters(data: bytes, size: tuple[int, int]) -> Evidence:
    """Read the generation parameters that a front end wrote, and hold their size to the picture."""
    try:
        import sd_parsers
    except ImportError as error:
        return _missing("parameters", "sd-parsers", error)
    with _opened(data) as opened:
        try:
            found = sd_parsers.ParserManager().parse(opened)
        except Exception as error:  # the text is anybody's, and so is what a parser makes of it
            reason = type(error).__name__
            return Evidence(
                "parameters", "unchecked", f"Text that its parser stumbles over ({reason})."
            )
        chunks = [str(name) for name, value in opened.info.items() if isinstance(value, str)]
    if found is None:
        other = f" Other text chunks: {', '.join(sorted(chunks))}." if chunks else ""
        return Evidence("parameters", "absent", f"No generation parameters.{other}")
    models = sorted(str(each) for each in found.models)
    front = str(found.generator.value)
    text = f"Parameters as {front} writes them, model {', '.join(models) or 'not named'}"
    source, prompt = ", ".join(models) or front, found.full_prompt or None
    told = _told_size(found)
    if told is not None and told != size:
        wrong = f"they tell {told[0]}×{told[1]} pixels, the picture has {size[0]}×{size[1]}"
        return Evidence("parameters", "contradicted", f"{text}, but {wrong}.", source, prompt)
    return Evidence("parameters", "claimed", f"{text}; anybody can write them.", source, prompt)


def _told_size(found: Any) -> tuple[int, int] | None:
    """Find the side lengths among parameters, where no upscaler is told of."""
    told = {str(key).lower(): value for key, value in found.metadata.items()}
    if any("hires" in key or "upscale" in key for key in told):
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(told.get("size", "")))
    if match:
        return int(match[1]), int(match[2])
    latent = told.get("emptylatentimage")
    if isinstance(latent, list) and len(latent) == 1 and isinstance(latent[0], dict):
        width, height = latent[0].get("width"), latent[0].get("height")
        if isinstance(width, int) and isinstance(height, int):
            return width, height
    return None


def _watermark(picture: Image) -> Evidence:
    """Decode the invisible watermark (DWT and DCT) and compare it with the known messages."""
    if picture.width * picture.height < SMALLEST:
        text = f"Too small to hold an invisible watermark ({picture.width}×{picture.height})."
        return Evidence("watermark", "absent", text)
    try:
        from imwatermark import WatermarkDecoder
    except ImportError as error:
        return _missing("watermark", "invisible-watermark", error)
    import numpy as np
    from scipy.stats import binom

    # The scripts wrote into integers, diffusers writes into floats: a decoder must do as they did.
    blue_first = np.asarray(picture)[:, :, ::-1]
    tries = []
    for name, message in WATERMARKS.items():
        wanted = np.unpackbits(np.frombuffer(message, np.uint8)).astype(bool)
        for kind in (np.uint8, np.float32):
            bits = WatermarkDecoder("bits", len(wanted)).decode(blue_first.astype(kind), "dwtDct")
            equal = int((np.asarray(bits, dtype=bool) == wanted).sum())
            tries.append((float(binom.sf(equal - 1, len(wanted), 0.5)), name, equal, len(wanted)))
    least, name, equal, length = min(tries)
    chance = min(1.0, len(tries) * least)
    if chance > CHANCE:
        text = "No known invisible watermark: never there, or lost when the picture was saved."
        return Evidence("watermark", "absent", text)
    text = (
        f"The invisible watermark of {name}: {equal} of {length} bits "
        f"(by chance {chance:.0e}); anybody with the library can write it."
    )
    return Evidence("watermark", "claimed", text, name)
