"""DE-FAKE: picture and caption, embedded by CLIP, classified by a small network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import pipeline
from workbench.attributors._training import Classifier, encoded, log_softmax
from workbench.encoders import Encoder
from workbench.inverters import Inverter
from workbench.keys import digest
from workbench.plugin import Fitted
from workbench.weights import inference

if TYPE_CHECKING:
    import pandas as pd

    from workbench.pipeline.progress import Progress
    from workbench.store.store import Store

HIDDEN = (512, 256)
DROPOUT = 0.5


@dataclass(frozen=True, repr=False)
class DeFake(Classifier):
    """Attribute with DE-FAKE (Sha et al., CCS 2023, arXiv:2210.06998). Trained.

    v = φ(x) ⊕ ψ(p̂): the picture and its caption by the inverter, embedded by the encoder; then an
    MLP 512-256-K with ReLU, dropout ½ after the first layer, cross-entropy, Adam with `rate`,
    `epochs` passes in shuffled batches of `batch`. The head has a place for each of the K models
    (the paper's has one for real pictures too). Ours are unit embeddings times √D, so that a
    feature is 1 in size, whatever D. Training and test pictures go one way: to `size` pixels a
    side, then through the encoder (in the authors' code they are normalised differently).

    Scores are log-probabilities over the models it was fitted on, at most 0. A picture without a
    caption has none. Trained on the CPU with one thread; noise is drawn from `fit`'s seed.

    Calling it raises ValueError before `fit`, for a model that it was not fitted on, and for an
    encoder without a text tower.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> from workbench.inverters.natural import Natural
    >>> DeFake(Natural(), OpenClip(Checkpoint("pocket-clip", "encoder", "", "/w")), epochs=20)
    DeFake(Natural(), OpenClip("pocket-clip"), epochs=20)
    """

    inverter: Inverter
    encoder: Encoder
    size: int = 64
    epochs: int = 100
    batch: int = 128
    rate: float = 3e-4
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 1 or self.batch < 1 or not self.rate > 0:
            raise ValueError(
                "epochs and batch are at least 1 and the rate is above 0; "
                f"seen {self.epochs}, {self.batch} and {self.rate}"
            )

    def _features(
        self, images: pd.DataFrame, store: Store, progress: Progress | None
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        prompts = pipeline.invert(images, self.inverter, store, progress)
        known = prompts.dropna(subset=["prompt"])
        captioned = images[images["image_id"].isin(known["image_id"])]
        if captioned.empty:
            return prompts, {}
        pictures = encoded(self, captioned, store, progress)
        texts = pipeline.encode_texts(list(known["prompt"]), self.encoder, store)
        return prompts, {
            image: np.concatenate([_sized(pictures[image]), _sized(text)])
            for image, text in zip(known["image_id"], texts, strict=True)
        }

    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        import torch

        noise = torch.Generator().manual_seed(int(digest(["defake", seed])[:12], 16))
        inputs, truth = torch.from_numpy(vectors).float(), torch.from_numpy(places)
        with inference.fixed_threads(1), torch.enable_grad():
            layers = _layers([inputs.shape[1], *HIDDEN, len(models)], noise)
            adam = torch.optim.Adam(
                [parameter for layer in layers for parameter in layer], lr=self.rate
            )
            for epoch in range(self.epochs):
                for chosen in torch.randperm(len(truth), generator=noise).split(self.batch):
                    logits = _train_pass(inputs[chosen], layers, noise)
                    adam.zero_grad()
                    torch.nn.functional.cross_entropy(logits, truth[chosen]).backward()
                    adam.step()
                if progress is not None:
                    progress("train", epoch + 1, self.epochs)
        return {
            f"{name}{place}": value.detach().numpy()
            for place, layer in enumerate(layers)
            for name, value in zip(("weights", "bias"), layer, strict=True)
        }

    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Score (N, 2D) rows: (N, K) log-probabilities, without dropout."""
        layers = [(fitted[f"weights{i}"], fitted[f"bias{i}"]) for i in range(len(HIDDEN) + 1)]

        def score(value: np.ndarray) -> np.ndarray:
            for place, (weights, bias) in enumerate(layers):
                value = weights @ (np.maximum(value, 0) if place else value) + bias
            return log_softmax(value)

        return np.stack([score(row) for row in matrix])


def _sized(row: np.ndarray) -> np.ndarray:
    """Scale a unit row (D,) so that its features are 1 in size."""
    return row * np.float32(np.sqrt(len(row)))


def _layers(widths: list[int], noise: Any) -> list[tuple[Any, Any]]:
    """Draw weights (out, in) and biases (out,) evenly from ±1/√in, as torch's Linear does."""
    import torch

    def draw(*shape: int, bound: float) -> Any:
        return ((2 * torch.rand(shape, generator=noise) - 1) * bound).requires_grad_()

    return [
        (draw(after, before, bound=before**-0.5), draw(after, bound=before**-0.5))
        for before, after in pairwise(widths)
    ]


def _train_pass(value: Any, layers: list[tuple[Any, Any]], noise: Any) -> Any:
    """Run (B, 2D) inputs to (B, K) logits, with dropout after the first layer."""
    import torch

    for place, (weights, bias) in enumerate(layers):
        value = torch.relu(value) if place else value
        if place == 1:
            retained = torch.rand(value.shape, generator=noise) >= DROPOUT
            value = value * retained / (1 - DROPOUT)
        value = torch.nn.functional.linear(value, weights, bias)
    return value
