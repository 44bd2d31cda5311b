"""From attributions to metrics: test images of known source, outcomes, intervals, signatures.

A picture that failed anywhere counts as a miss. Intervals are bootstrapped by prompt.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames, pipeline
from workbench.attacks import without_intensity
from workbench.pipeline import Progress
from workbench.statistics import DRAWS, bootstrap_interval
from workbench.store import Store

if TYPE_CHECKING:
    import pandas as pd


def queries(
    texts: Sequence[str],
    zoo: Mapping[str, Any],
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make fresh test images: one picture of every prompt by every model, with query seeds.

    Args:
        texts: the natural prompts.
        zoo: name → Generator.
        store: where pictures are kept.
        seed: the run's seed; candidates of the same seed still differ.
        progress: called with ("generate", done, total).

    Returns:
        images frame (equal pictures once), and the truth: ``image_id``, ``truth`` (the generator),
        ``prompt`` and ``failure``, a row for each prompt and model. A picture that could not be
        made has an image_id that begins with ``query:`` and stands in the truth alone.
    """
    import pandas as pd

    table = pd.DataFrame(
        {"prompt_id": [frames.prompt_id(text) for text in texts], "prompt": list(texts)}
    )
    made = pipeline.generate(table, zoo, 1, seed, store, progress, draw=frames.query_seed)
    made = made.merge(table, on="prompt_id").rename(columns={"generator": "truth"})
    lost = [f"query:{frames.digest([row.truth, row.prompt])}" for row in made.itertuples()]
    made["image_id"] = made["candidate_id"].where(made["candidate_id"].notna(), lost)
    whole = made[made["candidate_id"].notna()].drop_duplicates("image_id")
    rows = [
        {
            "image_id": row.image_id,
            "source": row.truth,
            "prompt": row.prompt,
            "attack": "none",
            "intensity": 0.0,
        }
        for row in whole.itertuples()
    ]
    return frames.build("images", rows), made[["image_id", "truth", "prompt", "failure"]]


