"""Features of the pictures of a gallery, and the calls of a method on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import images, pipeline, ranking
from workbench.attacks import own_rng
from workbench.evaluation import discriminant, likelihood
from workbench.evaluation.gallery import Gallery, choose, cube
from workbench.evidence.treatment import Treatment, estimate
from workbench.experiments import Bench
from workbench.pipeline.progress import ticker
from workbench.ranking import confidence
from workbench.ranking.aggregate import AGGREGATIONS

if TYPE_CHECKING:
    import pandas as pd

Layer = int | None


@dataclass(frozen=True)
class Encoded:
    """Features of the pictures of a gallery, in its order: at every layer, and of several fused.

    `fused` are the unit rows of some layers side by side, (P, D); see `fusing`.
    """

    layers: Mapping[Layer, np.ndarray]
    fused: np.ndarray


def layers_of(encoder: Any) -> list[Layer]:
    """Return the layers of an encoder, the projected or pooled embedding last."""
    depth = encoder.depth() if hasattr(encoder, "depth") else 0
    return [*range(1, depth + 1), None]


def fusing(layers: Sequence[Layer]) -> list[Layer]:
    """Choose at most six of the layers before the last, evenly.

    >>> fusing([1, 2, 3, 4, 5, 6, 7, None]), fusing([*range(1, 25), None])
    ([1, 2, 3, 4, 5, 6], [1, 5, 10, 14, 19, 23])
    """
    last = len(layers) - 2
    if last < 1:
        return list(layers)
    return [int(x) for x in np.unique(np.linspace(1, last, min(6, last)).round())]


def at_size(gallery: Gallery, size: int) -> Gallery:
    """Bring every picture to a common size, once."""
    small = {name: images.fit(gallery.load(name), size) for name in gallery.pictures["image_id"]}
    return Gallery(gallery.pictures, small.__getitem__, gallery.left_out)


def changed(gallery: Gallery, by: Any, seed: int) -> Gallery:
    """Attack or treat every picture; each has the image_id of what it became."""
    pictures = []
    for name in gallery.pictures["image_id"]:
        picture = gallery.load(name)
        if isinstance(by, Treatment):
            pictures.append(by(picture))
        else:
            pictures.append(by(picture, own_rng(by, name, seed)))
    ids = [images.digest(picture) for picture in pictures]
    load = dict(zip(ids, pictures, strict=True)).__getitem__
    return Gallery(gallery.pictures.assign(image_id=ids), load)


def encoded(gallery: Gallery, encoder: Any, bench: Bench, size: int, name: str = "") -> Encoded:
    """Encode every picture at every layer, by the store; `name` goes into the progress."""
    ids = list(gallery.pictures["image_id"])
    layers, progress = layers_of(encoder), bench.under(name or "gallery")
    if hasattr(encoder, "layers"):
        rows = pipeline.encode_layers(
            ids, encoder, layers, bench.store, size, progress, gallery.load
        )
    else:
        rows = {None: pipeline.encode(ids, encoder, bench.store, size, progress, gallery.load)}
    features = {layer: each.rows(ids) for layer, each in rows.items()}
    some = [layer for layer in fusing(layers) if layer in features]
    return Encoded(features, np.concatenate([features[x] for x in some], axis=1))


@dataclass(frozen=True)
class Attacked:
    """Pictures of a gallery after an attack, and what it takes to treat candidates as they were.

    `features` are of the attacked pictures; `treatments` what each seems to have gone through, in
    the gallery's order, and `usual` the commonest that does anything. `pools` are the features of
    clean pictures under each of these: of all under the usual one, of the prompts of the pictures
    concerned under a rarer one (NaN elsewhere), untouched where nothing was found.
    """

    features: Encoded
    treatments: tuple[Treatment, ...]
    usual: Treatment | None
    pools: Mapping[Treatment, Encoded]


def attacked(
    gallery: Gallery, encoder: Any, bench: Bench, size: int, attack: Any, clean: Encoded
) -> Attacked:
    """Attack a gallery, and estimate from each picture's pixels alone what was done to it last."""
    after = changed(gallery, attack, bench.seed)
    features = encoded(after, encoder, bench, size, repr(attack))
    tick = ticker("estimate", len(after.pictures), bench.under(repr(attack)))
    treatments = []
    for done, name in enumerate(after.pictures["image_id"], 1):
        treatments.append(estimate(after.load(name)))
        tick(done)
    usual = next((x for x, _ in Counter(treatments).most_common() if not x.plain), None)
    prompts = gallery.pictures["prompt"].to_numpy(dtype=str)
    pools = {}
    for each in dict.fromkeys(treatments):
        own = np.array([other == each for other in treatments])
        rows = np.isin(prompts, prompts[own]) | (each == usual)
        part = changed(Gallery(gallery.pictures[rows], gallery.load), each, bench.seed)
        pools[each] = (
            clean if each.plain else _placed(encoded(part, encoder, bench, size, repr(each)), rows)
        )
    return Attacked(features, tuple(treatments), usual, pools)


