"""``python -m workbench.pocket.dial``: how hard the zoo will be, before anything is trained.

Each training corpus stands in for the model that learns from it: it draws pictures of the world of
calibration scenes, as a perfect model would. With the natural prompt, so without an inverter, the
paper's setting (projected embedding of pocket-clip, mean of γ cosines) has to tell them apart, in
93 to 97 %. That is the zoo's difficulty dial: it is set here once and then left alone.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import numpy as np

from workbench import catalogue
from workbench.evaluation.statistics import Interval, accuracy_interval
from workbench.pocket.drawing import render
from workbench.pocket.world import CORPORA, scenes

GAMMA, SCENES, SEED = 4, 75, 91
ZOO = {
    "pocket-sd": "laion",
    "pocket-ld": "laion400m",
    "pocket-glide": "filtered",
    "pocket-dalle": "cc12m",
}


def embeddings(corpus: str, n: int, gamma: int, encoder: Any) -> np.ndarray:
    """Embed 1 + γ pictures of each of n scenes as a corpus draws them, (n, 1 + γ, D) unit rows.

    The scenes are of the world at large, the same for every corpus, and name no medium in their
    caption, where corpora would draw alike.
    """
    plain = (scene for scene in scenes("calibration", CORPORA["world"], SEED) if not scene.medium)
    rng = np.random.default_rng([SEED, *corpus.encode()])
    images = [
        render(scene, CORPORA[corpus], rng) for scene in islice(plain, n) for _ in range(1 + gamma)
    ]
    rows = np.concatenate(
        [encoder(images[start : start + 64]) for start in range(0, len(images), 64)]
    )
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.reshape(n, 1 + gamma, -1)


def dial(n: int = SCENES, gamma: int = GAMMA) -> tuple[Interval, np.ndarray]:
    """Return the accuracy over n scenes a model, and how often each (row) was called each."""
    encoder = catalogue.load("pocket-clip")
    seen = np.stack([embeddings(corpus, n, gamma, encoder) for corpus in ZOO.values()])
    tests, candidates = seen[:, :, 0], seen[:, :, 1:]
    scores = np.einsum("tnd,cngd->tncg", tests, candidates).mean(-1)
    called = scores.argmax(-1)
    counts = np.stack([np.bincount(row, minlength=len(ZOO)) for row in called])
    right = called == np.arange(len(ZOO))[:, None]
    places = np.tile(np.arange(n), (len(ZOO), 1))
    return accuracy_interval(right.ravel().astype(float), places.ravel()), counts


def main() -> int:
    """Print the accuracy and the confusions."""
    right, counts = dial()
    print(f"{right.value:.1%} ({right.low:.1%} to {right.high:.1%}), n = {right.n}, seed {SEED}")
    for name, row in zip(ZOO, counts, strict=True):
        print(f"{name:13}", *(f"{count:5d}" for count in row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