def attacked(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    attack: Any,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Attack test images, and let their truth follow them.

    Args:
        images: frame of that name.
        truth: of these images, as `queries` answers it.
        attack: an Attack.
        store: where attacked pictures are kept.
        seed: the run's seed.
        progress: called with ("attack", done, total).

    Returns:
        images frame (equal pictures once), and the truth with ``attack`` and ``intensity``, a row
        for each of before. What failed to be attacked is a failure in both.
    """
    made = pipeline.attacked(images, attack, store, seed, progress)
    heirs = dict(zip(images["image_id"], made["image_id"], strict=True))
    lost = dict(zip(images["image_id"], made["failure"], strict=True))
    known = truth.assign(
        image_id=truth["image_id"].map(lambda name: heirs.get(name, name)),
        failure=truth["image_id"].map(lost).astype("str"),
        attack=without_intensity(attack),
        intensity=float(attack.intensity),
    )
    if "failure" in truth:
        known["failure"] = truth["failure"].fillna(known["failure"])
    return frames.check(made.drop_duplicates("image_id"), "images"), known


def outcomes(
    attributions: pd.DataFrame, rankings: pd.DataFrame, truth: pd.DataFrame
) -> pd.DataFrame:
    """Tell for every test image and attributor whether the attribution was right.

    Args:
        attributions: frame of that name.
        rankings: frame of that name.
        truth: ``image_id``, ``truth`` (a generator), ``prompt``, and if there are any ``failure``,
            ``attack`` and ``intensity``.

    Returns:
        frame with image_id, attributor, truth, prompt, attack, intensity, predicted (missing for a
        failed image), correct, accepted, margin, rank_of_truth (missing where there is none),
        failure; a row for each row of ``truth`` and each attributor.
    """
    import pandas as pd

    known = truth[["image_id", "truth", "prompt"]].copy()
    known["failure"] = truth.get("failure")
    known = known.assign(**_condition(truth))
    names = pd.DataFrame({"attributor": attributions["attributor"].unique()})
    table = known.merge(names, how="cross")
    table = table.merge(attributions, on=["image_id", "attributor"], how="left")
    ranks = rankings[rankings["score"].notna()].rename(
        columns={"generator": "truth", "rank": "rank_of_truth"}
    )
    keys = ["image_id", "attributor", "truth"]
    table = table.merge(ranks[[*keys, "rank_of_truth"]], on=keys, how="left")
    table["rank_of_truth"] = table["rank_of_truth"].astype("float64")
    table["correct"] = (table["predicted"] == table["truth"]).fillna(False).astype(bool)
    table["accepted"] = table["accepted"].eq(True)
    silent = table["predicted"].isna() & table["failure"].isna()
    table["failure"] = table["failure"].mask(silent, "no candidate image could be compared")
    columns = ["image_id", "attributor", "truth", "prompt", "attack", "intensity", "predicted"]
    return table[[*columns, "correct", "accepted", "margin", "rank_of_truth", "failure"]]


def _condition(table: pd.DataFrame) -> dict[str, Any]:
    """Answer the columns attack and intensity; nothing said is "none" and 0."""
    default = {"attack": "none", "intensity": 0.0}
    return {
        name: table[name].fillna(value) if name in table else value
        for name, value in default.items()
    }


def metrics(outcomes: pd.DataFrame, seed: int = 0, draws: int = DRAWS) -> pd.DataFrame:
    """Summarise the outcomes under each attack with bootstrap intervals over prompts.

    The metrics, all in [0, 1] and higher is better: ``accuracy`` (forced choice), ``coverage``
    (accepted), ``accuracy_accepted`` (among the accepted alone), ``top2``, and ``mrr``, the mean of
    1 / rank of the true model, 0 for a miss. Slices: ``all``, and each true generator.

    Args:
        outcomes: what `outcomes` answers.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Returns:
        evaluations frame.
    """
    return _summarised(outcomes, _MEASURES, seed, draws)


def set_metrics(sets: pd.DataFrame, truth: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Summarise attribution sets with bootstrap intervals over prompts.

    The metrics: ``set_coverage``, the share of sets that hold the true model, and ``set_size``, the
    models in one on average. An image without a set counts as not covered, with none.

    Args:
        sets: what `decision.conformal_sets` answers.
        truth: as of `outcomes`.
        seed: of the bootstrap.

    Returns:
        evaluations frame; slices as of `metrics`.
    """
    key = ["image_id", "attributor"]
    table = truth[["image_id", "truth", "prompt"]].merge(
        sets[["attributor"]].drop_duplicates(), "cross"
    )
    size = sets.groupby(key)["included"].sum().rename("size").reset_index()
    own = sets.rename(columns={"generator": "truth", "included": "covered"})
    table = table.merge(size, "left", key).merge(own, "left", [*key, "truth"])
    table["covered"] = table["covered"].eq(True)
    table["size"] = table["size"].fillna(0)
    measures = {"set_coverage": lambda part: part["covered"], "set_size": lambda part: part["size"]}
    return _summarised(table, measures, seed, DRAWS)


def auroc(known: Sequence[float] | np.ndarray, unknown: Sequence[float] | np.ndarray) -> float:
    """Measure how well a score tells known from unknown sources: P(known > unknown) + P(equal) / 2.

    Args:
        known: scores of pictures by models of the zoo, such as `decision.known_p_values`; higher
            is more likely known, NaN (a failed picture) is lowest.
        unknown: scores of other pictures.

    Returns:
        the area under the ROC curve, in [0, 1]; chance is 0.5.

    >>> auroc([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    from sklearn.metrics import roc_auc_score

    one, two = np.asarray(known, dtype=float), np.asarray(unknown, dtype=float)
    places = _ranked(np.concatenate([one, two]))
    return float(roc_auc_score(np.arange(len(places)) < len(one), places))


def oscr(
    known: Sequence[float] | np.ndarray,
    correct: Sequence[bool] | np.ndarray,
    unknown: Sequence[float] | np.ndarray,
) -> pd.DataFrame:
    """Trace the open-set classification rate (Dhamija et al. 2018, arXiv:1811.04110).

    For a threshold θ: ccr = share of the known pictures with score ≥ θ that are attributed rightly,
    fpr = share of the unknown pictures with score ≥ θ.

    Args:
        known: (N,) scores of pictures by models of the zoo; NaN (a failed picture) is lowest.
        correct: (N,) whether each is attributed rightly.
        unknown: (M,) scores of other pictures, M ≥ 1.

    Returns:
        frame with fpr and ccr, from (0, 0) to (1, accuracy), both rising.

    >>> oscr([0.9, 0.5], [True, False], [0.1]).to_numpy().tolist()
    [[0.0, 0.0], [0.0, 0.5], [0.0, 0.5], [1.0, 0.5]]
    """
    import pandas as pd

    one, two = np.asarray(known, dtype=float), np.asarray(unknown, dtype=float)
    places = _ranked(np.concatenate([one, two]))
    levels = np.unique(places)[::-1]
    right = places[: len(one)][np.asarray(correct, dtype=bool)]
    rates = {"fpr": (places[len(one) :], len(two)), "ccr": (right, len(one))}
    curve = {
        name: np.append(0.0, (values >= levels[:, None]).sum(axis=1) / n)
        for name, (values, n) in rates.items()
    }
    return pd.DataFrame(curve)


def oscr_area(curve: pd.DataFrame) -> float:
    """Measure the area under an OSCR curve by trapezes, in [0, accuracy]; higher is better.

    Where every known picture is attributed rightly it is the `auroc`.

    >>> oscr_area(oscr([0.9, 0.5], [True, True], [0.5, 0.1]))
    0.875
    """
    from sklearn.metrics import auc

    return float(auc(curve["fpr"], curve["ccr"]))


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Replace scores by their places, which are finite; NaN comes lowest."""
    return np.unique(np.where(np.isnan(scores), -np.inf, scores), return_inverse=True)[1]


def _summarised(
    outcomes: pd.DataFrame, measures: Mapping[str, Any], seed: int, draws: int
) -> pd.DataFrame:
    """Bootstrap measures over prompts, for all and for each true generator."""
    rows = []
    outcomes = outcomes.assign(**_condition(outcomes))
    conditions = outcomes.groupby(["attributor", "attack", "intensity"], sort=False)
    for (attributor, attack, intensity), table in conditions:
        parts = [("all", table), *table.groupby("truth", sort=True)]
        for (name, part), (metric, values) in itertools.product(parts, measures.items()):
            found = bootstrap_interval(values(part), part["prompt"], draws, seed)
            rows.append(
                {
                    "attributor": attributor,
                    "attack": attack,
                    "intensity": intensity,
                    "metric": metric,
                    "slice": name,
                    "value": found.value,
                    "low": found.low,
                    "high": found.high,
                    "n": found.n,
                }
            )
    return frames.build("evaluations", rows)


_MEASURES = {
    "accuracy": lambda table: table["correct"],
    "coverage": lambda table: table["accepted"],
    "accuracy_accepted": lambda table: table["correct"].astype(float).where(table["accepted"]),
    "top2": lambda table: table["rank_of_truth"] <= 2,
    "mrr": lambda table: (1 / table["rank_of_truth"]).fillna(0.0),
}


def confusion(outcomes: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Count predictions: (K, K) integers, a row for each true and a column for each predicted one.

    Images without any prediction are in no column, so a row sums to its n less its failures.
    """
    import pandas as pd

    counts = pd.crosstab(outcomes["truth"], outcomes["predicted"])
    square = counts.reindex(index=list(labels), columns=list(labels), fill_value=0).astype(int)
    return square.rename_axis(index="truth", columns="predicted")


def signature(outcomes: pd.DataFrame, labels: Sequence[str], natural: pd.DataFrame) -> str:
    """Name the failure signatures seen in one sentence, or answer "" where there are none.

    The rules (the bounds are ours); 1 and 2 speak alone, and of 4, 5 and 6 only the first:

    1. *failures*: at least a tenth of the images could not be attributed at all.
    2. *chance*: the interval of the accuracy holds 1 / K.
    3. *poor prompts*: the natural prompt is at least 5 points better than the inverted one, and the
       interval of the difference, over prompts, lies above 0.
    4. *twin models*: K > 2, at least 5 errors, and two models exchange at least half of all errors,
       in both directions.
    5. *one weak model*: at least 5 errors, and a model 15 points or more below the accuracy of the
       others together, which lies above its interval.
    6. *one attractor*: K > 2, at least 5 errors, and one model takes at least two thirds of them.

    Args:
        outcomes: of one attributor.
        labels: the K candidate models.
        natural: outcomes of the same images with their natural prompt.
    """
    missed = float(outcomes["predicted"].isna().mean())
    if missed >= 0.1:
        return f"Failures: {missed:.0%} of the pictures could not be attributed at all."
    accuracy = bootstrap_interval(outcomes["correct"], outcomes["prompt"])
    if accuracy.low <= 1 / len(labels):
        return (
            f"At chance: {accuracy.value:.1%} right cannot be told from 1 / {len(labels)}, so the "
            "similarity does not see these models."
        )
    which = _twins(outcomes, labels) or _weak(outcomes, labels) or _attractor(outcomes, labels)
    seen = "; ".join(filter(None, [_poor_prompts(outcomes, natural), which]))
    return f"{seen[0].upper()}{seen[1:]}." if seen else ""


def _poor_prompts(outcomes: pd.DataFrame, natural: pd.DataFrame) -> str:
    key = ["image_id", "truth", "prompt"]
    pairs = outcomes.merge(natural, on=key, suffixes=("", "_natural"))
    gain = pairs["correct_natural"].astype(float) - pairs["correct"].astype(float)
    found = bootstrap_interval(gain, pairs["prompt"])
    if not (found.value >= 0.05 and found.low > 0):
        return ""
    return (
        f"poor prompts: with the natural prompt {found.value:.1%} more of the pictures are "
        f"attributed rightly ({found.low:.1%} to {found.high:.1%}), so the inverter loses what "
        "tells the models apart"
    )


def _twins(outcomes: pd.DataFrame, labels: Sequence[str]) -> str:
    counts = confusion(outcomes, labels)
    errors = int(counts.to_numpy().sum() - np.trace(counts))
    if errors < 5 or len(labels) < 3:
        return ""
    pairs = list(itertools.combinations(labels, 2))
    both = {pair: (counts.loc[pair], counts.loc[pair[::-1]]) for pair in pairs}
    one, two = max(pairs, key=lambda pair: sum(both[pair]))
    there, back = both[one, two]
    if there + back < errors / 2 or not there or not back:
        return ""
    return (
        f"twin models: {one} and {two} exchange {there + back} of the {errors} errors "
        f"({there} and {back})"
    )


def _weak(outcomes: pd.DataFrame, labels: Sequence[str]) -> str:
    if int((~outcomes["correct"]).sum()) < 5:
        return ""
    means = outcomes.groupby("truth")["correct"].mean().reindex(list(labels))
    worst = str(means.idxmin())
    own = outcomes[outcomes["truth"] == worst]
    rest = float(outcomes[outcomes["truth"] != worst]["correct"].mean())
    found = bootstrap_interval(own["correct"], own["prompt"])
    if not (found.value <= rest - 0.15 and found.high < rest):
        return ""
    return (
        f"one weak model: pictures of {worst} are attributed rightly in {found.value:.1%}, those "
        f"of the others in {rest:.1%}"
    )


def _attractor(outcomes: pd.DataFrame, labels: Sequence[str]) -> str:
    wrong = outcomes[~outcomes["correct"] & outcomes["predicted"].notna()]
    if len(wrong) < 5 or len(labels) < 3:
        return ""
    name, count = next(iter(wrong["predicted"].value_counts().items()))
    if count < len(wrong) * 2 / 3:
        return ""
    return f"one attractor: {count} of the {len(wrong)} errors are attributed to {name}"
