"""Which references, layer, number and aggregation? RefPrint's tables, from pictures on a disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import catalogue
from workbench.evaluation import gallery as galleries
from workbench.evaluation.gallery import REFERENCES
from workbench.experiments import Bench, results
from workbench.experiments._gallery import (
    Encoded,
    Layer,
    Trial,
    at_size,
    changed,
    encoded,
    layers_of,
    trial,
)
from workbench.experiments._gallery_measures import accuracies
from workbench.experiments.gallery import collect, encoder_of
from workbench.plugin import Plugin
from workbench.ranking.aggregate import AGGREGATIONS

if TYPE_CHECKING:
    import pandas as pd

LEVELS = {"JPEG": (10, 20, 30), "Resize": (25, 50, 65), "Blur": (10, 20, 30)}
"""RefPrint's: JPEG 90, 80, 70; resizing by .75, .5, .35; blur of σ 1, 2, 3 at 512 pixels."""
ATTACKS = tuple(f"{name}(intensity={x})" for name, some in LEVELS.items() for x in some)
KEYS = ("table", "references", "layer", "references a model", "aggregate", "attack")
NAMES = dict(zip(REFERENCES, ("own prompt", "aligned bank", "arbitrary bank"), strict=True))
"""What the tables call the references of `choose`."""


@dataclass(frozen=True, repr=False)
class ReferenceSelection(Plugin):
    """Cross references, layer, number M and aggregation, and attack, as RefPrint does.

    The protocol of Li et al. 2026 (arXiv:2607.12052), its levels and aggregations, on the pictures
    of a gallery (`experiments.gallery`): cosine, forced choice, M references of each model.
    "own prompt": other pictures of the picture's own prompt, which stand in the place of
    resyntheses, so that no inverter has a part in it; "aligned bank": pictures of the prompts with
    the nearest captions; "arbitrary bank": pictures of other prompts, drawn. Nothing is chosen: the
    tables stand at the middle layer (12 of 24 with RefPrint), the largest M and max, each along its
    own axis; the frame ``grid`` crosses all but attacks. Test images alone are attacked.

    `data`, `layout`, `encoder`, `models` and `size` are those of the experiment gallery.

    >>> ReferenceSelection(counts=(1, 4)).attacks[:2]
    ('JPEG(intensity=10)', 'JPEG(intensity=20)')
    """

    data: str = ""
    layout: str = ""
    encoder: str = ""
    models: tuple[str, ...] = ()
    counts: tuple[int, ...] = (1, 2, 4)
    attacks: tuple[str, ...] = ATTACKS
    size: int = 256
    revision: ClassVar[int] = 1

    @property
    def gammas(self) -> tuple[int, ...]:
        """The numbers M, under the name that `collect` knows."""
        return self.counts

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``grid`` and ``calls``; raises as the experiment gallery does."""
        import pandas as pd

        gallery, size = collect(self, bench)
        gallery, encoder = at_size(gallery, size), encoder_of(self, bench)
        clean = encoded(gallery, encoder, bench, size)
        middle, most = middle_of(layers_of(encoder)), max(self.counts)
        calls = [
            part
            for count in self.counts
            for part in _crossed(trial(gallery, gallery.models, count, bench.seed), clean)
        ]
        last = trial(gallery, gallery.models, most, bench.seed)
        for text in self.attacks:
            under = changed(gallery, catalogue.load(text, "attack"), bench.seed)
            after = encoded(under, encoder, bench, size, text)
            calls += [_attacked(last, after, clean, kind, middle, text) for kind in NAMES]
        frames = {"calls": pd.concat(calls, ignore_index=True)}
        whole = frames["calls"][frames["calls"]["attack"] == "none"]
        grid = results(accuracies(whole, KEYS[1:]))
        return {"results": self.measure(frames), "grid": grid, **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the tables of ``calls``, each along its own axis."""
        calls = frames["calls"]
        at = {
            "layer": middle_of(list(calls["layer"].unique())),
            "references a model": max(self.counts),
            "aggregate": "max",
        }
        rows: list[dict[str, Any]] = []
        for table in (*at, "attack"):
            part = calls if table == "attack" else calls[calls["attack"] == "none"]
            for key, wanted in at.items():
                part = part if key == table else part[part[key] == wanted]
            rows += [{"table": table} | row for row in accuracies(part, KEYS[1:])]
        return results(rows)

    def plugins(self, bench: Bench) -> list[Any]:
        """Name what the results depend on: the encoder, and the zoo where it draws the pictures."""
        return [encoder_of(self, bench), *([] if self.data else bench.zoo.values())]

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw a curve of each kind of references along the layers, and along M."""
        from workbench import figures

        table = frames["results"]
        figures.resize(figure, 9.0, 3.6)
        for ax, axis in zip(figure.subplots(1, 2), ("layer", "references a model"), strict=True):
            own = table[table["table"] == axis]
            figures.curve(own, x=axis, line="references", title=f"Accuracy by {axis}", ax=ax)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the references beside one another, the best layer, and what aggregation does."""
        table = frames["results"]
        clean = table[(table["table"] == "attack") & (table["attack"] == "none")]
        parts = [
            f"{row.references} {row.value:.1%} ({row.low:.1%} to {row.high:.1%})"
            for row in clean.itertuples()
        ]
        own = table[table["references"] == "own prompt"]
        layers = own[own["table"] == "layer"].set_index("layer")["value"]
        sums = own[own["table"] == "aggregate"].set_index("aggregate")["value"]
        at = clean.iloc[0]
        return (
            f"At layer {at['layer']} with max and {at['references a model']} references a model "
            f"(n = {at['n']}): {', '.join(parts)}. By references of the own prompt the layers "
            f"reach {layers.min():.1%} (layer {layers.idxmin()}) to {layers.max():.1%} (layer "
            f"{layers.idxmax()}), the aggregations "
            f"{', '.join(f'{name} {value:.1%}' for name, value in sums.items())}."
        )


def middle_of(layers: list[Any]) -> Any:
    """Return the middle layer of an encoder; its embedding where it has no layers.

    >>> middle_of([1, 2, 3, 4, 5, 6, 7, None]), middle_of([*range(1, 25), None]), middle_of([None])
    (4, 12, None)
    """
    return layers[max(len(layers) // 2 - 1, 0)]


def _key(each: Trial, references: str, layer: Layer, aggregate: str, attack: str) -> dict[str, Any]:
    """Name a cell of the crossing, under `KEYS`."""
    place = "embedding" if layer is None else str(layer)
    cell = (NAMES[references], place, each.gamma, aggregate, attack)
    return dict(zip(KEYS[1:], cell, strict=True))


def _references(each: Trial, kind: str) -> np.ndarray:
    return each.chosen if kind == REFERENCES[0] else each.among(kind)


def _crossed(each: Trial, clean: Encoded) -> Iterator[pd.DataFrame]:
    """Call by every kind of references at every layer by every aggregation."""
    for kind in NAMES:
        scores = each.similarities(clean, clean, _references(each, kind))
        for (layer, aggregate), table in scores.items():
            yield each.calls(table, **_key(each, kind, layer, aggregate, "none"))


def _attacked(
    last: Trial, after: Encoded, clean: Encoded, kind: str, layer: Layer, attack: str
) -> pd.DataFrame:
    """Call attacked test images by the nearest of clean references."""
    own, pool = after.layers[layer][last.places], clean.layers[layer][last.places]
    scores = AGGREGATIONS["max"](galleries.cube(own, pool, _references(last, kind)))
    return last.calls(scores, **_key(last, kind, layer, "max", attack))
