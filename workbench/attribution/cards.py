"""Cards of a report: each test picture, its verdict and its candidates, as values of a template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from workbench import images
from workbench.attribution.verdict import percent, verdict
from workbench.text import brief

if TYPE_CHECKING:
    from workbench.attribution.result import Attribution, Candidate, Case

PICTURE, CANDIDATE, THUMBNAIL = 512, 256, 128
"""Pixels along the longer side, at most."""
SHORT = 120
"""Letters of a prompt that an alternative text repeats."""
WHOLE = (
    "This picture is not square: its prompt was inverted from the whole of it, and its largest "
    "centred square was compared with square candidates. With treat_alike the prompt is inverted "
    "from what is compared, and candidates are drawn in its aspect where all models can."
)
STRIP = 6
"""Candidate images of a model beyond which they are shown smaller in print."""


@dataclass(frozen=True)
class Axis:
    """The scale that all scores of a run stand on, from ``low`` to ``high``.

    ``spread`` tells whether the similarities of candidate images are on it too: only where every
    score lies among those of its model, as a mean or a maximum does.
    """

    low: float
    high: float
    digits: int
    spread: bool

    def place(self, value: float) -> float:
        """Return where a value stands, in percent of the scale."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @property
    def ends(self) -> tuple[str, str]:
        """Both ends as they are written."""
        return f"{self.low:.{self.digits}f}", f"{self.high:.{self.digits}f}"


def axis(cases: Iterable[Case]) -> Axis:
    """Return the common scale of all cases: round numbers around every score and similarity.

    >>> axis([]).ends
    ('0', '1')
    """
    scores, values, spread = [], [], True
    for case in cases:
        for name, score, _ in case.ranking:
            if score is None:
                continue
            scores.append(score)
            own = _similarities(case.candidates.get(name, []))
            values += own
            spread &= bool(own) and min(own) - 1e-6 <= score <= max(own) + 1e-6
    shown = scores + values if spread else scores
    if not shown:
        return Axis(0.0, 1.0, 0, False)
    width = max(shown) - min(shown) or abs(shown[0]) or 1.0
    power = math.floor(math.log10(width))
    step = 10.0**power
    low, high = math.floor(min(shown) / step) * step, math.ceil(max(shown) / step) * step
    high = high if high > low else low + step
    return Axis(low, high, max(0, -power), spread)


def cards(
    result: Attribution, full_paths: bool = False, prefix: str = "picture"
) -> Iterator[dict[str, Any]]:
    """Return the card of each test image, in order, as values of ``card.html``.

    Args:
        result: the run.
        full_paths: whether a picture goes by the path it was asked for, or by its file name.
        prefix: of the ids in the page; two runs in one page take two.
    """
    paths: dict[str, list[str]] = {}
    for path, image_id in result.paths:
        paths.setdefault(image_id, []).append(path)
    inverters = dict(zip(result.prompts["image_id"], result.prompts["inverter"], strict=True))
    records = result.records()
    treated = {i: r.get("treated") for (_, i), r in zip(result.paths, records, strict=True)}
    share = [record["seconds"] for record in records]
    seconds = next((f"{value:.2f} s a picture." for value in share if value is not None), "")
    scale, evidence = axis(result.cases.values()), result.told()
    for number, (image_id, case) in enumerate(result.cases.items(), 1):
        names = {path: path if full_paths else PurePath(path).name for path in paths[image_id]}
        words = verdict(case, result.setting.threshold)
        inside = set(case.included or ()) if words.narrowed else set()
        yield {
            "id": f"{prefix}-{number}",
            "paths": list(names.values()),
            "evidence": [
                (names[path], finding | {"prompt": finding["prompt"] and brief(finding["prompt"])})
                for path in paths[image_id]
                for finding in evidence.get(path, [])
            ],
            **_seen(result, image_id, next(iter(names.values())), case),
            "prompt": case.prompt and brief(case.prompt),
            "inverter": inverters.get(image_id),
            "truncated": case.truncated,
            "verdict": words,
            "treated": treated[image_id] or _whole(result, image_id, case),
            "margin": "" if case.margin is None else f"{case.margin:.4f}",
            "seconds": seconds,
            "axis": {"ends": scale.ends, "spread": scale.spread},
            "sets": bool(inside),
            "probable": bool(case.probabilities),
            "strip": max(map(len, case.candidates.values()), default=0) > STRIP,
            "models": [
                _model(result, case, scale, row, row[0] in inside)
                for row in case.ranking
                if case.error is None
            ],
        }


