"""A caption, and modifiers that bring it nearer to the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.encoders import Encoder
from workbench.inverters import Inverter, Prompt
from workbench.keys import digest
from workbench.paths import data_folder, from_home
from workbench.plugin import Plugin, arguments, short

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SLOT = "{}"


@dataclass(frozen=True, repr=False)
class Interrogator(Plugin):
    """Caption a picture, then add modifiers while they bring the text nearer to it.

    The idea of pharmapsychotic's CLIP Interrogator (github.com/pharmapsychotic/clip-interrogator),
    reimplemented. With φ of the picture and ψ of texts, both projected embeddings of `encoder`: the
    `shortlist` labels with the highest cosine φ·ψ that the caption does not hold are tried; the one
    whose addition to the prompt raises the cosine most is kept, and so on until none raises it or
    `most` were added (greedy; both numbers ours).

    `labels` names a list in data/catalogue/labels (general, pocket), or the path of a text file: a
    label a line, added after a comma, or, where it holds {}, written around the prompt in that
    place. The list's content, not its name, is part of the store's key.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> from workbench.inverters.natural import Natural
    >>> clip = OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"))
    >>> Interrogator(Natural(text="a fish"), clip, labels="pocket")
    Interrogator(Natural(text="a fish"), "pocket-clip", labels="pocket")
    >>> _add("a fish", "oil painting"), _add("a fish", "a photo of {}")
    ('a fish, oil painting', 'a photo of a fish')
    """

    caption: Inverter
    encoder: Encoder
    labels: str = "general"
    shortlist: int = 16
    most: int = 4
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("shortlist", "most"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"an interrogator needs {name} of at least 1; seen {getattr(self, name)}"
                )
        if not hasattr(self.encoder, "text"):
            raise ValueError(
                f"an interrogator needs an encoder with a text tower; seen {self.encoder!r}"
            )

    def __repr__(self) -> str:
        """Return the repr, caption and encoder by their catalogue names where these suffice."""
        inner = [short(self.caption), short(self.encoder)]
        return f"Interrogator({', '.join([*inner, *arguments(self)[2:]])})"

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return N Prompts for N RGB images of any size.

        The score is the cosine, in [−1, 1], of picture and prompt; the trace holds it from the
        caption on. Truncated is what the caption was.

        Raises LookupError for a missing list or missing weights.
        """
        if not len(images):
            return []
        encoder: Any = self.encoder
        labels = _read(self.labels)
        known = _encoded(encoder, labels)
        captions = self.caption(images)
        targets = encoder.layers(images, [None])[None]
        return [
            self._extend(caption, target, labels, known)
            for caption, target in zip(captions, targets, strict=True)
        ]

    def contents(self) -> dict[str, Any]:
        """Return what identifies the search: the digest of the label list, and its limits."""
        return {
            "labels": digest(list(_read(self.labels))),
            "shortlist": self.shortlist,
            "most": self.most,
        }

    def _extend(
        self, caption: Prompt, target: np.ndarray, labels: tuple[str, ...], known: np.ndarray
    ) -> Prompt:
        """Add labels to one caption, greedily; target (D,), the labels' embeddings (L, D)."""
        import numpy as np

        def cosines(rows: np.ndarray) -> np.ndarray:
            return rows.astype(np.float64) @ target.astype(np.float64)

        text = caption.text
        nearest = [labels[place] for place in np.argsort(-cosines(known), kind="stable")]
        left = [label for label in nearest if f" {_add('', label)} " not in f" {text} "]
        left = left[: self.shortlist]
        trace = [float(cosines(self.encoder.text([text]))[0])]
        while left and len(trace) <= self.most:
            tries = [_add(text, label) for label in left]
            values = cosines(self.encoder.text(tries))
            best = int(values.argmax())
            if values[best] <= trace[-1]:
                break
            text = tries[best]
            trace.append(float(values[best]))
            left.pop(best)
        return Prompt(text, trace[-1], caption.truncated, tuple(trace))


def _add(prompt: str, label: str) -> str:
    """Return a prompt with a label added: after a comma, or around it where the label holds {}."""
    if SLOT in label:
        return " ".join(label.replace(SLOT, prompt).split())
    return ", ".join(filter(None, [prompt, label]))


def _read(name: str) -> tuple[str, ...]:
    """Read a label list by its name, or by the path of a text file; each label once.

    Raises LookupError where there is none, or where it is empty.

    >>> "a photo of {}" in _read("pocket")
    True
    """
    folder = data_folder() / "catalogue" / "labels"
    path = from_home(name) if name.endswith(".txt") else folder / f"{name}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        known = ", ".join(sorted(file.stem for file in folder.glob("*.txt")))
        raise LookupError(
            f"no label list named {name!r}; there are: {known}, or give the path of a .txt file"
        ) from None
    labels = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not labels:
        raise LookupError(f"the label list {name!r} is empty; it needs a label a line")
    return labels


@lru_cache(maxsize=8)
def _encoded(encoder: Any, labels: tuple[str, ...]) -> np.ndarray:
    """Encode labels, (L, D), once for an encoder and a list's content."""
    embeddings: np.ndarray = encoder.text([_add("", label) for label in labels])
    return embeddings