def _placed(part: Encoded, rows: np.ndarray) -> Encoded:
    """Put the features of some pictures into their places among all, NaN elsewhere."""

    def whole(values: np.ndarray) -> np.ndarray:
        full = np.full((len(rows), values.shape[1]), np.nan, values.dtype)
        full[rows] = values
        return full

    return Encoded({key: whole(each) for key, each in part.layers.items()}, whole(part.fused))


@dataclass(frozen=True)
class Trial:
    """The pictures of some models of a gallery, and what a method calls each.

    `places` are their rows in the whole gallery; `gamma` candidates of each model are drawn.
    """

    pictures: pd.DataFrame
    models: tuple[str, ...]
    places: np.ndarray
    gamma: int
    seed: int

    @cached_property
    def truth(self) -> np.ndarray:
        """The model of each picture, 0 … K − 1."""
        return np.array([self.models.index(name) for name in self.pictures["generator"]])

    @cached_property
    def prompts(self) -> np.ndarray:
        """The prompt of each."""
        return self.pictures["prompt"].to_numpy(dtype=str)

    @cached_property
    def ties(self) -> np.ndarray:
        """The order that settles ties."""
        return ranking.tie_order(list(self.pictures["image_id"]), self.models)

    @cached_property
    def chosen(self) -> np.ndarray:
        """Candidates of the same prompt, (N, K, γ)."""
        return choose(self.pictures, self.models, self.gamma, self.seed)

    def among(self, references: str) -> np.ndarray:
        """Candidates of other prompts, (N, K, γ)."""
        return choose(self.pictures, self.models, self.gamma, self.seed, references)

    def called(self, scores: np.ndarray) -> np.ndarray:
        """The model that each picture is attributed to, by (N, K) scores."""
        return ranking.first(scores, self.ties)

    def calls(self, scores: np.ndarray, **key: Any) -> pd.DataFrame:
        """Call the model of each picture by (N, K) scores: a row a picture, with a key."""
        called = self.called(scores)
        table = self.pictures[["image_id", "prompt"]].assign(**key)
        truth, predicted = (np.array(self.models)[places] for places in (self.truth, called))
        return table.assign(truth=truth, predicted=predicted, correct=called == self.truth)

    def similarities(
        self, tests: Encoded, pool: Encoded, chosen: np.ndarray
    ) -> dict[tuple[Layer, str], np.ndarray]:
        """Score by every layer and aggregation: (layer, aggregate) → (N, K)."""
        scores = {}
        for layer, rows in tests.layers.items():
            values = cube(rows[self.places], pool.layers[layer][self.places], chosen)
            for name, aggregate in AGGREGATIONS.items():
                scores[layer, name] = aggregate(values)
        return scores

    def picked(self, scores: Mapping[Any, np.ndarray]) -> dict[str, Any]:
        """Choose for each prompt the key whose calls are right most often on the other prompts."""
        right = {key: self.called(table) == self.truth for key, table in scores.items()}
        picks = {}
        for prompt in sorted(set(self.prompts)):
            others = self.prompts != prompt
            picks[prompt] = max(right, key=lambda key: right[key][others].mean())
        return picks

    def by_pick(self, scores: Mapping[Any, np.ndarray], picked: Mapping[str, Any]) -> np.ndarray:
        """Take each picture's scores from the key chosen for its prompt, at one scale: (N, K)."""
        units = {key: np.nanmean(np.nanstd(scores[key], axis=1)) for key in set(picked.values())}
        rows = [scores[picked[p]][i] / (units[picked[p]] or 1) for i, p in enumerate(self.prompts)]
        return np.array(rows)

    def folds(
        self, features: np.ndarray, rows: np.ndarray | None = None
    ) -> list[discriminant.Fold]:
        """Learn a metric for each prompt from the others, or for those of some rows alone."""
        own = features[self.places]
        left = None if rows is None else set(self.prompts[rows])
        return discriminant.folds(own, self.chosen, self.truth, self.prompts, left)

    def learned(
        self,
        folds: Sequence[discriminant.Fold],
        tests: np.ndarray,
        pool: np.ndarray,
        chosen: np.ndarray,
    ) -> np.ndarray:
        """Score each picture by the metric that has not seen its prompt: (N, K)."""
        own = tests[self.places], pool[self.places], chosen, self.prompts
        return discriminant.out_of_fold(folds, *own)

    def ratios(self, scores: np.ndarray) -> pd.DataFrame:
        """Return the likelihood ratios of (N, K) scores, learned on other prompts, a row each."""
        import pandas as pd

        ids = self.pictures["image_id"]
        table = pd.DataFrame(scores, columns=list(self.models)).assign(image_id=ids)
        long = table.melt("image_id", var_name="generator", value_name="score")
        truth = pd.DataFrame(
            {"image_id": ids, "truth": self.pictures["generator"], "prompt": self.prompts}
        )
        sure = confidence.cross_fit(long.assign(attributor="gallery"), truth)
        return likelihood.ratios(sure, truth)


