"""Rivals on the pictures of a gallery, each learned on the pictures of other prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.attributors.family import Family
from workbench.attributors.knn import KNN
from workbench.attributors.layers import mix
from workbench.attributors.probe import Probe
from workbench.attributors.prototype import Prototype
from workbench.attributors.spectrum import Spectrum, spectrum
from workbench.evaluation.gallery import Gallery, cube
from workbench.experiments._gallery import Encoded, Trial
from workbench.pipeline.progress import ticker
from workbench.ranking.aggregate import mean

if TYPE_CHECKING:
    from workbench.experiments import Bench

LAYERS = "layers, mixed"


def spectra(gallery: Gallery, bench: Bench) -> np.ndarray:
    """Return the noise spectrum of every picture of one size, (P, D) float32."""
    tick = ticker("spectrum", len(gallery.pictures), bench.under("gallery"))
    rows = []
    for done, name in enumerate(gallery.pictures["image_id"], 1):
        rows.append(spectrum(gallery.load(name)).astype(np.float32))
        tick(done)
    return np.stack(rows)


def rivals(
    each: Trial, features: Encoded, noise: np.ndarray, encoder: Any, kin: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Score every picture by rivals that learned from the pictures of all other prompts.

    Prototype, family (`kin`: child → parent), linear probe and neighbours look at the features that
    the learned metric sees, without candidates; the spectrum at the noise; the mix of layers is
    `attributors.layers.mix` of the mean similarities with the candidates.

    Returns:
        name → scores (N, K).
    """
    parents = {name: kin.get(name, name) for name in each.models}
    size = 2  # of no consequence: the features are there
    learners: dict[str, tuple[Any, np.ndarray]] = {
        "prototype": (Prototype(encoder, size), features.fused),
        "family": (Family(encoder, parents, size=size), features.fused),
        "linear probe": (Probe(encoder, size=size), features.fused),
        "neighbours": (KNN(encoder, size=size), features.fused),
        "spectrum": (Spectrum(), noise),
    }
    scores = {
        name: learner.out_of_group(rows[each.places], each.truth, each.models, each.prompts)
        for name, (learner, rows) in learners.items()
    }
    return scores | {LAYERS: _mixed(each, features)}


def _mixed(each: Trial, features: Encoded) -> np.ndarray:
    """Mix the layers by weights found on the other prompts: (N, K)."""
    by_layer = []
    for rows in features.layers.values():
        own = rows[each.places]
        by_layer.append(mean(cube(own, own, each.chosen)))
    scores = np.stack(by_layer, axis=2)
    mixed = np.empty(scores.shape[:2])
    for prompt in sorted(set(each.prompts)):
        own = each.prompts == prompt
        weights, deviations = mix(scores[~own], each.truth[~own])
        mixed[own] = scores[own] @ (weights / deviations)
    return mixed
