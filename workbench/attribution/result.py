"""The result of `attribute` as data: frames, cases, records; rendering is `report`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import pipeline
from workbench.catalogue.setting import Setting
from workbench.evidence.treatment import Treatment
from workbench.pipeline.aspect import SQUARE, bucket_of
from workbench.ranking import conformal
from workbench.ranking.likelihood import log10_ratios
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


CUT = (
    "Of a picture that is not square its largest centred square was inverted, drawn for and "
    "compared: one crop for all.",
    "Of a picture that is not square the largest centred part of {} to {} was inverted, and "
    "candidates were drawn with these sides: one aspect for all, of which the centred square was "
    "compared.",
)
"""What is said of a picture's aspect, where candidates are squares, and where they are not."""


@dataclass(frozen=True)
class Candidate:
    """One candidate image of a case: its picture in the store, or why there is none."""

    index: int
    seed: int
    picture: str | None
    failure: str | None
    similarity: float | None


@dataclass(frozen=True)
class Case:
    """The outcome of one test image.

    ``best`` is the model ranked first even where the decision abstains; ``ranking`` holds
    (generator, score, rank), best first; ``error`` is a sentence where there is no answer.
    ``included`` are the models of the attribution set, best first, and ``p_known`` tells how likely
    one of the candidate models scores so low; both None where that is not calibrated.
    ``probabilities`` are those of a `ranking.Confidence` by model, empty where there is none;
    ``limit`` is the smallest that calls ``best``, and ``log10_lr`` its likelihood ratio against the
    other candidates. ``family`` is that of all models of the set, where they are several and kin.
    ``not_drawn`` names each candidate model without a picture to compare, and the reason.
    """

    error: str | None
    prompt: str | None = None
    truncated: bool = False
    ranking: tuple[tuple[str, float | None, int], ...] = ()
    best: str | None = None
    margin: float | None = None
    accepted: bool = False
    included: tuple[str, ...] | None = None
    p_known: float | None = None
    candidates: dict[str, list[Candidate]] = field(default_factory=dict)
    probabilities: dict[str, float] = field(default_factory=dict)
    limit: float | None = None
    log10_lr: float | None = None
    family: str | None = None
    not_drawn: dict[str, str] = field(default_factory=dict)

    @property
    def rejected(self) -> bool:
        """Whether none of the candidate models is likely to have made the picture."""
        return self.p_known is not None and self.p_known <= conformal.ALPHA

    @property
    def confidence(self) -> float | None:
        """The calibrated probability of the model ranked first, where there is one."""
        return self.probabilities.get(self.best or "")

    @property
    def spread(self) -> float | None:
        """Standard deviation of the similarities of the first model's own candidate images."""
        values = [candidate.similarity for candidate in self.candidates.get(self.best or "", [])]
        known = [value for value in values if value is not None]
        return stdev(known) if len(known) > 1 else None


