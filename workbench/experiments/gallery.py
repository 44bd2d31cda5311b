"""Pictures that somebody made: how well are their models told apart, and by what?"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import catalogue, pipeline
from workbench.catalogue import presets
from workbench.evaluation import gallery as galleries
from workbench.evaluation.gallery import REFERENCES
from workbench.evaluation.metrics import NEAR
from workbench.experiments import Bench, results
from workbench.experiments._gallery import (
    LEARNED,
    UNTRAINED,
    Attacked,
    Both,
    Encoded,
    Trial,
    at_size,
    attacked,
    both,
    by_estimate,
    encoded,
    trial,
)
from workbench.experiments._gallery_measures import KEYS, accuracies, by_method, in_full
from workbench.experiments._gallery_rivals import LAYERS, rivals, spectra
from workbench.keys import prompt_id
from workbench.pipeline.progress import ticker
from workbench.plugin import Plugin
from workbench.similarities.colours import Colours

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
ENCODER = 'Timm("efficientnet-lite0", pooling="moments")'
KIN = (("latent-diffusion", "glid-3-xl"), ("ldif", "glid3"))
"""Models known as parent and child: GLID-3-XL goes on from the weights of latent diffusion."""
ATTACKS = ("JPEG(intensity=30)", "Blur(intensity=20)", "Resize(intensity=50)")
COLOUR, LEARNED_COLOUR = "colour alone", "colour alone, learned metric"
SHAPE = "size and format alone"
CONTROLS = (COLOUR, LEARNED_COLOUR, SHAPE)
WORDS = {
    UNTRAINED: "without training",
    LEARNED: "with a metric learned on the pictures of other prompts",
}
PLACES = {"caption": "the nearest captions", "other prompts": "other prompts"}
ALIKE = "same prompt, treated alike"
ESTIMATED = "same prompt, treated as estimated"
ALL, ONE = "all models", "one of each family"


@dataclass(frozen=True, repr=False)
class Gallery(Plugin):
    """Attribute every picture of a gallery by other pictures of its prompt, leave-one-prompt-out.

    The candidates of a picture are up to γ pictures of each model for the same prompt, equally
    many of each, never the picture itself, and no pixels twice; so they are candidate images of the
    natural prompt. All pictures are brought to `size` first, whose traces stay: native sizes may
    leak, which is why size alone and colour alone stand beside every accuracy.

    Two methods. "similarity": cosine at a layer, aggregated; layer and aggregation are chosen for
    each prompt on the other prompts' pictures. "learned metric": `evaluation.discriminant` on all
    layers but the last (`fusing`), learned on the other prompts' pictures, whose models are known:
    trained. Its form and constants are the same everywhere.
    Controls: colours alone, by both methods; size and format alone; candidates of other prompts,
    drawn, or of the nearest captions. Then families (`kin`, parent and child) apart from models,
    `attacks` against clean candidates and against candidates treated alike, the attack given or
    estimated from the pixels of each picture (`evidence.treatment`), with the metric learned anew
    on pictures treated as most seem to have been; and likelihood ratios, cross-fitted over prompts.

    `data` is a folder in any layout of `Archive`; without one, the bench's own zoo draws γ + 1
    pictures of each prompt, for the preset's own encoder. `models` are all that drew two pictures
    of half of the prompts at least.

    >>> Gallery(gammas=(4,))
    Gallery(gammas=(4,))
    """

    data: str = ""
    layout: str = ""
    encoder: str = ""
    models: tuple[str, ...] = ()
    kin: tuple[tuple[str, str], ...] = KIN
    gammas: tuple[int, ...] = (1, 2, 4)
    attacks: tuple[str, ...] = ATTACKS
    size: int = 256
    revision: ClassVar[int] = 3

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``grid`` (γ × layer × aggregation), ``pictures``, and every call.

        ``calls`` are those behind the accuracies; ``outcomes`` those of both methods with the most
        candidates, ``ratios`` their likelihood ratios; ``treatments`` what each picture seems to
        have gone through under each attack.

        Raises as `evaluation.gallery.read` and `Gallery.of`.
        """
        import pandas as pd

        gallery, size = collect(self, bench)
        gallery, encoder = at_size(gallery, size), encoder_of(self, bench)
        clean = encoded(gallery, encoder, bench, size)
        looks = Colours().roots([gallery.load(name) for name in gallery.pictures["image_id"]])
        colour, noise = Encoded({None: looks}, looks), spectra(gallery, bench)
        after = {
            text: attacked(gallery, encoder, bench, size, catalogue.load(text, "attack"), clean)
            for text in self.attacks
        }
        calls: list[pd.DataFrame] = []
        outcomes: list[pd.DataFrame] = []
        ratios: list[pd.DataFrame] = []
        grid: list[pd.DataFrame] = []
        scopes = self._scopes(gallery.models)
        tick = ticker("measure", len(scopes) * len(self.gammas), bench.progress)
        for scope, models in scopes.items():
            within: list[pd.DataFrame] = []
            for gamma in self.gammas:
                last = trial(gallery, models, gamma, bench.seed)
                said = both(last, clean)
                within += [_called(last, name, table) for name, table in said.tables.items()]
                grid.append(_grid(last, said).assign(scope=scope))
                tick(len(grid))
            within += self._controls(last, clean, colour)
            within += self._rivals(last, clean, noise, encoder)
            for text, each in after.items():
                within += _attacked(last, said, clean, each, text)
            calls += [part.assign(scope=scope) for part in within]
            for method, table in said.tables.items():
                at = {"method": method, "scope": scope}
                outcomes.append(last.calls(table, **at))
                ratios.append(last.ratios(table).assign(**at))
        frames = {
            "calls": pd.concat(calls, ignore_index=True),
            "outcomes": pd.concat(outcomes, ignore_index=True),
            "ratios": pd.concat(ratios, ignore_index=True),
        }
        cells = accuracies(pd.concat(grid), ("scope", "gamma", "layer", "aggregate"))
        return {
            "results": self.measure(frames),
            **frames,
            "grid": results(cell | {"metric": "accuracy"} for cell in cells),
            "pictures": gallery.pictures.drop(columns="index").assign(list=gallery.digest()),
            "treatments": _treatments(gallery.pictures, after),
        }

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results from ``calls``, ``outcomes`` and ``ratios``."""
        rows: list[dict[str, Any]] = []
        for scope, calls in frames["calls"].groupby("scope", sort=False):
            outcomes, ratios = (
                frames[name][frames[name]["scope"] == scope] for name in ("outcomes", "ratios")
            )
            same = {"candidates": REFERENCES[0], "gamma": calls["gamma"].iloc[-1], "attack": "none"}
            whole = (same | row for row in in_full(outcomes, ratios, self.kin))
            rows += [{"scope": scope} | row for row in (*by_method(calls), *whole)]
        return results(rows)

    def plugins(self, bench: Bench) -> list[Any]:
        """Name what the results depend on: the encoder, and the zoo where it draws the pictures."""
        return [encoder_of(self, bench), *([] if self.data else bench.zoo.values())]

    def _scopes(self, models: list[str]) -> dict[str, list[str]]:
        """Return the sets of candidate models: all, and without the children of others."""
        children = {child for parent, child in self.kin if {parent, child} <= set(models)}
        rest = [name for name in models if name not in children]
        return {ALL: models} | ({ONE: rest} if children and len(rest) > 1 else {})

    def _controls(self, last: Trial, clean: Encoded, colour: Encoded) -> Iterator[pd.DataFrame]:
        """Call by colour, or size and format, alone, and by candidates of other prompts."""
        looks = both(last, colour).tables
        shape = galleries.shapes(last.pictures)
        near = galleries.cube(shape, shape, last.chosen)
        tables = {
            COLOUR: looks[UNTRAINED],
            LEARNED_COLOUR: looks[LEARNED],
            SHAPE: np.nanmean(near, axis=2),
        }
        for name, table in tables.items():
            yield _called(last, name, table)
        for references in REFERENCES[1:]:
            scores = last.similarities(clean, clean, last.among(references))
            table = last.by_pick(scores, last.picked(scores))
            yield _called(last, UNTRAINED, table, references)

    def _rivals(
        self, last: Trial, clean: Encoded, noise: np.ndarray, encoder: Any
    ) -> Iterator[pd.DataFrame]:
        """Call by the rivals that learn on the pictures of other prompts."""
        kin = {child: parent for parent, child in self.kin}
        for name, table in rivals(last, clean, noise, encoder, kin).items():
            yield _called(last, name, table, REFERENCES[0] if name == LAYERS else "none")

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw methods and controls, a panel for each set of models, all in the first's order."""
        from workbench import figures

        table = _headline(frames["results"])
        table = table.assign(what=[_what(row) for row in table.to_dict("records")])
        first = table[table["scope"] == table["scope"].iloc[0]].sort_values("value")
        order = {what: -place for place, what in enumerate(first["what"])}
        table = table.sort_values("what", key=lambda column: column.map(order), kind="stable")
        scopes = list(dict.fromkeys(frames["results"]["scope"]))
        words = "the two methods, the others controls and rivals"
        bold = dict.fromkeys((UNTRAINED, LEARNED), words)
        figures.resize(figure, 5.0 * len(scopes), 3.6)
        alike = len({tuple(part["what"]) for _, part in table.groupby("scope")}) == 1
        panels = np.atleast_1d(figure.subplots(1, len(scopes), sharey=alike))
        for ax, scope in zip(panels, scopes, strict=True):
            own = table[table["scope"] == scope]
            chance = own.loc[own["method"] == "chance", "value"].iloc[0]
            own = own[own["method"] != "chance"]
            options: dict[str, Any] = {"chance": chance, "bold": bold, "sort": False, "ax": ax}
            figures.dots(own, by="what", title=f"Accuracy, {scope}", **options)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State both methods beside their controls, and warn of a control that comes near."""
        sentences = []
        for scope, table in _headline(frames["results"]).groupby("scope", sort=False):
            same = table[table["candidates"] == "same prompt"].set_index("method")
            n, prompts = int(same["n"].max()), frames["pictures"]["prompt"].nunique()
            parts = [
                f"{words} {same.loc[name, 'value']:.1%} ({same.loc[name, 'low']:.1%} to "
                f"{same.loc[name, 'high']:.1%})"
                for name, words in WORDS.items()
            ]
            beside = [f"{name} {same.loc[name, 'value']:.1%}" for name in CONTROLS]
            elsewhere = table[table["candidates"].isin(PLACES)]
            beside += [
                f"candidates of {PLACES[row.candidates]} {row.value:.1%}"
                for row in elsewhere.itertuples()
            ]
            text = (
                f"{scope.capitalize()} (n = {n} pictures, {prompts} prompts, γ at most "
                f"{int(same['gamma'].max())}): {', '.join(parts)}; beside them {', '.join(beside)}"
            )
            sentences += [text, *_rivals_told(table), *_warnings(same)]
        return ". ".join(sentences) + "."


def _called(
    each: Trial,
    method: str,
    scores: np.ndarray,
    candidates: str = REFERENCES[0],
    attack: str = "none",
) -> pd.DataFrame:
    """Call every picture by a method's (N, K) scores, under `KEYS`."""
    key = dict(zip(KEYS, (method, candidates, each.gamma, attack), strict=True))
    return each.calls(scores, **key)


