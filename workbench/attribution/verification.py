"""Did this model make it? One model, one question: `verify`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import images, pipeline, quiet
from workbench.attribution.fitting import calibration_pictures
from workbench.catalogue.presets import Preset
from workbench.catalogue.rows import unknown
from workbench.catalogue.setting import Setting, settle
from workbench.keys import digest
from workbench.pipeline.progress import Progress, under
from workbench.ranking import conformal, oneclass
from workbench.ranking.likelihood import verbal
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

PORTION = "threshold"
"""Of the preset's prompts: what calibrates, and took no part in choosing the setting."""
ALPHA = 0.05
"""Level of the two tests: the share of pictures of which either errs, at most."""
FEWEST = 8
"""Reference pictures that are needed at least: half of them calibrate."""
CAVEAT = (
    "This does not prove that {model} made it, nor that it did not. {against}It holds for pictures "
    "like those it was calibrated on ({own} of {model}, {others} of others): a picture that was "
    "compressed, resized, edited or prompted otherwise scores otherwise."
)
AGAINST = (
    "The ratio weighs {model} against {names} alone: a photograph, or a picture of any other "
    "model, gets one too; and it is no probability, which needs the odds before the picture was "
    "seen. "
)
VERDICTS = {
    "like": "Like pictures of {model}, and unlike those of others.",
    "unlike": "Unlike pictures of {model}.",
    "neither": "Unlike pictures of {model}, and unlike those of the others.",
    "inconclusive": "Inconclusive: {model} may have made it, or another.",
}


@dataclass(frozen=True)
class Verification:
    """What `verify` found out.

    ``scores`` has a row for each picture: image_id, score, p_made, p_other, log10_lr, failure.
    ``p_made`` is small where the picture is unlike the model's own, ``p_other`` where it is unlike
    those of others, ``log10_lr`` weighs the two; the latter two are missing without others.
    ``own`` and ``others`` count the calibration pictures, ``against`` names who made the others.
    """

    model: str
    score: str
    alpha: float
    own: int
    others: int
    against: tuple[str, ...]
    scores: pd.DataFrame = field(repr=False)
    paths: tuple[tuple[str, str], ...] = field(repr=False)
    seconds: float

    @property
    def caveat(self) -> str:
        """What it does not prove."""
        names = " and ".join(self.against)
        against = AGAINST.format(model=self.model, names=names) if self.others else ""
        return CAVEAT.format(model=self.model, against=against, own=self.own, others=self.others)

    def records(self) -> list[dict[str, Any]]:
        """Return every path's outcome as plain values: what ``--json`` prints, one a line.

        ``finding`` is like, unlike, neither or inconclusive at the level ``alpha``; ``words`` puts
        the likelihood ratio in those of ENFSI; a failed picture has every key, None where unknown.
        """
        rows = {row.image_id: row for row in self.scores.itertuples()}
        records = []
        for path, image_id in self.paths:
            row = rows[image_id]
            numbers = {
                name: None if np.isnan(value := getattr(row, name)) else float(value)
                for name in ("score", "p_made", "p_other", "log10_lr")
            }
            ratio, kind = numbers["log10_lr"], self._finding(numbers["p_made"], numbers["p_other"])
            records.append(
                {
                    "image": path,
                    "model": self.model,
                    "finding": kind,
                    "verdict": None if kind is None else VERDICTS[kind].format(model=self.model),
                    **numbers,
                    "words": None if ratio is None else verbal(ratio),
                    "compared_by": self.score,
                    "alpha": self.alpha,
                    "calibration": {"own": self.own, "others": self.others},
                    "against": list(self.against),
                    "caveat": self.caveat,
                    "error": row.failure if isinstance(row.failure, str) else None,
                }
            )
        return records

    def _finding(self, p_made: float | None, p_other: float | None) -> str | None:
        """Decide at the level: each p-value rules its side out, or does not."""
        if p_made is None:
            return None
        unlike, apart = p_made <= self.alpha, p_other is not None and p_other <= self.alpha
        if unlike:
            return "neither" if apart else "unlike"
        return "like" if apart else "inconclusive"