def trial(gallery: Gallery, models: Sequence[str], gamma: int, seed: int) -> Trial:
    """Take the pictures of some models out of a gallery."""
    places = np.flatnonzero(gallery.pictures["generator"].isin(models))
    table = gallery.pictures.iloc[places].reset_index(drop=True)
    return Trial(table, tuple(models), places, gamma, seed)


@dataclass(frozen=True)
class Both:
    """What both methods say of the pictures of a trial, and by what.

    `scores` are those of every layer and aggregation, `picked` the one chosen for each prompt,
    `folds` the metric learned for each; `tables` the scores of either method, (N, K).
    """

    scores: Mapping[tuple[Layer, str], np.ndarray]
    picked: Mapping[str, tuple[Layer, str]]
    folds: Sequence[discriminant.Fold]
    tables: Mapping[str, np.ndarray]


UNTRAINED, LEARNED = "similarity", "learned metric"


def both(each: Trial, features: Encoded) -> Both:
    """Run both methods on pictures of a trial beside candidates of their prompt."""
    scores = each.similarities(features, features, each.chosen)
    picked, folds = each.picked(scores), each.folds(features.fused)
    learned = each.learned(folds, features.fused, features.fused, each.chosen)
    tables = {UNTRAINED: each.by_pick(scores, picked), LEARNED: learned}
    return Both(scores, picked, folds, tables)


def by_estimate(each: Trial, said: Both, after: Attacked) -> dict[str, np.ndarray]:
    """Score attacked pictures beside candidates treated as each picture seems to have been.

    The metric is learned anew on the pictures of other prompts, treated as most seem to have been.

    Returns:
        scores of both methods, (N, K).
    """
    own = [after.treatments[place] for place in each.places]
    tests = after.features
    scores: dict[tuple[Layer, str], np.ndarray] = {}
    learned = np.full(each.chosen.shape[:2], np.nan)
    for treatment, pool in after.pools.items():
        rows = np.array([other == treatment for other in own])
        if not rows.any():
            continue
        for key, values in each.similarities(tests, pool, each.chosen).items():
            scores.setdefault(key, np.full(values.shape, np.nan))[rows] = values[rows]
        folds = said.folds
        if after.usual is not None and not treatment.plain:
            folds = each.folds(after.pools[after.usual].fused, rows)
        learned[rows] = each.learned(folds, tests.fused, pool.fused, each.chosen)[rows]
    return {UNTRAINED: each.by_pick(scores, said.picked), LEARNED: learned}
