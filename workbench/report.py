"""One self-contained HTML file per run, its verdicts in words, and what makes it redoable.

The file holds everything seen and used, and the settings and digests as JSON: `read` takes them
out again, and `compare` says what a second run made alike. All text is escaped by the template.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import decision, frames, images
from workbench.store import versions

if TYPE_CHECKING:
    from jinja2 import Template

    from workbench.attribution import Attribution, Case

FORMAT = 1
SHOWN = 20  # pictures shown in Jupyter; the report shows all
CAVEAT = (
    "This does not prove that {best} made it: a photograph, or a picture of a model that is not "
    "in the zoo, gets a first place too."
)
REJECTED = (
    "{best} comes nearest, but for every candidate model at most {share} of its own calibration "
    "pictures scores so low (p = {p:.3f}). A picture of the zoo can look like this too, where its "
    "prompt was inverted badly."
)
AMONG = (
    "{models}: {coverage} of such sets hold the true model, if it is a candidate model and all of "
    "them are equally likely."
)


@dataclass(frozen=True)
class Verdict:
    """A decision in words; ``kind`` is attributed, abstained, forced, rejected or failed."""

    kind: str
    headline: str
    text: str


def verdict(case: Case, threshold: float | None) -> Verdict:
    """Put a decision into words that claim no more than was found.

    Args:
        case: one test image's outcome.
        threshold: smallest accepted margin; None where the setting is not calibrated.
    """
    if case.error is not None:
        return Verdict("failed", "Not attributed.", f"{case.error[:1].upper()}{case.error[1:]}.")
    best, second = case.best, case.ranking[1][0]
    likeness = f"The picture is most like what {best} makes of this prompt."
    if case.rejected:
        share = f"1 in {1 / decision.ALPHA:.0f}"
        unlike = REJECTED.format(best=best, share=share, p=case.p_known)
        return Verdict("rejected", "None of these.", unlike)
    if case.margin is None:
        alone = f"Only {best} made a picture that could be compared."
        return Verdict("abstained", "No call.", alone)
    if not case.margin:
        ties = f"{best} and {second} cannot be told apart here."
        return Verdict("abstained", "No call.", ties)
    if threshold is None:
        unknown = "A forced choice, not calibrated for this setting: how often it errs is unknown. "
        return Verdict("forced", likeness, unknown + CAVEAT.format(best=best))
    if case.accepted:
        sure = (
            f"The margin {case.margin:.4f} is at least {threshold:.4f}: on calibration pictures of "
            "these models, such calls were wrong at most 1 time in 20 (95 % confidence). "
        )
        return Verdict("attributed", likeness, sure + CAVEAT.format(best=best))
    if math.isinf(threshold):
        never = (
            "No margin was reliable on the calibration pictures, so this setting always abstains."
        )
        return Verdict("abstained", "No call.", f"{likeness} {never}")
    small = f"But the margin over {second}, {case.margin:.4f}, is below {threshold:.4f}, too small."
    return Verdict("abstained", "No call.", f"{likeness} {small}")


def among(case: Case) -> str:
    """Put the attribution set into words; "" where there is none, or where it is rejected."""
    if case.included is None or case.rejected:
        return ""
    names = ", ".join(case.included)
    models = names if len(case.included) == 1 else f"One of {names}"
    return AMONG.format(models=models, coverage=f"{100 * decision.COVERAGE:.0f} %")


def bar(case: Case, score: float | None) -> float:
    """Scale a score to a bar's length in [0, 1]: the best has 1, the last a twelfth.

    Scores of different similarities have no common zero, so bars span one picture's scores.
    """
    known = [value for _, value, _ in case.ranking if value is not None]
    if score is None:
        return 0.0
    low, high = min(known), max(known)
    return 1.0 if high == low else (1 + 11 * (score - low) / (high - low)) / 12


def write(result: Attribution, path: str | Path) -> Path:
    """Write the report of a run, its folder made where missing.

    Raises OSError where the file cannot be written.
    """
    path = Path(path)
    page = _template().render(fragment=False, **_page(result))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def fragment(result: Attribution) -> str:
    """Render the pictures of a run as HTML to show in Jupyter, the first 20."""
    cards = [card for _, card in zip(range(SHOWN), _cards(result), strict=False)]
    left = len(result.cases) - len(cards)
    more = f"… and {left} more pictures; .records() and .report(path) hold all." if left else ""
    return _template().render(fragment=True, cards=cards, more=more)


def payload(result: Attribution) -> dict[str, Any]:
    """Collect what a second run needs, and what it is compared with, as plain JSON values."""
    setting = result.setting
    return {
        "format": FORMAT,
        "call": setting.call,
        "attributor": repr(setting.attributor),
        "zoo": list(setting.zoo),
        "threshold": None if setting.threshold is None else repr(setting.threshold),
        "conformal": None if setting.conformal is None else repr(setting.conformal),
        "known": None if setting.known is None else setting.known.digest,
        "seed": setting.seed,
        "made": result.made,
        "versions": {**versions(), "machine": f"{platform.system()} {platform.machine()}"},
        "weights": setting.weights,
        "pictures": {image_id: _outcome(case) for image_id, case in result.cases.items()},
    }


def read(path: str | Path) -> dict[str, Any]:
    """Take the settings and digests out of a report.

    Raises ValueError, one sentence, where the file is no report of ours.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ValueError(f"the report {str(path)!r} cannot be read: {reason}") from error
    pattern = r'<script type="application/json" id="attribution-workbench">(.*?)</script>'
    found = re.findall(pattern, text, re.DOTALL)
    try:
        kept = json.loads(found[-1])
        expected = {
            "format": int,
            "call": dict,
            "versions": dict,
            "weights": dict,
            "pictures": dict,
        }
        if not all(isinstance(kept[name], kind) for name, kind in expected.items()):
            raise TypeError
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} is not a report that `workbench attribute --report` wrote, "
            "or it was changed"
        ) from error
    if kept["format"] != FORMAT:
        raise ValueError(f"the report has format {kept['format']!r}; this workbench reads {FORMAT}")
    return dict(kept)