@dataclass(frozen=True, repr=False)
class Attribution:
    """The result of `attribute`: the frames of every stage, with cases, records and report.

    ``paths`` holds every path that was asked for with its image_id: the same pixels are one row of
    the frames, but every path has its answer. ``evidence`` is what the files themselves say
    (`evidence.frame`), and has no part in the scores. ``sets`` and ``known`` are what
    `ranking.conformal` returns, ``probabilities`` what a `ranking.Confidence` does, None where the
    setting is not calibrated. ``treatments`` tells by image_id what candidates were treated with,
    where they are treated alike. ``seconds`` is the time of the whole run.
    """

    images: pd.DataFrame
    prompts: pd.DataFrame
    candidates: pd.DataFrame
    similarities: pd.DataFrame
    scores: pd.DataFrame
    rankings: pd.DataFrame
    attributions: pd.DataFrame
    sets: pd.DataFrame | None
    known: pd.DataFrame | None
    probabilities: pd.DataFrame | None
    paths: tuple[tuple[str, str], ...]
    evidence: pd.DataFrame
    setting: Setting
    store: Store
    seconds: float
    made: str
    treatments: Mapping[str, Treatment] = field(default_factory=dict)

    @cached_property
    def cases(self) -> dict[str, Case]:
        """The outcome of each image, by image_id."""
        prompts = {row.image_id: row for row in self.prompts.itertuples()}
        ranked = _by(self.rankings.sort_values("rank"), "image_id")
        decided = {row.image_id: row for row in self.attributions.itertuples()}
        key = ["prompt_id", "generator", "index"]
        joined = self.similarities.merge(self.candidates, on=key).sort_values(key)
        compared = _by(joined, "image_id")
        inside = {} if self.sets is None else _by(self.sets[self.sets["included"]], "image_id")
        chances = {} if self.known is None else dict(self.known.itertuples(index=False))
        cases = {
            row.image_id: _case(
                row,
                prompts.get(row.image_id),
                ranked.get(row.image_id, []),
                decided.get(row.image_id),
                compared.get(row.image_id, []),
                inside.get(row.image_id),
                chances.get(row.image_id),
            )
            for row in self.images.itertuples()
        }
        return {name: self._weighed(name, case) for name, case in cases.items()}

    def _weighed(self, image_id: str, case: Case) -> Case:
        """Add to a case what the setting's confidence and the families of its models say."""
        families = self.setting.families
        kin = {families.get(name, name) for name in case.included or ()}
        several = len(case.included or ()) > 1
        family = kin.pop() if several and len(kin) == 1 else None
        probabilities = self._probabilities.get(image_id)
        if case.best is None or probabilities is None or self.setting.confidence is None:
            return replace(case, family=family)
        names = [name for name, _ in probabilities]
        ratios = log10_ratios(np.array([[value for _, value in probabilities]]))[0]
        return replace(
            case,
            family=family,
            probabilities=dict(probabilities),
            limit=self.setting.confidence.thresholds.get(case.best),
            log10_lr=float(ratios[names.index(case.best)]),
        )

    @cached_property
    def _probabilities(self) -> dict[str, list[tuple[str, float]]]:
        """Model and probability by image_id."""
        if self.probabilities is None:
            return {}
        known = self.probabilities.dropna(subset="probability")
        return {
            image_id: [(row.generator, float(row.probability)) for row in rows]
            for image_id, rows in _by(known, "image_id").items()
        }

    @cached_property
    def redrawn(self) -> dict[str, int]:
        """Count by model the candidate images of a further seed (`pipeline.redrawn`)."""
        return pipeline.redrawn(self.prompts, self.candidates)

    def records(self) -> list[dict[str, Any]]:
        """Return the outcome of each path as plain values: what ``--json`` prints, one a line.

        ``predicted`` is None where the decision abstains; ``verdict`` says it in words;
        ``evidence`` lists what the file itself says (`evidence.Evidence`); ``set`` is the set,
        ``family`` that of its models where they are several and kin, ``p_known`` the p-value of
        "one of these", ``probabilities`` those of the candidate models, and ``log10_lr`` the
        likelihood ratio of the first against the others, None where not calibrated; ``not_drawn``
        gives the reason of each model without a picture to compare; ``seconds`` is the picture's
        share of the run's time; a failed picture has every key, None where unknown. Where
        candidates are treated alike, ``treated`` says what was done to them.
        """
        from workbench.attribution.verdict import verdict

        done = sum(case.error is None for case in self.cases.values())
        evidence = self.told()
        return [
            {
                "image": path,
                "prompt": case.prompt,
                "predicted": case.best if case.accepted else None,
                "verdict": asdict(verdict(case, self.setting.threshold)),
                "ranking": [
                    {
                        "generator": name,
                        "score": score,
                        "rank": rank,
                        "error": case.not_drawn.get(name),
                    }
                    for name, score, rank in case.ranking
                ]
                or None,
                "margin": case.margin,
                "set": None if case.included is None else list(case.included),
                "family": case.family,
                "p_known": case.p_known,
                "probabilities": case.probabilities or None,
                "log10_lr": case.log10_lr,
                "not_drawn": case.not_drawn,
                "evidence": evidence.get(path, []) if case.error is None else None,
                "seconds": round(self.seconds / done, 4) if case.error is None else None,
                "error": case.error,
                **self._treated(image_id),
            }
            for path, image_id in self.paths
            for case in [self.cases[image_id]]
        ]

    def _treated(self, image_id: str) -> dict[str, str | None]:
        """Return {"treated": the treatment of candidates}, where they are treated alike."""
        if not self.setting.treat_alike:
            return {}
        done = self.treatments.get(image_id)
        if done is None:
            return {"treated": None}
        prompts = self.prompts.set_index("image_id")["prompt_id"].dropna()
        sides = bucket_of(str(prompts.get(image_id, "")))
        return {"treated": f"{done.sentence()}. {CUT[sides != SQUARE].format(*sides)}"}

    def told(self) -> dict[str, list[dict[str, Any]]]:
        """Return path → evidence found in the file; absent or unchecked kinds are left out."""
        present = self.evidence[~self.evidence["state"].isin(["absent", "unchecked"])]
        by_path: dict[str, list[dict[str, Any]]] = {}
        for row in present.to_dict("records"):
            plain = {str(k): x if isinstance(x, dict) else _text(x) for k, x in row.items()}
            by_path.setdefault(str(plain.pop("path")), []).append(plain)
        return by_path

    def report(self, path: str | Path, full_paths: bool = False) -> Path:
        """Write the report, one self-contained HTML file; return its path.

        Pictures go by their file names, or, with `full_paths`, by the paths that were asked for.

        Raises OSError where the file cannot be written.
        """
        from workbench.attribution import report

        return report.write(self, path, full_paths)

    def _repr_html_(self) -> str:
        from workbench.attribution import notebook

        return notebook.page(self)

    def __repr__(self) -> str:
        lines = [
            f"{record['image']}: {record['error'] or record['predicted'] or 'no call'}"
            for record in self.records()
        ]
        return "\n".join(lines)


