"""The main job in one call: pictures in, a ranking of the candidate models and a verdict out."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import catalogue, checkpoints, decision, evidence, images, presets, ranking
from workbench.attributors.regeneration import Regeneration
from workbench.calibration import fit
from workbench.fitted import Fitted
from workbench.inverters.natural import Natural
from workbench.pipeline import Progress
from workbench.store import Store

if TYPE_CHECKING:
    import pandas as pd

FUSED = ("regeneration", "defake")
"""What a fusion asked for by name fuses: the paper's attributor and a trained one."""
OPTIONS = {
    "inverter": {"inverter", "parts"},
    "prompt": {"inverter", "parts"},
    "similarity": {"similarity", "encoder", "parts"},
    "aggregate": {"aggregate", "parts"},
    "gamma": {"gamma", "parts"},
    "calibration": {"calibration"},
}
"""Options of `plan` that are for the attributor, and the fields, any of which has a use for one."""


@dataclass(frozen=True)
class Setting:
    """Everything that decides an answer, apart from the picture.

    ``threshold``, ``conformal`` and ``known`` are the preset's calibration, None where there is
    none. ``call`` keeps the options as they were given, so that a report can be made again.
    """

    preset: str
    attributor: Any
    zoo: dict[str, Any]
    threshold: float | None
    threshold_from: str
    seed: int
    call: dict[str, Any] = field(repr=False)
    conformal: float | None = None
    known: Fitted | None = None

    @property
    def weights(self) -> dict[str, str]:
        """Name every checkpoint in play and the digest of its weights."""
        return catalogue.weights(self.attributor, *self.zoo.values())


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
        return self.p_known is not None and self.p_known <= decision.ALPHA


@dataclass(frozen=True, repr=False)
class Attribution:
    """The result of `attribute`: the frames of every stage, and what they say in words.

    ``paths`` holds every path that was asked for with its image_id: the same pixels are one row of
    the frames, but every path has its answer. ``evidence`` is what the files themselves say
    (`evidence.frame`), and has no part in the scores. ``sets`` and ``known`` are what `decision`
    answers, None where the setting is not calibrated. ``seconds`` is the time of the whole run.
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
            plain = {str(key): _text(value) for key, value in row.items()}
            told.setdefault(str(plain.pop("path")), []).append(plain)
        return told

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML file: everything seen, decided and used.

        Raises OSError where the file cannot be written.
        """
        from workbench import report

        return report.write(self, path)

    def _repr_html_(self) -> str:
        from workbench import report

        return report.fragment(self)

    def __repr__(self) -> str:
        lines = [
            f"{record['image']}: {record['error'] or record['predicted'] or 'no call'}"
            for record in self.records()
        ]
        return "\n".join(lines)