@dataclass(frozen=True)
class Match:
    """One thing compared between a report and its second run."""

    what: str
    matches: bool
    note: str


def compare(kept: dict[str, Any], result: Attribution) -> list[Match]:
    """Say what of a report was made alike again.

    Args:
        kept: what `read` returned.
        result: the second run, with the report's settings.

    Returns:
        matches on the setting, the versions and the weights, then on each path: its pixels,
        prompt, candidate images, scores (within 1e-6) and decision.
    """
    now = payload(result)
    found = [
        Match("setting", *_same_setting(kept, now)),
        Match("versions", *_same_values(kept["versions"], now["versions"])),
        Match("weights", *_same_values(kept["weights"], now["weights"])),
    ]
    for path, image_id in result.paths:
        if image_id not in kept["pictures"]:
            found.append(Match(f"{path}: pixels", False, "this picture is not in the report"))
            continue
        before, after = kept["pictures"][image_id], now["pictures"][image_id]
        found.append(Match(f"{path}: pixels", True, "as in the report"))
        same = before.get("error") == after["error"]
        if after["error"]:
            found.append(Match(f"{path}: failure", same, after["error"]))
            continue
        same = before.get("prompt") == after["prompt"]
        found.append(Match(f"{path}: prompt", same, after["prompt"] or "(empty)"))
        found.append(Match(f"{path}: candidates", *_same_candidates(before, after)))
        found.append(Match(f"{path}: scores", *_same_scores(before, after)))
        keys = ("predicted", "best", "set", "p_known")
        same = all(before.get(key) == after[key] for key in keys)
        found.append(Match(f"{path}: decision", same, after["predicted"] or "no call"))
    return found


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    here = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=here, autoescape=True, trim_blocks=True).get_template("report.html")


def _page(result: Attribution) -> dict[str, Any]:
    kept = payload(result)
    cards = list(_cards(result))
    counts = [
        f"{n} {_KINDS[kind]}"
        for kind in _KINDS
        if (n := sum(c["verdict"].kind == kind for c in cards))
    ]
    method = result.setting.attributor
    fields = dataclasses.fields(method) if dataclasses.is_dataclass(method) else ()
    settings = {
        "attributor": type(method).__name__,
        **{
            field.name: value
            for field in fields
            if field.repr and (value := getattr(method, field.name)) is not None
        },
        "candidate models": ", ".join(kept["zoo"]),
        "preset": result.setting.preset,
        "run seed": kept["seed"],
        "threshold": _threshold(result),
        **_calibrated(result),
        "made": f"{result.made}, in {result.seconds:.1f} s",
    }
    pictures = "1 picture" if len(cards) == 1 else f"{len(cards)} pictures"
    return {
        "cards": cards,
        "summary": f"{pictures}, {len(kept['zoo'])} candidate models: {', '.join(counts)}.",
        "settings": settings.items(),
        "weights": kept["weights"].items(),
        "versions": kept["versions"].items(),
        "payload": kept,
    }


_KINDS = {
    "attributed": "attributed",
    "forced": "ranked by forced choice",
    "abstained": "without a call",
    "rejected": "by none of these",
    "failed": "failed",
}