@quiet.warnings_logged()
def verify(
    paths: Any,
    model: str,
    preset: str | Preset | Setting = "pocket",
    *,
    reference: Any = None,
    others: Any = None,
    score: str = "nearest",
    gamma: int | None = None,
    n: int = 40,
    alpha: float = ALPHA,
    seed: int = 0,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Ask of each picture whether one model made it.

    A picture is compared with γ candidate images that the model draws of its inverted prompt; what
    a score means is learned from pictures that every model of the zoo draws of n calibration
    prompts, and that go the same way: a conformal p-value of "it made this", one of "another of
    these did", and the likelihood ratio of the two. With `reference`, pictures known to be of the
    model, nothing is drawn: half of them are compared with, the other half and `others` calibrate.

    Args:
        paths: as of `attribute`.
        model: one of the zoo; with `reference`, any name.
        preset: a name, a `Preset` or a `Setting`: its encoder compares, at its size.
        reference: pictures of the model, or folders of them, 8 at least.
        others: pictures of other models; without any there is no likelihood ratio.
        score: ``nearest`` (cosine to the nearest) or ``mahalanobis`` (to their mean, shrunk).
        gamma: candidate images, at least 1 (2 for mahalanobis).
        n: calibration prompts; a p-value is 1 / (n + 1) at least, so 19 are the fewest for 5 %.
        alpha: level of the findings, in (0, 1).
        seed: the run's seed.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).

    Raises:
        LookupError: a name is unknown, or weights or prompts are missing.
        ValueError: an option makes no sense, or there are too few pictures.
        StoreError: the store cannot be used.

    A picture that cannot be opened raises nothing: its row says why.
    """
    _check(score, alpha, reference, others)
    wanted = images.given(paths)
    setting = settle(preset, gamma=gamma, seed=seed)
    if getattr(setting.similarity, "encoder", None) is None:
        raise ValueError(f"verify needs a similarity over an encoder; seen {setting.similarity!r}")
    if reference is None and model not in setting.zoo:
        raise unknown("model in the zoo", model, setting.zoo)
    if score == "mahalanobis" and reference is None and setting.gamma < 2:
        raise ValueError(f"mahalanobis needs 2 candidate images at least; seen {setting.gamma}")
    images.find(wanted)
    started = time.perf_counter()
    store = Store() if store is None else store
    entries = images.index(wanted, keep=store.put_picture)
    table = images.frame(entries)
    if reference is None:
        calibration_progress = under("calibration", progress)
        known, _ = calibration_pictures(setting, PORTION, n, seed, store, calibration_progress)
        compared = by_candidates([known, table], setting, model, store, progress)
        against = tuple(name for name in setting.zoo if name != model)
    else:
        bank, known = _split(model, reference, others, store)
        compared = _by_bank(bank, [known, table], setting, store, progress)
        against = ("the other pictures given",)
    own = (known["source"] == model).to_numpy(bool)
    return Verification(
        model,
        score,
        alpha,
        int(own.sum()),
        int((~own).sum()),
        () if own.all() else against,
        weighed(table, known, own, compared, score),
        tuple((images.written(entry.path), entry.image_id) for entry in entries),
        time.perf_counter() - started,
    )


@dataclass(frozen=True)
class Compared:
    """Pictures as vectors, each with those it is compared with.

    ``vectors``: image_id → (D,); ``references``: image_id → (M, D), fewer or none where pictures
    failed; ``pool``: the sets of references that a covariance is estimated from, and ``keys``:
    image_id → which of them is its own, and is left out for it, so that calibration pictures and
    new ones go the same way.
    """

    vectors: dict[str, np.ndarray] = field(repr=False)
    references: dict[str, np.ndarray] = field(repr=False)
    pool: dict[str, np.ndarray] = field(repr=False)
    keys: dict[str, str] = field(repr=False)

    def scores(self, ids: Iterable[str], score: str) -> np.ndarray:
        """Score pictures, higher is more like the references: (N,), NaN where one failed."""
        names = list(ids)
        by_id = dict.fromkeys(names, math.nan)
        parts: dict[str | None, list[str]] = {}
        for name in names:
            if name in self.vectors:
                own = self.keys.get(name) if score == "mahalanobis" else None
                parts.setdefault(own if own in self.pool else None, []).append(name)
        for own, some in parts.items():
            tests = np.stack([self.vectors[name] for name in some])
            sets = [self.references[name] for name in some]
            if score == "nearest":
                values = oneclass.nearest(tests, sets)
            else:
                rest = [each for key, each in self.pool.items() if key != own]
                values = oneclass.mahalanobis(tests, sets, oneclass.within(rest))
            by_id |= dict(zip(some, values.tolist(), strict=True))
        return np.array([by_id[name] for name in names])


def by_candidates(
    tables: Sequence[pd.DataFrame],
    setting: Setting,
    model: str,
    store: Store,
    progress: Progress | None = None,
) -> Compared:
    """Compare pictures with what a model draws of their inverted prompts.

    Args:
        tables: images frames; the covariance is of the candidates of the first one's pictures.
        setting: whose inverter, encoder, size and γ are used.
        model: one of its zoo.
        store: where everything made is kept.
        progress: called with (stage, done, total).
    """
    import pandas as pd

    table = pd.concat(tables, ignore_index=True).drop_duplicates("image_id", ignore_index=True)
    good = table[table["failure"].isna()]
    prompts = pipeline.invert(good, setting.inverter, store, progress)
    zoo = {model: setting.zoo[model]}
    candidates = pipeline.generate(prompts, zoo, setting.gamma, setting.seed, store, progress)
    groups = candidates.dropna(subset=["candidate_id"]).groupby("prompt_id")["candidate_id"]
    drawn = {prompt: list(ids) for prompt, ids in groups}
    wanted = dict(zip(prompts["image_id"], prompts["prompt_id"], strict=True))
    ids = {image: drawn.get(wanted[image], []) for image in good["image_id"]}
    encoder = setting.similarity.encoder
    every = [*ids, *(name for names in ids.values() for name in names)]
    load = pipeline.pictures_of(good, store)
    features = pipeline.encode(every, encoder, store, setting.size, progress, load)
    references = {image: features.rows(names) for image, names in ids.items()}
    vectors = dict(zip(ids, features.rows(ids), strict=True)) if ids else {}
    pool = {wanted[name]: references[name] for name in tables[0]["image_id"] if name in references}
    return Compared(vectors, references, pool, wanted)


def _by_bank(
    bank: pd.DataFrame,
    tables: Sequence[pd.DataFrame],
    setting: Setting,
    store: Store,
    progress: Progress | None,
) -> Compared:
    """Compare pictures with all of a bank, but never with itself."""
    import pandas as pd

    table = pd.concat(tables, ignore_index=True).drop_duplicates("image_id", ignore_index=True)
    good = table[table["failure"].isna()]
    both = pd.concat([bank, good], ignore_index=True).drop_duplicates("image_id")
    load = pipeline.pictures_of(both, store)
    features = pipeline.encode(
        both["image_id"], setting.similarity.encoder, store, setting.size, progress, load
    )
    names = list(bank["image_id"])
    references = {
        image: features.rows([name for name in names if name != image])
        for image in good["image_id"]
    }
    vectors = dict(zip(good["image_id"], features.rows(good["image_id"]), strict=True))
    return Compared(vectors, references, {"": features.rows(names)}, {})


def _check(score: str, alpha: float, reference: Any, others: Any) -> None:
    """Refuse options that make no sense; ValueError."""
    if score not in oneclass.SCORES:
        raise ValueError(f"no score named {score!r}; there are: {', '.join(oneclass.SCORES)}")
    if not 0 < alpha < 1:
        raise ValueError(f"a level lies between 0 and 1; seen {alpha}")
    if others is not None and reference is None:
        raise ValueError("pictures of others are compared with a reference: give that too")


def _split(
    model: str, reference: Any, others: Any, store: Store
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read reference pictures: the bank, and the other half with the others to calibrate with.

    Raises ValueError for fewer than `FEWEST` reference pictures that can be opened.
    """
    import pandas as pd

    def opened(paths: Any, source: str) -> pd.DataFrame:
        table = images.frame(images.index(images.given(paths), keep=store.put_picture))
        return table[table["failure"].isna()].assign(source=source)

    own = opened(reference, model)
    if len(own) < FEWEST:
        raise ValueError(
            f"a reference needs {FEWEST} different pictures of {model} at least; seen {len(own)}"
        )
    order = sorted(own["image_id"], key=lambda name: digest(["verify", name]))
    inside = own["image_id"].isin(order[: len(order) // 2])
    parts = [own[~inside]]
    if others is not None:
        strangers = opened(others, f"not {model}")
        parts.append(strangers[~strangers["image_id"].isin(own["image_id"])])
    return own[inside], pd.concat(parts, ignore_index=True)


def weighed(
    table: pd.DataFrame, known: pd.DataFrame, own: np.ndarray, compared: Compared, score: str
) -> pd.DataFrame:
    """Score the pictures of a table, and weigh the scores by the known ones."""
    calibration = compared.scores(known["image_id"], score)
    prompts = conformal.groups(known)
    values = compared.scores(table["image_id"], score)
    outcomes = table[["image_id"]].assign(
        score=values,
        p_made=oneclass.p_values(values, calibration[own], prompts[own]),
        p_other=math.nan,
        log10_lr=math.nan,
        failure=table["failure"].where(
            table["failure"].notna() | ~np.isnan(values), "it could not be compared"
        ),
    )
    if own.all():
        return outcomes
    sides = calibration[own], calibration[~own], prompts[own], prompts[~own]
    return outcomes.assign(
        p_other=oneclass.p_values(-values, -sides[1], sides[3]),
        log10_lr=oneclass.weigh(*sides)(values),
    )