def attribute(
    paths: str | Path | Iterable[str | Path],
    preset: str = "pocket",
    *,
    attributor: Any = None,
    zoo: Any = None,
    inverter: Any = None,
    prompt: str | None = None,
    similarity: Any = None,
    aggregate: str | None = None,
    gamma: int | None = None,
    calibration: Any = None,
    seed: int = 0,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """Attribute pictures to candidate models: invert, generate, encode, compare, rank, decide.

    Args:
        paths: a picture, a folder of pictures, or several of either.
        preset: the setting; whatever else is given overrides a field of it, and what is really
            changed (all but the seed) is no longer calibrated: the threshold falls away, and so
            do attribution sets and "none of these".
        attributor: ``regeneration``, ``adaptive``, ``knn`` or any other file of that
            folder, which takes the preset's parts by name (``fusion``: regeneration and DE-FAKE),
            or a whole Attributor (or its repr), which then decides inverter, similarity,
            aggregation and γ itself.
        zoo: candidate models, at least two: a name, ``"A,B"``, a list, or name → Generator.
        inverter: a name (``pez`` and ``interrogator`` take the similarity's encoder), a repr, or an
            Inverter.
        similarity: a name (an encoder's is the cosine over it), a repr, or a Similarity.
        prompt: the known prompt of every picture, instead of an inverter.
        aggregate: ``mean``, ``max``, ``softmax`` or ``knn``.
        gamma: candidate images per model, at least 1.
        calibration: of the scores: a name, a repr, or a Calibration. What is unfitted in it, or in
            another part of the attributor, is first fitted on fresh pictures of all models, by the
            preset's calibration prompts (`calibration.fit`); a second time the store has them.
        seed: the run's seed.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).

    Raises:
        LookupError: a name is unknown, or weights are missing.
        ValueError: an option makes no sense, or a folder holds no picture.
        StoreError: the store cannot be used.

    A picture that cannot be opened raises nothing: its row tells why.
    """
    setting = plan(
        preset,
        attributor=attributor,
        zoo=zoo,
        inverter=inverter,
        prompt=prompt,
        similarity=similarity,
        aggregate=aggregate,
        gamma=gamma,
        calibration=calibration,
        seed=seed,
    )
    wanted = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    images.find(wanted)  # an empty folder is told before a store is opened
    checkpoints.device()  # imports torch: the time of a run is told beyond the imports
    started = time.perf_counter()
    store = Store() if store is None else store
    entries = images.index(wanted, keep=store.put_picture)
    told = evidence.frame((entry.path for entry in entries), progress)
    frame = images.frame(entries)
    method = fit(setting.attributor, setting.preset, setting.zoo, seed, store, progress)
    setting = dataclasses.replace(setting, attributor=method)
    stages = setting.attributor(frame, setting.zoo, store=store, seed=seed, progress=progress)
    rankings = ranking.rank(stages.scores)
    attributions = ranking.decide(rankings, setting.threshold)
    sets = known = None
    if setting.conformal is not None:
        sets = decision.conformal_sets(stages.scores, setting.conformal)
    if setting.known is not None:
        known = decision.known_p_values(stages.scores, setting.known)
        attributions = decision.reject(attributions, known)
    return Attribution(
        images=frame,
        prompts=stages.prompts,
        candidates=stages.candidates,
        similarities=stages.similarities,
        scores=stages.scores,
        rankings=rankings,
        attributions=attributions,
        sets=sets,
        known=known,
        paths=tuple((images.written(entry.path), entry.image_id) for entry in entries),
        evidence=told,
        setting=setting,
        store=store,
        seconds=time.perf_counter() - started,
        made=time.strftime("%Y-%m-%d %H:%M:%S %z"),
    )


def plan(
    preset: str = "pocket",
    *,
    attributor: Any = None,
    zoo: Any = None,
    inverter: Any = None,
    prompt: str | None = None,
    similarity: Any = None,
    aggregate: str | None = None,
    gamma: int | None = None,
    calibration: Any = None,
    seed: int = 0,
) -> Setting:
    """Settle every option before any work: the arguments and errors of `attribute`."""
    call = {name: _plain(value) for name, value in locals().items() if value is not None}
    if prompt is not None and inverter is not None:
        raise ValueError("a known prompt leaves nothing to invert: give a prompt or an inverter")
    if gamma is not None and gamma < 1:
        raise ValueError(f"gamma, the candidate images per model, is at least 1; seen {gamma}")
    if aggregate is not None and aggregate not in ranking.AGGREGATIONS:
        known = ", ".join(ranking.AGGREGATIONS)
        raise ValueError(f"no aggregation named {aggregate!r}; there are: {known}")
    given = presets.preset(preset)
    if zoo is inverter is similarity is prompt is None:
        presets.check(given)
    row = given.override(
        zoo=_plain(zoo),
        inverter=_plain(inverter if prompt is None else Natural(text=prompt)),
        similarity=_plain(similarity),
        aggregate=aggregate,
        gamma=gamma,
    )
    compare = catalogue.load(similarity or row.similarity, "similarity")
    tool = (
        Natural(text=prompt)
        if prompt is not None
        else catalogue.inverter(inverter or row.inverter, given, compare)
    )
    shared = {
        "inverter": tool,
        "similarity": compare,
        "aggregate": row.aggregate,
        "gamma": row.gamma,
        "size": row.size,
    }
    if calibration is not None:
        shared["calibration"] = catalogue.load(calibration, "calibration")
    method = attributor or "regeneration"
    if isinstance(method, str) and "(" not in method:
        method = _method(method, shared, given, call)
    elif OPTIONS.keys() & call.keys():
        raise ValueError(
            "an attributor given whole decides inverter, similarity, aggregation, gamma and "
            "calibration itself: give either it or these"
        )
    else:
        method = catalogue.load(method, "attributor")
    own = Regeneration(**{**shared, "calibration": None})
    same = row == given and repr(method) == repr(own)
    return Setting(
        preset=preset,
        attributor=method,
        zoo=catalogue.zoo(row.zoo if zoo is None else zoo),
        threshold=row.threshold if same else None,
        threshold_from=row.threshold_from if same else "",
        seed=seed,
        call=call,
        conformal=row.conformal if same else None,
        known=decision.known(dict(row.known)) if same and row.known else None,
    )


def _method(
    name: str, shared: dict[str, Any], preset: presets.Preset, asked: Iterable[str] = ()
) -> Any:
    """Make the attributor of a name from those parts of the preset that it has fields for.

    Raises ValueError for an option asked for that it has no use for, or where it needs an encoder.
    """
    kind = catalogue.kind(name, "attributor")
    known = {field.name for field in dataclasses.fields(kind)}
    idle = [option for option in OPTIONS if option in asked and not OPTIONS[option] & known]
    if idle:
        raise ValueError(f"{name} has no use for {' and '.join(idle)}: leave it out")
    parts = dict(shared)
    if "encoder" in known:
        parts["encoder"] = getattr(shared["similarity"], "encoder", None)
        if parts["encoder"] is None:
            raise ValueError(
                f"{name} needs a similarity over an encoder; seen {shared['similarity']!r}"
            )
    if "parts" in known:
        parts["parts"] = tuple(_method(each, shared, preset) for each in FUSED)
    if "prompts" in known:
        parts["prompts"] = tuple(presets.prompts(preset, "bank"))
    return kind(**{field: value for field, value in parts.items() if field in known})


def _plain(value: Any) -> Any:
    """Say an option as text or number, so that a report can keep it."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return ",".join(value)
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else repr(value)


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
