"""The result of `attribute` as data: frames, cases, records; rendering is `report`'s."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.catalogue.setting import Setting
from workbench.ranking import conformal
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


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
    """What came out for one test image.

    ``best`` is the model ranked first even where the decision abstains; ``ranking`` holds
    (generator, score, rank), best first; ``error`` is a sentence where there is no answer.
    ``included`` are the models of the attribution set, best first, and ``p_known`` tells how likely
    one of the candidate models scores so low; both None where that is not calibrated.
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

    @property
    def rejected(self) -> bool:
        """Whether none of the candidate models is likely to have made the picture."""
        return self.p_known is not None and self.p_known <= conformal.ALPHA


@dataclass(frozen=True, repr=False)
class Attribution:
    """The result of `attribute`: the frames of every stage, and what they say in words.

    ``paths`` holds every path that was asked for with its image_id: the same pixels are one row of
    the frames, but every path has its answer. ``evidence`` is what the files themselves say
    (`evidence.frame`), and has no part in the scores. ``sets`` and ``known`` are what
    `ranking.conformal` answers, None where the setting is not calibrated. ``seconds`` is the time
    of the whole run.
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
    paths: tuple[tuple[str, str], ...]
    evidence: pd.DataFrame
    setting: Setting
    store: Store
    seconds: float
    made: str

    @cached_property
    def cases(self) -> dict[str, Case]:
        """Gather the frames by image_id."""
        prompts = {row.image_id: row for row in self.prompts.itertuples()}
        ranked = _by(self.rankings.sort_values("rank"), "image_id")
        decided = {row.image_id: row for row in self.attributions.itertuples()}
        key = ["prompt_id", "generator", "index"]
        joined = self.similarities.merge(self.candidates, on=key).sort_values(key)
        compared = _by(joined, "image_id")
        inside = {} if self.sets is None else _by(self.sets[self.sets["included"]], "image_id")
        chances = {} if self.known is None else dict(self.known.itertuples(index=False))
        return {
            row.image_id: _case(
                row,
                prompts.get(row.image_id),
                ranked.get(row.image_id, []),
                decided.get(row.image_id),
                compared.get(row.image_id, []),
                None if self.sets is None else inside.get(row.image_id, []),
                chances.get(row.image_id),
            )
            for row in self.images.itertuples()
        }

    def records(self) -> list[dict[str, Any]]:
        """Tell every path's answer as plain values: what ``--json`` prints, one a line.

        ``predicted`` is None where the decision abstains; ``evidence`` lists what the file itself
        says (`evidence.Evidence`); ``set`` holds the attribution set and
        ``p_known`` the p-value of "one of these", None where not calibrated; ``seconds`` is the
        picture's share of the run's time; a failed picture has every key, None where unknown.
        """
        done = sum(case.error is None for case in self.cases.values())
        told = self.told()
        return [
            {
                "image": path,
                "prompt": case.prompt,
                "predicted": case.best if case.accepted else None,
                "ranking": [
                    {"generator": name, "score": score, "rank": rank}
                    for name, score, rank in case.ranking
                ]
                or None,
                "margin": case.margin,
                "set": None if case.included is None else list(case.included),
                "p_known": case.p_known,
                "evidence": told.get(path, []) if case.error is None else None,
                "seconds": round(self.seconds / done, 4) if case.error is None else None,
                "error": case.error,
            }
            for path, case in ((path, self.cases[image_id]) for path, image_id in self.paths)
        ]

    def told(self) -> dict[str, list[dict[str, Any]]]:
        """Gather by path what was found in the files; what is absent or unchecked is left out."""
        found = self.evidence[~self.evidence["state"].isin(["absent", "unchecked"])]
        told: dict[str, list[dict[str, Any]]] = {}
        for row in found.to_dict("records"):
            plain = {str(k): x if isinstance(x, dict) else _text(x) for k, x in row.items()}
            told.setdefault(str(plain.pop("path")), []).append(plain)
        return told

    def report(self, path: str | Path, full_paths: bool = False) -> Path:
        """Write one self-contained HTML file: everything seen, decided and used.

        Pictures go by their file names, or, with `full_paths`, by the paths that were asked for.

        Raises OSError where the file cannot be written.
        """
        from workbench.attribution import report

        return report.write(self, path, full_paths)

    def _repr_html_(self) -> str:
        from workbench.attribution import report

        return report.fragment(self)

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
    """Name the models of an attribution set, best first."""
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
    """Make a case from the rows of its image; anything but ``image`` may be missing."""
    if _text(image.failure):
        return Case(error=image.failure)
    if prompt is not None and _text(prompt.failure):
        return Case(error=f"no prompt could be inverted: {prompt.failure}")
    candidates: dict[str, list[Candidate]] = {}
    for row in compared:
        made = Candidate(
            index=int(row.index),
            seed=int(row.seed),
            picture=_text(row.candidate_id),
            failure=_text(row.failure),
            similarity=_number(row.value),
        )
        candidates.setdefault(row.generator, []).append(made)
    best = _text(decided.predicted) if decided is not None else None
    failures = [c.failure for made in candidates.values() for c in made if c.failure]
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
    )
