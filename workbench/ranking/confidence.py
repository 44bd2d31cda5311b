"""Confidence of a call: a calibrated probability for each candidate model.

`Confidence` learns from calibration pictures of known source how probable each candidate model is
to have made a picture, and from what confidence on a call is reliable (`fixed_sequence`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames
from workbench.plugin import Fitted
from workbench.ranking.fixed_sequence import threshold, thresholds
from workbench.ranking.rank import decide, rank

if TYPE_CHECKING:
    import pandas as pd

FLOOR = 1e-3
"""Smallest margin that is told from none, as a share of the usual one."""


@dataclass(frozen=True)
class Confidence:
    """Turn the scores of a picture into the probability of each candidate model.

    P(k) = softmax(W z + b)_k, a multinomial logistic regression (Cox 1958, J. R. Stat. Soc. B
    20:215) with equal prior probabilities. z are the standardised features: the score of each
    model; which model is called, the first of the ranking; the log of its margin over the second
    and, where it is given, the agreement with it, each by the model called; and other columns
    that were given, such as whether the prompt was truncated. What is missing counts as the mean.

    It is trained on pictures of known source, however training-free the scores are.

    Args:
        fitted: what `fit_confidence` learned; `read` makes it of a preset's lines.
    """

    fitted: Fitted

    @property
    def models(self) -> tuple[str, ...]:
        """The candidate models that it was learned for, in the order of their names."""
        return tuple(self.fitted["models"].tolist())

    @property
    def thresholds(self) -> dict[str, float]:
        """Smallest confidence at which a call is accepted, for each model called; inf for never."""
        return dict(zip(self.models, self.fitted["thresholds"].tolist(), strict=True))

    def __call__(self, scores: pd.DataFrame, extras: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the probability of each model for each picture.

        Args:
            scores: frame of that name, of one attributor, for just the models it was learned for.
            extras: ``image_id`` and the columns it was learned with; may be left out without any.

        Returns:
            frame with image_id, generator, probability (their sum is 1 for each picture; missing
            where none could be compared) and ``called`` (bool).

        Raises:
            ValueError: other models, several attributors, or an extra column is missing.
        """
        given = tuple(self.fitted["extras"].tolist())
        unit = float(self.fitted["unit"])
        features = _features(scores, extras, given, self.models, unit)
        parts = [self.fitted[name] for name in ("means", "scales", "weights", "intercepts")]
        return _frame(_probabilities(features.to_numpy(), *parts), features, self.models)

    def accept(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        """Accept the calls whose confidence reaches the threshold of the model called.

        Args:
            probabilities: what calling this answered.

        Returns:
            frame with image_id, called, confidence, threshold and ``accepted`` (bool), a row for
            each picture that could be compared.
        """
        table = calls(probabilities)
        table["threshold"] = table["called"].map(self.thresholds).astype(float)
        table["accepted"] = table["confidence"] >= table["threshold"]
        return table

    def toml(self) -> str:
        """Return the lines of TOML that `read` takes back without loss; ``inf`` as text.

        >>> shared = {"models": ["a", "b"], "extras": [], "unit": 0.1, "means": [0.0]}
        >>> learned = {"scales": [1.0], "weights": [[0.5], [-0.5]], "intercepts": [0.0, 0.0]}
        >>> table = {"pictures": 8, **shared, **learned, "thresholds": [0.75, "inf"]}
        >>> print(Confidence.read(table).toml().splitlines()[-3])
        confidence.thresholds = [0.75, "inf"]
        """
        arrays = {name: value.tolist() for name, value in self.fitted.arrays.items()}
        rows = {"pictures": self.fitted.pictures, **arrays}
        return "".join(f"confidence.{name} = {_literal(value)}\n" for name, value in rows.items())

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Confidence:
        """Read what `toml` wrote, the table below ``confidence``.

        Raises:
            ValueError: a line is missing or of another length.
        """
        missing = [name for name in ("pictures", *_ARRAYS) if name not in table]
        if missing:
            raise ValueError(f"the lines of a confidence lack {', '.join(missing)}")
        text = {name: np.array(table[name], dtype=str) for name in ("models", "extras")}
        numbers = {name: np.array(table[name], dtype=float) for name in _ARRAYS if name not in text}
        kinds, wide = len(text["models"]), numbers["means"].shape
        shapes = {"unit": (), "means": wide, "scales": wide, "weights": (kinds, *wide)}
        shapes |= {"intercepts": (kinds,), "thresholds": (kinds,)}
        for name, shape in shapes.items():
            if numbers[name].shape != shape:
                raise ValueError(
                    f"the line {name!r} of a confidence of {kinds} models has the shape {shape}; "
                    f"seen {numbers[name].shape}"
                )
        return cls(Fitted(int(table["pictures"]), {**text, **numbers}))


_ARRAYS = "models extras unit means scales weights intercepts thresholds".split()


def calls(probabilities: pd.DataFrame) -> pd.DataFrame:
    """Return the model called for each picture and its probability, the confidence of the call.

    Args:
        probabilities: of a `Confidence`, or of `cross_fit`.

    Returns:
        frame with image_id, called and confidence.
    """
    called = probabilities[probabilities["called"] & probabilities["probability"].notna()]
    names = {"generator": "called", "probability": "confidence"}
    return called.rename(columns=names | {"called": "_"})[
        ["image_id", *names.values()]
    ].reset_index(drop=True)


def fit_confidence(
    scores: pd.DataFrame,
    truth: pd.DataFrame,
    extras: pd.DataFrame | None = None,
    *,
    by_model: bool = False,
    penalty: float = 1.0,
    folds: int = 10,
    seed: int = 0,
) -> Confidence:
    """Fit a `Confidence` on calibration pictures, and its thresholds on other prompts' fits.

    The threshold is found on the confidences that `cross_fit` gives, so no picture has helped to
    make its own; the model that is kept learns from all of them.

    Args:
        scores: frame of that name, of one attributor.
        truth: ``image_id``, ``truth`` (a generator) and ``prompt``.
        extras: ``image_id`` and further columns of numbers; ``agreement`` is the share of settings
            (layers, similarities) whose best model is the one called.
        by_model: a threshold for each model called (`thresholds`), not one for all (`threshold`).
        penalty: of the ridge, penalty · ‖W‖² / 2.
        folds: of the cross-fit.
        seed: likewise.

    Raises:
        ValueError: as `cross_fit` raises it.
    """
    names, given = _learnable(scores, truth), _columns(extras)
    unit = _unit(scores)
    outside = cross_fit(scores, truth, extras, penalty=penalty, folds=folds, seed=seed)
    judged = truth[["image_id", "truth", "prompt"]].merge(calls(outside), on="image_id")
    parts = judged["confidence"], judged["truth"] == judged["called"]
    prompts = judged["prompt"].fillna(judged["image_id"])
    if by_model:
        limits = thresholds(*parts, judged["called"], prompts)
    else:
        limits = dict.fromkeys(names, threshold(*parts, prompts))
    features = _features(scores, extras, given, names, unit).reindex(truth["image_id"])
    means, scales, weights, intercepts = _regression(
        features.to_numpy(), truth["truth"].to_numpy(dtype=str), names, penalty
    )
    arrays = {"models": np.array(names, dtype=str), "extras": np.array(given, dtype=str)}
    arrays |= {"unit": np.array(unit), "means": means, "scales": scales, "weights": weights}
    arrays["intercepts"] = intercepts
    arrays["thresholds"] = np.array([limits.get(name, np.inf) for name in names])
    return Confidence(Fitted(len(truth), arrays))


def cross_fit(
    scores: pd.DataFrame,
    truth: pd.DataFrame,
    extras: pd.DataFrame | None = None,
    *,
    penalty: float = 1.0,
    folds: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Return for each calibration picture the probabilities by a `Confidence` of other prompts.

    Args:
        scores: as of `fit_confidence`.
        truth: likewise.
        extras: likewise.
        penalty: likewise.
        folds: into which the prompts are dealt; a prompt each, where there are fewer prompts.
        seed: of the dealing.

    Returns:
        frame as a `Confidence` answers it.

    Raises:
        ValueError: there are fewer than two prompts, or so few that a fold leaves a model without
            pictures to learn from.
    """
    from sklearn.model_selection import GroupKFold

    names = _learnable(scores, truth)
    features = _features(scores, extras, _columns(extras), names, _unit(scores))
    values = features.reindex(truth["image_id"]).to_numpy()
    own = truth["truth"].to_numpy(dtype=str)
    groups = truth["prompt"].fillna(truth["image_id"]).to_numpy(dtype=str)
    parts = GroupKFold(min(folds, len(set(groups))), shuffle=True, random_state=seed)
    probabilities = np.full((len(truth), len(names)), np.nan)
    for inside, outside in parts.split(values, groups=groups):
        learned = _regression(values[inside], own[inside], names, penalty)
        probabilities[outside] = _probabilities(values[outside], *learned)
    first = ~truth["image_id"].duplicated().to_numpy()
    return _frame(probabilities[first], features.loc[truth["image_id"].to_numpy()[first]], names)


def _learnable(scores: pd.DataFrame, truth: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of the models, when there is something to learn of them."""
    names = tuple(sorted({str(name) for name in scores["generator"]}))
    prompts = truth["prompt"].fillna(truth["image_id"]).nunique()
    if len(names) < 2 or prompts < 2:
        raise ValueError(
            "a confidence is learned from pictures of two models and two prompts at least; seen "
            f"{len(names)} and {prompts}"
        )
    return names


def _columns(extras: pd.DataFrame | None) -> tuple[str, ...]:
    return () if extras is None else tuple(sorted(set(extras.columns) - {"image_id"}))


def _unit(scores: pd.DataFrame) -> float:
    """Return the usual margin, the median of those above 0; 1 where there is none."""
    margins = decide(rank(scores))["margin"]
    median = margins[margins > 0].median()
    return float(median) if median > 0 else 1.0


def _features(
    scores: pd.DataFrame,
    extras: pd.DataFrame | None,
    given: Sequence[str],
    names: Sequence[str],
    unit: float,
) -> pd.DataFrame:
    """Return the features of each picture, by image; NaN where none could be compared."""
    import pandas as pd

    table = frames.check(scores, "scores")
    if table["attributor"].nunique() > 1:
        seen = ", ".join(table["attributor"].unique())
        raise ValueError(f"a confidence is of one attributor at a time; seen {seen}")
    if set(table["generator"]) - set(names):
        other = ", ".join(sorted(set(table["generator"]) - set(names)))
        raise ValueError(f"the confidence is learned for {', '.join(names)}; seen {other}")
    wide = table.pivot(index="image_id", columns="generator", values="score")
    wide = wide.reindex(columns=list(names))
    decided = decide(rank(table)).set_index("image_id").reindex(wide.index)
    hot = (decided["predicted"].to_numpy()[:, None] == np.array(names, dtype=object)).astype(float)
    margin = np.log(np.maximum(decided["margin"].to_numpy(dtype=float) / unit, FLOOR))
    blocks = [wide.to_numpy(dtype=float), hot, np.where(hot > 0, margin[:, None], 0.0)]
    for name in given:
        if extras is None or name not in extras:
            raise ValueError(f"the confidence is learned with a column {name!r}, which is missing")
        column = extras.drop_duplicates("image_id").set_index("image_id")[name]
        value = column.reindex(wide.index).to_numpy(dtype=float)[:, None]
        blocks.append(np.where(hot > 0, value, 0.0) if name == "agreement" else value)
    values = np.concatenate(blocks, axis=1)
    values[decided["predicted"].isna().to_numpy()] = np.nan
    return pd.DataFrame(values, index=wide.index)


def _regression(
    values: np.ndarray, truth: np.ndarray, names: Sequence[str], penalty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit means and scales (F,), weights (K, F) and intercepts (K,)."""
    from sklearn.linear_model import LogisticRegression

    known = ~np.isnan(values).all(axis=1)
    values, truth = values[known], truth[known]
    silent = sorted(set(names) - set(truth))
    if silent:
        raise ValueError(
            f"there is no calibration picture of {', '.join(silent)} to learn from; more prompts "
            "are needed"
        )
    seen = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    means = np.nansum(values, axis=0) / seen
    scales = np.sqrt(np.nansum((values - means) ** 2, axis=0) / seen)
    scales = np.where(scales > 0, scales, 1.0)
    model = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=10_000)
    model.fit(np.nan_to_num((values - means) / scales), truth)
    weights, intercepts = model.coef_, model.intercept_
    if len(weights) == 1:  # two models: the logit of the second, against 0
        weights = np.concatenate([np.zeros_like(weights), weights])
        intercepts = np.append(0.0, intercepts)
    return means, scales, weights, intercepts


def _probabilities(
    values: np.ndarray,
    means: np.ndarray,
    scales: np.ndarray,
    weights: np.ndarray,
    intercepts: np.ndarray,
) -> np.ndarray:
    """Return (N, K) probabilities of (N, F) features; NaN where all of them are."""
    from scipy.special import softmax

    z = np.nan_to_num((values - means) / scales)
    probabilities = softmax((z[:, None, :] * weights).sum(axis=2) + intercepts, axis=1)
    return np.where(np.isnan(values).all(axis=1)[:, None], np.nan, probabilities)


def _frame(probabilities: np.ndarray, features: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return probabilities as rows, the model called marked."""
    import pandas as pd

    hot = features.to_numpy()[:, len(names) : 2 * len(names)] == 1
    return pd.DataFrame(
        {
            "image_id": np.repeat(features.index.to_numpy(dtype=object), len(names)),
            "generator": np.tile(np.array(names, dtype=object), len(features)),
            "probability": probabilities.ravel(),
            "called": hot.ravel(),
        }
    )


def _literal(value: Any) -> str:
    """Return a value as TOML: numbers in full, ``inf`` as text."""
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if value == float("inf"):
        return '"inf"'
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
