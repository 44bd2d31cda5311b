"""Experiments: attributors on test images of known source, and the evaluation of a preset.

Resumable through the store alone: a killed evaluation, started again, makes what is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import catalogue, frames, pipeline, ranking
from workbench.attacks import without_intensity
from workbench.attribution.fitting import fit
from workbench.attributors import Stages
from workbench.attributors.reference_bank import ReferenceBank
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting, settle
from workbench.evaluation import metrics
from workbench.evaluation.signatures import signature
from workbench.inverters.natural import Natural
from workbench.pipeline.progress import Progress, under
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


CONTROLS = ("natural", "arbitrary_bank", "matched_bank")


@dataclass(frozen=True)
class Evaluation:
    """Hold an evaluation: its frames by name, its summary as plain values, its closing sentence.

    ``frames``: images, prompts, candidates, similarities of the attributor itself; scores,
    rankings, attributions, outcomes, evaluations of its controls too. ``attributors``: the name in
    the frames of ``regeneration`` and of each control.
    """

    summary: dict[str, Any]
    sentence: str
    attributors: dict[str, str]
    frames: dict[str, pd.DataFrame] = field(repr=False)

    def save(self, folder: str | Path) -> Path:
        """Write every frame as Parquet, and summary.json, into a folder; answer it.

        Raises OSError where it cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self.frames.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        text = json.dumps(self.summary, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return folder


def evaluate(
    attributors: Mapping[str, Any] | Sequence[Any],
    images: pd.DataFrame,
    zoo: Mapping[str, Any],
    *,
    truth: pd.DataFrame | None = None,
    thresholds: Mapping[str, float | None] | None = None,
    attacks: Sequence[Any] = (),
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, pd.DataFrame]:
    """Let attributors attribute the same images, untouched and under attacks, and measure them.

    Args:
        attributors: Attributors, or a mapping of short names to them, which go into the progress;
            the tables name them by their repr, and one that appears twice runs once.
        images: frame of that name; ``source`` and ``prompt`` are the truth unless it is given.
        zoo: name → Generator.
        truth: as of `pipeline.make_queries`.
        thresholds: the smallest accepted margin by short name; a forced choice for the others.
        attacks: Attacks; the same one twice counts once. All pictures, untouched and attacked, are
            attributed together, and a caption that an attack did not change keeps its candidates.
        store: where everything made is kept.
        seed: the run's seed.
        progress: called with ("short name: stage", done, total), and ("attack: attack", …).

    Returns:
        frames by name: images; prompts, candidates, similarities of the first attributor; scores,
        rankings, attributions, outcomes, evaluations of all. Outcomes and evaluations tell the
        attack and its intensity, "none" and 0 for the untouched; equal pictures are one image, and
        its row in images names the first attack that led to it.
    """
    import pandas as pd

    if truth is None:
        truth = images.rename(columns={"source": "truth"})
    images, truth = _under_attack(images, truth, attacks, store, seed, progress)
    if not isinstance(attributors, Mapping):
        attributors = {repr(each): each for each in attributors}
    stages: dict[str, Stages] = {}
    decided = []
    for name, attributor in attributors.items():
        if repr(attributor) in stages:
            continue
        made = attributor(images, zoo, store=store, seed=seed, progress=under(name, progress))
        stages[repr(attributor)] = made
        rankings = ranking.rank(made.scores)
        decided.append((rankings, ranking.decide(rankings, (thresholds or {}).get(name))))
    first = next(iter(stages.values()))
    rankings = pd.concat([each for each, _ in decided], ignore_index=True)
    attributions = pd.concat([each for _, each in decided], ignore_index=True)
    outcomes = metrics.outcomes(attributions, rankings, truth)
    return {
        "images": images,
        "prompts": first.prompts,
        "candidates": first.candidates,
        "similarities": first.similarities,
        "scores": pd.concat([each.scores for each in stages.values()], ignore_index=True),
        "rankings": rankings,
        "attributions": attributions,
        "outcomes": outcomes,
        "evaluations": metrics.measure(outcomes),
    }


def evaluate_preset(
    preset: str | Preset | Setting = "pocket",
    n: int = 100,
    gamma: int | None = None,
    seed: int = 0,
    *,
    store: Store | None = None,
    progress: Progress | None = None,
    zoo: Any = None,
    inverter: Any = None,
    similarity: Any = None,
    aggregate: str | None = None,
) -> Evaluation:
    """Evaluate a preset on fresh pictures: the same n evaluation prompts for every model.

    Beside it, at equal γ: the natural prompt instead of the inverted one, an arbitrary and a
    matched reference bank (no regeneration), and chance.

    Args:
        preset: a name, a `Preset`, or a `Setting`.
        n: prompts, drawn with the seed from the preset's evaluation prompts.
        gamma: candidate images per model.
        seed: of the draw and the pictures.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).
        zoo: another zoo: a name, ``"A,B"``, a list, or name → Generator.
        inverter: another inverter: a name, a repr or an object.
        similarity: another similarity: a name, a repr or an object.
        aggregate: another aggregation. What is really changed loses the preset's threshold.

    Returns:
        an `Evaluation`; accuracies are of the forced choice, and what failed is a miss.

    Raises:
        LookupError: a name is unknown, or weights or prompts are missing.
        ValueError: n or an option makes no sense.
        StoreError: the store cannot be used.
    """
    given = preset.preset if isinstance(preset, Setting) else presets.preset(preset)
    texts = presets.draw(presets.prompts(given, "evaluation"), n, seed)  # told before weights are
    setting = settle(
        preset,
        zoo=zoo,
        inverter=inverter,
        similarity=similarity,
        aggregate=aggregate,
        gamma=gamma,
        seed=seed,
    )
    row, models = setting.preset, setting.zoo
    methods = _methods(setting)
    if store is None:
        store = Store()
    methods = {
        kind: fit(method, setting, seed, store, under(kind, progress))
        for kind, method in methods.items()
    }
    images, truth = pipeline.make_queries(texts, models, store, seed, under("pictures", progress))
    tables = evaluate(
        methods,
        images,
        models,
        truth=truth,
        thresholds={"regeneration": setting.threshold},
        store=store,
        seed=seed,
        progress=progress,
    )
    settings = {
        "preset": row.name,
        "attributor": repr(methods["regeneration"]),
        "zoo": list(models),
        "inverter": repr(setting.inverter),
        "similarity": repr(setting.similarity),
        "aggregate": row.aggregate,
        "gamma": row.gamma,
        "size": row.size,
        "threshold": "inf" if setting.threshold == math.inf else setting.threshold,
        "threshold_from": setting.threshold_from,
        "n": n,
        "seed": seed,
        "weights": catalogue.weights(methods["regeneration"], *models.values()),
    }
    names = {kind: repr(method) for kind, method in methods.items()}
    outcomes = {
        kind: tables["outcomes"][tables["outcomes"]["attributor"] == name]
        for kind, name in names.items()
    }
    sentence = signature(outcomes["regeneration"], list(models), outcomes["natural"])
    return Evaluation(_summary(settings, tables, names), sentence, names, tables)


def crossed(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    zoo: Mapping[str, Any],
    *,
    inverters: Sequence[Any],
    similarities: Sequence[Any],
    gamma: int,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
    size: int = 64,
) -> dict[str, pd.DataFrame]:
    """Cross every inverter with every similarity on the same images, up to γ candidate images.

    What aggregation and a smaller γ would have answered follows from these frames alone, so that
    `widgets.Comparer` changes at once. Encoders that differ only by their layer share a pass.

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``.
        truth: as of `pipeline.make_queries`.
        zoo: name → Generator.
        inverters: Inverters; two of one repr count once, as with similarities.
        similarities: Similarities.
        gamma: candidate images per model, at least 1.
        store: where everything made is kept.
        seed: of the candidates.
        progress: called with ("inverter: invert", done, total), ("generate", …), ("encode", …) and
            ("similarity: similarity", …).
        size: side in pixels every picture goes to first.

    Returns:
        frames by name: images, truth, prompts of every inverter, candidates of every prompt (a text
        that two inverters found once), similarities of every similarity. ``seconds`` of prompts and
        candidates are those of their making, however long ago.

    Raises:
        ValueError: there is no inverter, no similarity, or γ is below 1.
        LookupError: weights are missing.
    """
    import pandas as pd

    tools, measures = ({repr(each): each for each in some} for some in (inverters, similarities))
    if not tools or not measures:
        raise ValueError(
            "crossing needs at least one inverter and one similarity; "
            f"seen {len(tools)} and {len(measures)}"
        )
    prompts = pd.concat(
        [
            pipeline.invert(images, each, store, under(name, progress))
            for name, each in tools.items()
        ],
        ignore_index=True,
    )
    candidates = pipeline.generate(prompts, zoo, gamma, seed, store, progress)
    _encode_layers(images, candidates, measures.values(), store, size, progress)
    pairs = prompts.drop_duplicates(["image_id", "prompt_id"])
    values = [
        pipeline.similarity(images, pairs, candidates, each, store, size, under(name, progress))
        for name, each in measures.items()
    ]
    return {
        "images": frames.check(images, "images"),
        "truth": truth,
        "prompts": prompts,
        "candidates": candidates,
        "similarities": pd.concat(values, ignore_index=True),
    }


def _encode_layers(
    images: pd.DataFrame,
    candidates: pd.DataFrame,
    similarities: Iterable[Any],
    store: Store,
    size: int,
    progress: Progress | None,
) -> None:
    """Encode all pictures in one pass for the encoders that differ only by their layer."""
    groups: dict[str, dict[int | None, Any]] = {}
    for each in similarities:
        encoder: Any = getattr(each, "encoder", None)
        if hasattr(encoder, "layers") and hasattr(encoder, "at"):
            groups.setdefault(repr(encoder.at(None)), {})[encoder.layer] = encoder
    good = images[images["failure"].isna()]
    load = pipeline.pictures_of(good, store)
    for group in groups.values():
        if len(group) > 1:
            ids = [*good["image_id"], *candidates["candidate_id"].dropna()]
            first = next(iter(group.values()))
            pipeline.encode_layers(ids, first, list(group), store, size, progress, load)


def _methods(setting: Setting) -> dict[str, Any]:
    """Make the attributor of a setting and those of its controls, at equal γ."""
    bank = tuple(setting.prompts("bank"))
    shared = {**setting.parts, "prompts": bank}
    methods: dict[str, Any] = {
        "regeneration": setting.regeneration(),
        "natural": setting.regeneration(inverter=Natural()),
        "arbitrary_bank": ReferenceBank(**shared, matched=False),
    }
    if hasattr(getattr(setting.similarity, "encoder", None), "text"):
        methods["matched_bank"] = ReferenceBank(**shared)
    return methods


def _summary(
    settings: dict[str, Any], tables: dict[str, pd.DataFrame], names: dict[str, str]
) -> dict[str, Any]:
    """Say an evaluation as plain values, None where a number is not defined."""
    table = tables["evaluations"].set_index(["attributor", "metric", "slice"])
    own, labels = names["regeneration"], settings["zoo"]

    def interval(name: str, metric: str, part: str = "all") -> dict[str, Any]:
        found = table.loc[(name, metric, part)]
        values = {key: _number(found[key]) for key in ("value", "low", "high")}
        return {**values, "n": int(found["n"])}

    outcomes = tables["outcomes"][tables["outcomes"]["attributor"] == own]
    counts = metrics.confusion(outcomes, labels)
    controls: dict[str, Any] = {
        kind: interval(names[kind], "accuracy") if kind in names else None for kind in CONTROLS
    }
    return {
        "settings": settings,
        "accuracy": interval(own, "accuracy"),
        "coverage": interval(own, "coverage")["value"],
        "accuracy_accepted": interval(own, "accuracy_accepted")["value"],
        "per_model": {name: interval(own, "accuracy", name) for name in labels},
        "top2": interval(own, "top2")["value"],
        "mrr": interval(own, "mrr")["value"],
        "confusion": {"labels": list(labels), "counts": counts.to_numpy().tolist()},
        "controls": {**controls, "chance": {"value": 1 / len(labels)}},
    }


def _under_attack(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    attacks: Sequence[Any],
    store: Store,
    seed: int,
    progress: Progress | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add what becomes of the images under each attack, and the truth about it."""
    import pandas as pd

    found = [(images, truth)]
    for attack in {(without_intensity(a), float(a.intensity)): a for a in attacks}.values():
        tell = under(repr(attack), progress)
        found.append(pipeline.attacked_queries(images, truth, attack, store, seed, tell))
    if len(found) == 1:
        return images, truth
    table = pd.concat([each for each, _ in found], ignore_index=True)
    known = pd.concat([each for _, each in found], ignore_index=True)
    return frames.check(table.drop_duplicates("image_id"), "images"), known


def _name(plugin: Any) -> str | None:
    return plugin if plugin is None or isinstance(plugin, str) else repr(plugin)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