def _whole(result: Attribution, image_id: str, case: Case) -> str | None:
    """Return what is said of a picture that is not square, where candidates go no other way."""
    if case.error is not None or ":" in image_id:
        return None
    width, height = result.store.picture(image_id).size
    return None if width == height else WHOLE


def _seen(result: Attribution, image_id: str, name: str, case: Case) -> dict[str, Any]:
    """Return a test picture at three sizes, and what its alternative text says."""
    alt = f"Test picture {name}"
    if case.prompt:
        alt += f"; its inverted prompt: {brief(case.prompt, SHORT)}"
    if ":" in image_id:  # it could not be read
        return {"uri": None, "beside": None, "small": None, "alt": alt}
    sides = {"uri": PICTURE, "beside": CANDIDATE, "small": THUMBNAIL}
    return {key: _uri(result, image_id, side) for key, side in sides.items()} | {"alt": alt}


def _similarities(drawn: Iterable[Candidate]) -> list[float]:
    return [each.similarity for each in drawn if each.similarity is not None]


def _model(
    result: Attribution, case: Case, scale: Axis, row: tuple[str, float | None, int], inside: bool
) -> dict[str, Any]:
    """Return one candidate model's row as values of the template."""
    name, score, rank = row
    drawn = case.candidates.get(name, [])
    own = _similarities(drawn) if scale.spread else []
    chance = case.probabilities.get(name)
    seen = "not scored" if score is None else f"score {score:.4f}"
    if own:
        seen += f"; similarities of its candidate images from {min(own):.3f} to {max(own):.3f}"
    return {
        "told": _told(result, name, drawn),
        "name": name,
        "rank": rank,
        "inside": inside,
        "score": "–" if score is None else f"{score:.4f}",
        "probability": "" if chance is None else percent(chance),
        "seen": seen,
        "place": None if score is None else scale.place(score),
        "span": (scale.place(min(own)), scale.place(max(own)) - scale.place(min(own)))
        if own
        else None,
        "ticks": [scale.place(value) for value in own],
        "candidates": [_candidate(result, case, name, candidate) for candidate in drawn],
    }


def _candidate(result: Attribution, case: Case, name: str, candidate: Candidate) -> dict[str, Any]:
    """Return one candidate image as values of the template."""
    similarity = "" if candidate.similarity is None else f"{candidate.similarity:.3f}"
    alt = f"Drawn by {name}"
    alt += f" of the prompt {brief(case.prompt, SHORT)}" if case.prompt else ""
    alt += f": similarity {similarity}" if similarity else ""
    return {
        "index": candidate.index,
        "seed": candidate.seed,
        "uri": _uri(result, candidate.picture, CANDIDATE) if candidate.picture else None,
        "failure": candidate.failure,
        "similarity": similarity,
        "alt": alt,
    }


def _told(result: Attribution, name: str, drawn: list[Candidate]) -> list[str]:
    """Return what a hosted model told of its candidate images, a line each."""
    if not getattr(result.setting.zoo.get(name), "hosted", False):
        return []
    answers = result.store.answers(each.picture for each in drawn if each.picture)
    lines = []
    for each in drawn:
        answer = dict(answers.get(each.picture or "", {}))
        revised = answer.pop("revised_prompt", None)
        words = [f"{word.replace('_', ' ')} {brief(value, 60)}" for word, value in answer.items()]
        words += [f"prompt revised to “{brief(revised)}”"] if revised else []
        lines += [f"{each.index}: {', '.join(words)}"] if words else []
    return lines


def _uri(result: Attribution, picture: str, side: int) -> str:
    return images.data_uri(result.store.picture(picture), side)
