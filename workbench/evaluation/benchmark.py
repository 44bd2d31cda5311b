"""Experiments: attributors on test images of known source, and the evaluation of a preset.

Resumable through the store alone: a killed evaluation, started again, makes what is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import catalogue, frames, pipeline, ranking
from workbench.attacks import without_intensity
from workbench.attribution.deciding import Decisions, decide
from workbench.attribution.fitting import fit
from workbench.attributors import Stages
from workbench.attributors.reference_bank import ReferenceBank
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting, settle
from workbench.evaluation import metrics
from workbench.evaluation.likelihood import cost, ratios
from workbench.evaluation.signatures import signature
from workbench.inverters.natural import Natural
from workbench.paths import names_only
from workbench.pipeline.progress import Progress, under
from workbench.similarities.colours import Colours
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


INTERVALS = "exact with a design effect over scenes"
"""How the intervals of a summary were found (`statistics.accuracy_interval`)."""
CONTROLS = ("natural", "arbitrary_bank", "matched_bank", "colour_alone")
CHOSEN = {"none": (), "natural": ("natural",), "all": CONTROLS}
"""Which of the controls that draw pictures an evaluation runs, by the name that is asked for."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: frames by name, summary as plain values, closing sentence.

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

        Of an archive named by a path in full, its name alone is told.

        Raises OSError where it cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self.frames.items():
            frames.without_folders(frame).to_parquet(folder / f"{name}.parquet", index=False)
        text = json.dumps(names_only(self.summary), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return folder


def evaluate(
    attributors: Mapping[str, Any] | Sequence[Any],
    images: pd.DataFrame,
    zoo: Mapping[str, Any],
    *,
    truth: pd.DataFrame | None = None,
    settings: Mapping[str, Setting] | None = None,
    attacks: Sequence[Any] = (),
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, pd.DataFrame]:
    """Evaluate attributors on the same images, untouched and under attacks.

    Args:
        attributors: Attributors, or a mapping of short names to them, which go into the progress;
            the tables name them by their repr, and one that appears twice runs once.
        images: frame of that name; ``source`` and ``prompt`` are the truth unless it is given.
        zoo: name → Generator.
        truth: as of `pipeline.make_queries`.
        settings: by short name, the setting whose calibration decides; a forced choice for the
            others.
        attacks: Attacks; the same one twice counts once. All pictures, untouched and attacked, are
            attributed together, and a caption that an attack did not change keeps its candidates.
        store: where everything made is kept.
        seed: the run's seed.
        progress: called with ("short name: stage", done, total), and ("attack: attack", …).

    Returns:
        frames by name: images; prompts, candidates, similarities of the first attributor; scores,
        rankings, attributions, outcomes, evaluations of all; probabilities of those that have a
        confidence. Outcomes and evaluations tell the
        attack and its intensity, "none" and 0 for the untouched; equal pictures are one image, and
        its row in images names the first attack that led to it.
    """
    import pandas as pd

    if truth is None:
        truth = images.rename(columns={"source": "truth"})
    images, truth = _under_attack(images, truth, attacks, store, seed, progress)
    if not isinstance(attributors, Mapping):
        attributors = {repr(part): part for part in attributors}
    stages: dict[str, Stages] = {}
    decided: list[Decisions] = []
    for name, attributor in attributors.items():
        if repr(attributor) in stages:
            continue
        tell = under(name, progress)
        own = attributor(images, zoo, store=store, seed=seed, progress=tell)
        stages[repr(attributor)] = own
        setting = (settings or {}).get(name)
        if setting is None:
            rankings = ranking.rank(own.scores)
            decided.append(Decisions(rankings, ranking.decide(rankings)))
        else:
            setting = replace(setting, attributor=attributor)
            decided.append(decide(setting, images, own, store, tell))
    first = next(iter(stages.values()))
    rankings = pd.concat([part.rankings for part in decided], ignore_index=True)
    attributions = pd.concat([part.attributions for part in decided], ignore_index=True)
    sure = [part.probabilities for part in decided if part.probabilities is not None]
    probabilities = {"probabilities": pd.concat(sure, ignore_index=True)} if sure else {}
    outcomes = metrics.outcomes(attributions, rankings, truth)
    return {
        "images": images,
        "prompts": first.prompts,
        "candidates": first.candidates,
        "similarities": first.similarities,
        "scores": pd.concat([part.scores for part in stages.values()], ignore_index=True),
        "rankings": rankings,
        "attributions": attributions,
        "outcomes": outcomes,
        "evaluations": metrics.measure(outcomes),
        **probabilities,
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
    controls: str = "natural",
    treat_alike: bool = False,
    portion: str = "evaluation",
) -> Evaluation:
    """Evaluate a preset on fresh pictures: the same n evaluation prompts for every model.

    Beside it, at equal γ: the natural prompt instead of the inverted one; an arbitrary and a
    matched reference bank (no regeneration), where all controls are asked for; and chance.

    Args:
        preset: a name, a `Preset`, or a `Setting`.
        n: prompts, drawn with the seed from those of the portion.
        gamma: candidate images per model.
        seed: of the draw and the pictures.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).
        zoo: another zoo: a name, ``"A,B"``, a list, or name → Generator.
        inverter: another inverter: a name, a repr or an object.
        similarity: another similarity: a name, a repr or an object.
        aggregate: another aggregation. What is really changed loses the preset's threshold.
        controls: ``none``, ``natural`` or ``all``; the banks draw 15 times as many pictures.
        treat_alike: let candidates go the test picture's way, those of the controls too.
        portion: of the preset's prompts, ``evaluation`` or those frozen for a ``release``.

    Returns:
        an `Evaluation`; accuracies are of the forced choice, and what failed is a miss.

    Raises:
        LookupError: a name is unknown, or weights or prompts are missing.
        ValueError: n or an option makes no sense.
        StoreError: the store cannot be used.
    """
    named = chosen(controls)
    given = preset.preset if isinstance(preset, Setting) else presets.preset(preset)
    texts = presets.draw(presets.prompts(given, portion), n, seed)  # told before weights are
    setting = settle(
        preset,
        zoo=zoo,
        inverter=inverter,
        similarity=similarity,
        aggregate=aggregate,
        gamma=gamma,
        seed=seed,
        treat_alike=treat_alike,
    )
    row, models = setting.preset, setting.zoo
    methods = _methods(setting, named)
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
        settings={"regeneration": setting},
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
        "portion": portion,
        "intervals": INTERVALS,
        "weights": catalogue.weights(methods["regeneration"], *models.values()),
    }
    names = {kind: repr(method) for kind, method in methods.items()}
    outcomes = {
        kind: tables["outcomes"][tables["outcomes"]["attributor"] == name]
        for kind, name in names.items()
    }
    sentence = signature(outcomes["regeneration"], list(models), outcomes.get("natural"))
    good = truth.merge(images.loc[images["failure"].isna(), ["image_id"]], on="image_id")
    sizes = [store.picture(name).size for name in good["image_id"]]
    sized = metrics.by_size(sizes, list(good["truth"]))
    return Evaluation(_summary(settings, tables, names, sized), sentence, names, tables)


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

    tools, measures = ({repr(tool): tool for tool in some} for some in (inverters, similarities))
    if not tools or not measures:
        raise ValueError(
            "crossing needs at least one inverter and one similarity; "
            f"seen {len(tools)} and {len(measures)}"
        )
    prompts = pd.concat(
        [
            pipeline.invert(images, tool, store, under(name, progress))
            for name, tool in tools.items()
        ],
        ignore_index=True,
    )
    candidates = pipeline.generate(prompts, zoo, gamma, seed, store, progress)
    _encode_layers(images, candidates, measures.values(), store, size, progress)
    pairs = prompts.drop_duplicates(["image_id", "prompt_id"])
    values = [
        pipeline.similarity(images, pairs, candidates, tool, store, size, under(name, progress))
        for name, tool in measures.items()
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
    for measure in similarities:
        encoder: Any = getattr(measure, "encoder", None)
        if hasattr(encoder, "layers") and hasattr(encoder, "at"):
            groups.setdefault(repr(encoder.at(None)), {})[encoder.layer] = encoder
    good = images[images["failure"].isna()]
    load = pipeline.pictures_of(good, store)
    for group in groups.values():
        if len(group) > 1:
            ids = [*good["image_id"], *candidates["candidate_id"].dropna()]
            first = next(iter(group.values()))
            pipeline.encode_layers(ids, first, list(group), store, size, progress, load)


def chosen(controls: str) -> tuple[str, ...]:
    """Return the controls of a name; ValueError where there is none."""
    if controls not in CHOSEN:
        raise ValueError(f"no controls named {controls!r}; there are: {', '.join(CHOSEN)}")
    return CHOSEN[controls]


def _methods(setting: Setting, controls: Sequence[str]) -> dict[str, Any]:
    """Return the attributor of a setting and those of its controls, at equal γ."""
    methods: dict[str, Any] = {"regeneration": setting.regeneration()}
    if "natural" in controls:
        methods["natural"] = setting.regeneration(inverter=Natural())
    if "arbitrary_bank" in controls:
        shared = {**setting.parts, "prompts": tuple(setting.prompts("bank"))}
        methods["arbitrary_bank"] = ReferenceBank(**shared, matched=False)
        if hasattr(getattr(setting.similarity, "encoder", None), "text"):
            methods["matched_bank"] = ReferenceBank(**shared)
    colour = setting.regeneration(similarity=Colours())
    if colour != methods["regeneration"]:
        methods["colour_alone"] = colour  # of the same candidates: nothing more is drawn
    return methods


def _summary(
    settings: dict[str, Any],
    tables: dict[str, pd.DataFrame],
    names: dict[str, str],
    sized: float,
) -> dict[str, Any]:
    """Return an evaluation as plain values, None where a number is not defined."""
    table = tables["evaluations"].set_index(["attributor", "metric", "slice"])
    own, labels = names["regeneration"], settings["zoo"]

    def interval(name: str, metric: str, part: str = "all") -> dict[str, Any]:
        row = table.loc[(name, metric, part)]
        values = {key: _number(row[key]) for key in ("value", "low", "high")}
        return {**values, "n": int(row["n"])}

    outcomes = tables["outcomes"][tables["outcomes"]["attributor"] == own]
    counts = metrics.confusion(outcomes, labels)
    controls: dict[str, Any] = {
        kind: interval(names[kind], "accuracy") if kind in names else None for kind in CONTROLS
    }
    controls |= {"size_alone": {"value": _number(sized)}, "chance": {"value": 1 / len(labels)}}
    return {
        "settings": settings,
        "accuracy": interval(own, "accuracy"),
        "warnings": metrics.warnings(interval(own, "accuracy")["value"], controls),
        "coverage": interval(own, "coverage")["value"],
        "accuracy_accepted": interval(own, "accuracy_accepted")["value"],
        "per_model": {name: interval(own, "accuracy", name) for name in labels},
        "top2": interval(own, "top2")["value"],
        "mrr": interval(own, "mrr")["value"],
        "cllr": _cost(tables),
        "confusion": {"labels": list(labels), "counts": counts.to_numpy().tolist()},
        "controls": controls,
    }


def _cost(tables: dict[str, pd.DataFrame]) -> dict[str, Any] | None:
    """Return the cost of the likelihood ratios, None where the setting has no confidence."""
    if "probabilities" not in tables:
        return None
    table = ratios(tables["probabilities"], tables["outcomes"][["image_id", "truth", "prompt"]])
    try:
        costs = cost(table["log10_lr"], table["same"])
    except ValueError:  # none of the pictures could be compared
        return None
    return {**asdict(costs), "loss": costs.loss, "n": int(table["image_id"].nunique())}


def _under_attack(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    attacks: Sequence[Any],
    store: Store,
    seed: int,
    progress: Progress | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images with their attacked copies, and the truth about all of them."""
    import pandas as pd

    conditions = [(images, truth)]
    for attack in {(without_intensity(a), float(a.intensity)): a for a in attacks}.values():
        named = under(repr(attack), progress)
        conditions.append(pipeline.attacked_queries(images, truth, attack, store, seed, named))
    if len(conditions) == 1:
        return images, truth
    table, known = (
        pd.concat(tables, ignore_index=True) for tables in zip(*conditions, strict=True)
    )
    return frames.check(table.drop_duplicates("image_id"), "images"), known


def _name(plugin: Any) -> str | None:
    return plugin if plugin is None or isinstance(plugin, str) else repr(plugin)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
