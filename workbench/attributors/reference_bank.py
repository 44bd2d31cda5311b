"""The controls without regeneration: compare with pictures made beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import frames, pipeline, ranking
from workbench.attributors import Calibrated, Stages
from workbench.calibrations import Calibration
from workbench.inverters import Inverter
from workbench.keys import digest, prompt_id
from workbench.pipeline.progress import Progress
from workbench.similarities import Similarity
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class ReferenceBank(Calibrated):
    """Attribute by a bank of pictures per model, made of `prompts` whatever the test image is.

    The control to regeneration at equal γ (RefPrint, arXiv:2607.12052). The bank holds one picture
    of each of the first `bank` prompts for every model, made with the run seed `seed`; of these,
    `gamma` are compared, of the same captions for every model. `matched`: the captions nearest to
    the inverted prompt by the similarity's text tower. Otherwise arbitrary: drawn for each image
    by the run's seed and its image_id, and no prompt is inverted. A picture of the bank is made
    when it is first wanted. `alike` is that of `Regeneration`.

    >>> from workbench.inverters.natural import Natural
    >>> from workbench.similarities.ssim import SSIM
    >>> ReferenceBank(Natural(), SSIM(), gamma=2, prompts=("a", "b"), matched=False)
    ReferenceBank(Natural(), SSIM(), gamma=2, matched=False, captions="0473ef2dc0d3")
    """

    inverter: Inverter
    similarity: Similarity
    aggregate: str = "mean"
    gamma: int = 4
    size: int = 64
    prompts: tuple[str, ...] = field(default=(), repr=False)
    matched: bool = True
    bank: int = 500
    seed: int = 0
    calibration: Calibration | None = None
    alike: bool = False
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.gamma <= len(self._captions()):
            raise ValueError(
                f"a bank of {len(self._captions())} captions allows a gamma of 1 to "
                f"{len(self._captions())}; seen {self.gamma}; the captions are the first half of "
                "the preset's calibration prompts"
            )

    def __repr__(self) -> str:
        """Return the repr, the captions by the start of their digest."""
        bank = digest(list(self._captions()))[:12]
        return f'{super().__repr__()[:-1]}, captions="{bank}")'

    def __call__(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Stages:
        """Return the stages for the images frame and a zoo (name → Generator).

        Raises LookupError when weights are missing, ValueError for an unknown aggregation, a
        matched bank whose similarity has no text tower, or a calibration that is not fitted for
        these models.
        """
        import pandas as pd

        self._check(zoo)
        good = images[images["failure"].isna()]
        done = pipeline.treatments(images, store, progress) if self.alike else {}
        views = pipeline.views(images, {}, store) if self.alike else {}  # a bank is of squares
        if self.matched:
            prompts = pipeline.invert(images, self.inverter, store, progress, views)
            chosen = self._nearest(prompts, store)
        else:
            prompts = frames.empty("prompts")
            chosen = {image: self._drawn(image, seed) for image in good["image_id"]}
        rows = [
            {"image_id": image, "prompt_id": prompt_id(text), "prompt": text}
            for image, texts in chosen.items()
            for text in texts
        ]
        pairs = pd.DataFrame(rows, columns=["image_id", "prompt_id", "prompt"], dtype="str")
        candidates = pipeline.generate(pairs, zoo, 1, self.seed, store, progress)
        similarities = pipeline.similarity(
            images, pairs, candidates, self.similarity, store, self.size, progress, done
        )
        scores = ranking.score(
            similarities, repr(self), self.aggregate, images["image_id"], list(zoo)
        )
        return Stages(prompts, candidates, similarities, self._calibrated(scores), done)

    def _captions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.prompts))[: self.bank]

    def _drawn(self, image: str, seed: int) -> list[str]:
        """Return γ captions for an image: those with the smallest sha256(seed, image, caption)."""
        return sorted(self._captions(), key=lambda text: digest(["bank", seed, image, text]))[
            : self.gamma
        ]

    def _nearest(self, prompts: pd.DataFrame, store: Store) -> dict[str, list[str]]:
        """Return for each image the γ captions nearest to its prompt, by the text embedding."""
        encoder = getattr(self.similarity, "encoder", None)
        if not hasattr(encoder, "text"):
            raise ValueError(
                f"a matched bank needs a similarity over an encoder with a text tower; "
                f"{self.similarity!r} has none"
            )
        known = prompts.dropna(subset=["prompt"])
        if known.empty:
            return {}
        captions = self._captions()
        vectors = pipeline.encode_texts([*captions, *known["prompt"]], encoder, store)
        bank, prompts_encoded = vectors[: len(captions)], vectors[len(captions) :]
        near = np.argsort(-(prompts_encoded @ bank.T), axis=1, kind="stable")[:, : self.gamma]
        return {
            image: [captions[place] for place in row]
            for image, row in zip(known["image_id"], near, strict=True)
        }