def _threshold(result: Attribution) -> str:
    setting = result.setting
    if setting.threshold is None:
        return "none: not calibrated for this setting"
    return f"{setting.threshold:.4f} ({setting.threshold_from})"


def _calibrated(result: Attribution) -> dict[str, str]:
    """Tell what attribution sets and "none of these" rest on, where the setting has them."""
    setting, found = result.setting, {}
    if setting.conformal is not None:
        found["attribution set"] = f"all scores at most {setting.conformal:.4f} behind the best"
    if setting.known is not None:
        found["none of these"] = (
            f"p ≤ {decision.ALPHA} against {setting.known.pictures} calibration pictures "
            f"(sha256 {setting.known.digest[:16]})"
        )
    return found


def _cards(result: Attribution) -> Iterator[dict[str, Any]]:
    """Lay out one card for each test image, in order."""
    paths: dict[str, list[str]] = {}
    for path, image_id in result.paths:
        paths.setdefault(image_id, []).append(path)
    inverters = dict(zip(result.prompts["image_id"], result.prompts["inverter"], strict=True))
    share = [record["seconds"] for record in result.records()]
    seconds = next((f"{value:.2f} s a picture." for value in share if value is not None), "")
    told = result.told()
    for image_id, case in result.cases.items():
        readable = ":" not in image_id
        yield {
            "paths": paths[image_id],
            "evidence": [
                (path, each | {"prompt": each["prompt"] and frames.brief(each["prompt"])})
                for path in paths[image_id]
                for each in told.get(path, [])
            ],
            "uri": _uri(result, image_id, 512) if readable else None,
            "prompt": case.prompt and frames.brief(case.prompt),
            "inverter": inverters.get(image_id),
            "truncated": case.truncated,
            "verdict": verdict(case, result.setting.threshold),
            "among": among(case),
            "margin": "" if case.margin is None else f"{case.margin:.4f}",
            "seconds": seconds,
            "models": [_model(result, case, *row) for row in case.ranking if case.error is None],
        }


def _model(
    result: Attribution, case: Case, name: str, score: float | None, rank: int
) -> dict[str, Any]:
    """Lay out one candidate model's row."""
    return {
        "name": name,
        "rank": rank,
        "score": "–" if score is None else f"{score:.4f}",
        "bar": round(100 * bar(case, score), 1),
        "candidates": [
            {
                "index": made.index,
                "seed": made.seed,
                "uri": _uri(result, made.picture, 256) if made.picture else None,
                "failure": made.failure,
                "similarity": "" if made.similarity is None else f"{made.similarity:.3f}",
            }
            for made in case.candidates.get(name, [])
        ],
    }


def _uri(result: Attribution, picture: str, side: int) -> str:
    return images.data_uri(result.store.picture(picture), side)


def _outcome(case: Case) -> dict[str, Any]:
    """Keep what a second run of this case is compared with."""
    return {
        "error": case.error,
        "prompt": case.prompt,
        "best": case.best,
        "predicted": case.best if case.accepted else None,
        "margin": case.margin,
        "set": None if case.included is None else list(case.included),
        "p_known": case.p_known,
        "ranking": [[name, score] for name, score, _ in case.ranking],
        "candidates": {
            name: [[made.seed, made.picture] for made in case.candidates[name]]
            for name in sorted(case.candidates)
        },
    }


def _same_setting(kept: dict[str, Any], now: dict[str, Any]) -> tuple[bool, str]:
    names = ("attributor", "zoo", "threshold", "conformal", "known", "seed")
    other = [name for name in names if kept.get(name) != now[name]]
    return not other, f"other {', '.join(other)}" if other else now["attributor"]


def _same_values(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, str]:
    other = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return not other, f"other {', '.join(other)}" if other else ", ".join(after)


def _same_candidates(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, str]:
    kept = before.get("candidates") or {}
    pairs = [
        (name, i, made) for name, row in after["candidates"].items() for i, made in enumerate(row)
    ]
    same = [made in kept.get(name, [])[i : i + 1] for name, i, made in pairs]
    whole = all(same) and {n: len(row) for n, row in kept.items()} == {
        n: len(row) for n, row in after["candidates"].items()
    }
    return whole, f"{sum(same)} of {len(same)} candidate images equal, pixel by pixel"


def _same_scores(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, str]:
    old, new = before.get("ranking") or [], after["ranking"]
    if [row[0] for row in old] != [row[0] for row in new]:
        return False, "another order: " + ", ".join(name for name, _ in new)
    gaps = [abs((a or 0.0) - (b or 0.0)) for (_, a), (_, b) in zip(old, new, strict=True)]
    return max(gaps, default=0.0) <= 1e-6, f"largest difference {max(gaps, default=0.0):.1e}"
