"""What a report keeps of its run, a run made again from it, and how the two compare."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.store.store import versions

if TYPE_CHECKING:
    from workbench.attribution.result import Attribution, Case


FORMAT = 1


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