def _grid(each: Trial, said: Both) -> pd.DataFrame:
    """Call every picture by every layer and aggregation."""
    import pandas as pd

    return pd.concat(
        each.calls(table, gamma=each.gamma, layer=_layer(layer), aggregate=name)
        for (layer, name), table in said.scores.items()
    )


def _attacked(
    last: Trial, said: Both, clean: Encoded, after: Attacked, attack: str
) -> Iterator[pd.DataFrame]:
    """Call attacked pictures by both methods, beside clean and treated candidates."""
    by: dict[str, Mapping[str, np.ndarray]] = {}
    tests = after.features
    again = last.folds(tests.fused)
    for name, pool, learned in ((REFERENCES[0], clean, said.folds), (ALIKE, tests, again)):
        scores = last.similarities(tests, pool, last.chosen)
        by[name] = {
            UNTRAINED: last.by_pick(scores, said.picked),
            LEARNED: last.learned(learned, tests.fused, pool.fused, last.chosen),
        }
    by[ESTIMATED] = by_estimate(last, said, after)
    for name, tables in by.items():
        for method, table in tables.items():
            yield _called(last, method, table, name, attack)


def _treatments(pictures: pd.DataFrame, after: Mapping[str, Attacked]) -> pd.DataFrame:
    """List what each attacked picture seems to have gone through."""
    import pandas as pd

    base = pictures[["image_id", "prompt", "generator"]].reset_index(drop=True)
    parts = [
        base.assign(attack=text, treatment=[repr(done) for done in each.treatments])
        for text, each in after.items()
    ]
    columns = [*base.columns, "attack", "treatment"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _rivals_told(table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence on the rivals, where they were measured."""
    own = table[(table["candidates"] == "none") | (table["method"] == LAYERS)]
    if len(own):
        listed = ", ".join(f"{row.method} {row.value:.1%}" for row in own.itertuples())
        yield f"Rivals that learn on the pictures of other prompts: {listed}"


def _warnings(same: pd.DataFrame) -> Iterator[str]:
    """Yield for each method the controls that come within `NEAR` of it."""
    for name, controls in ((UNTRAINED, (COLOUR, SHAPE)), (LEARNED, (LEARNED_COLOUR, SHAPE))):
        for control in controls:
            if same.loc[control, "value"] > same.loc[name, "value"] - NEAR:
                yield (
                    f"Beware: {control} reaches {same.loc[control, 'value']:.1%}, within "
                    f"{100 * NEAR:.0f} points of {name} or above it"
                )


def _headline(table: pd.DataFrame) -> pd.DataFrame:
    """Take the accuracies at the largest γ, of pictures nobody attacked."""
    last = table[(table["metric"] == "accuracy") & (table["attack"] == "none")]
    return last[last["gamma"] == last["gamma"].max()]


def _what(row: Mapping[str, Any]) -> str:
    place = PLACES.get(row["candidates"])
    return f"{row['method']}, {place}" if place else str(row["method"])


def _layer(layer: int | None) -> str:
    return "embedding" if layer is None else str(layer)


def encoder_of(made_by: Any, bench: Bench) -> Any:
    """Load the encoder that an experiment on a gallery names; without one that of the data."""
    if made_by.encoder:
        return catalogue.load(made_by.encoder, "encoder")
    return catalogue.load(ENCODER, "encoder") if made_by.data else bench.encoder


def collect(made_by: Any, bench: Bench) -> tuple[galleries.Gallery, int]:
    """Read the gallery of an experiment, or let the bench's zoo draw one; and its size."""
    if made_by.data:
        gallery = galleries.read(made_by.data, made_by.layout, bench.under("gallery"))
        for text in gallery.left_out:
            log.warning("of the gallery %s", text)
        models = list(made_by.models) or _present(gallery)
        return gallery.of(models, bench.n, bench.seed), made_by.size
    table = drawn(bench, max(made_by.gammas) + 1)
    gallery = galleries.Gallery(table, bench.store.picture)
    return gallery.of(list(made_by.models) or gallery.models), bench.preset.size


def _present(gallery: galleries.Gallery) -> list[str]:
    """Return the models that drew two pictures of at least half of the prompts."""
    counts = gallery.pictures.groupby(["prompt", "generator"]).size().unstack(fill_value=0)
    return sorted(counts.columns[(counts >= 2).mean() >= 0.5])


def drawn(bench: Bench, count: int) -> pd.DataFrame:
    """Let every model of the bench draw `count` pictures of each prompt; columns of a gallery."""
    import pandas as pd

    texts = presets.draw(bench.setting.prompts("evaluation"), max(bench.n, 3), bench.seed)
    ids = [prompt_id(text) for text in texts]
    prompts = pd.DataFrame({"prompt_id": ids, "prompt": texts})
    progress = bench.under("gallery")
    generated = pipeline.generate(prompts, bench.zoo, count, bench.seed, bench.store, progress)
    generated = generated.dropna(subset="candidate_id").merge(prompts, on="prompt_id")
    generated = generated.rename(columns={"candidate_id": "image_id"}).drop_duplicates("image_id")
    sizes = [bench.store.picture(name).size for name in generated["image_id"]]
    generated = generated.assign(
        width=[w for w, _ in sizes], height=[h for _, h in sizes], format=".png"
    )
    return generated[list(galleries.COLUMNS)].reset_index(drop=True)
