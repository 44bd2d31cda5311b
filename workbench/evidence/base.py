"""One piece of evidence: its kind, its state, its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.text import brief, plain, shown

if TYPE_CHECKING:
    from PIL.Image import Image


STATES = {
    "verified": "unchanged since it was signed, by a signer whom you trust",
    "signed": "unchanged since it was signed; who signed it is not checked",
    "claimed": "written there by whoever could write to the file; not proved",
    "observed": "measured in the pixels, at the error rate that is told",
    "contradicted": "written there, and the picture itself says otherwise",
    "broken": "signed, and changed since",
    "done": "done to the colours when the picture was opened here",
    "absent": "nothing found, which says nothing",
    "unchecked": "could not be looked for",
}


@dataclass(frozen=True)
class Evidence:
    """One thing a file tells, or does not.

    ``kind`` is C2PA, parameters, watermark, origin, traces or colours, ``state`` one of `STATES`,
    ``source`` the maker it names, ``prompt`` a prompt found there, ``text`` a sentence,
    ``settings`` what a drawing could be repeated with (`Parameters.told`), None where there are no
    parameters. All but the first two are the file's own words in part: escape them before they go
    into HTML.
    """

    kind: str
    state: str
    text: str
    source: str | None = None
    prompt: str | None = None
    settings: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Escape what would act on a screen, and in a prompt lone surrogates."""
        object.__setattr__(self, "text", shown(self.text))
        object.__setattr__(self, "source", self.source and shown(self.source))
        object.__setattr__(self, "prompt", self.prompt and plain(self.prompt))


def library_missing(kind: str, library: str, error: Exception) -> Evidence:
    """Return the evidence that a library of the extra is needed for this kind."""
    how = "pip install 'attribution-workbench[evidence]'"
    return Evidence(kind, "unchecked", f"Not looked for: {library} is needed ({how}; {error}).")


def opened(data: bytes) -> Image:
    """Open a picture that could be decoded, its pixels unread."""
    from workbench import images

    return images.head(data)


def quoted(name: object) -> str:
    """Mark a name as the file's own word, and keep it short."""
    return f"“{brief(name, 100)}”"