def _by(frame: pd.DataFrame, column: str) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for row in frame.itertuples():
        groups.setdefault(getattr(row, column), []).append(row)
    return groups


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return float(value) if value is not None and value == value else None


def _among(ranked: list[Any], inside: list[Any] | None) -> tuple[str, ...] | None:
    """Return the models of an attribution set, best first."""
    if inside is None:
        return None
    names = {row.generator for row in inside}
    return tuple(row.generator for row in ranked if row.generator in names)


def _case(
    image: Any,
    prompt: Any,
    ranked: list[Any],
    decided: Any,
    compared: list[Any],
    inside: list[Any] | None,
    chance: float | None,
) -> Case:
    """Return a case made from the rows of its image; all but ``image`` may be missing."""
    if _text(image.failure):
        return Case(error=image.failure)
    if prompt is not None and _text(prompt.failure):
        return Case(error=f"no prompt could be inverted: {prompt.failure}")
    candidates: dict[str, list[Candidate]] = {}
    for row in compared:
        candidate = Candidate(
            index=int(row.index),
            seed=int(row.seed),
            picture=_text(row.candidate_id),
            failure=_text(row.failure),
            similarity=_number(row.value),
        )
        candidates.setdefault(row.generator, []).append(candidate)
    best = _text(decided.predicted) if decided is not None else None
    undrawn = {
        row.generator: next((c.failure for c in candidates.get(row.generator, []) if c.failure), "")
        for row in ranked
        if _number(row.score) is None
    }
    failures = [c.failure for drawn in candidates.values() for c in drawn if c.failure]
    why = f": {failures[0]}" if failures else ""
    return Case(
        error=None if best else f"no candidate image could be made and compared{why}",
        prompt=_text(prompt.prompt) if prompt is not None else None,
        truncated=bool(prompt.truncated) if prompt is not None else False,
        ranking=tuple((row.generator, _number(row.score), int(row.rank)) for row in ranked),
        best=best,
        margin=_number(decided.margin) if best else None,
        accepted=bool(decided.accepted) if best else False,
        included=_among(ranked, inside) if best else None,
        p_known=_number(chance) if best else None,
        candidates=candidates,
        not_drawn=undrawn if best else {},
    )
