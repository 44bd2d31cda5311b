"""Settings and digests that a report keeps, and their comparison with a second run."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.store.store import versions
from workbench.text import brief

if TYPE_CHECKING:
    from workbench.attribution.result import Attribution, Case


FORMAT = 1
MARK = '<script type="application/json" id="attribution-workbench">'
MAX_BYTES = 2 * 2**30
"""What the file of a report may hold."""
NONE = type(None)
TEXT, NUMBER = (str, NONE), (int, float, NONE)
CALL: dict[str, Any] = {
    **dict.fromkeys(("preset", "attributor", "zoo", "inverter", "prompt"), str),
    **dict.fromkeys(("similarity", "aggregate", "calibration"), str),
    **dict.fromkeys(("gamma", "seed"), int),
    "without_missing": bool,
    "treat_alike": bool,
}
"""The options of a run that a report may tell, and their types."""
WORDS = {str: "text", int: "a whole number", bool: "true or false"}
PARTS: dict[str, Any] = {
    "format": int,
    "call": dict,
    "versions": {str: str},
    "weights": {str: str},
    "pictures": dict,
}
CASE: dict[str, Any] = {
    **dict.fromkeys(("error", "prompt", "best", "predicted"), TEXT),
    **dict.fromkeys(("margin", "p_known"), NUMBER),
    "set": (list, NONE),
    "ranking": [[(str, *NUMBER)]],
    "candidates": {str: [[(int, *TEXT)]]},
}
"""What a report keeps of a picture; lists of lists are rows of cells."""


def payload(result: Attribution) -> dict[str, Any]:
    """Return the settings and digests of a run as plain JSON values."""
    setting = result.setting
    return {
        "format": FORMAT,
        "call": setting.call,
        "attributor": repr(setting.attributor),
        "zoo": list(setting.zoo),
        "threshold": None if setting.threshold is None else repr(setting.threshold),
        "conformal": None if setting.conformal is None else repr(setting.conformal),
        "known": None if setting.known is None else setting.known.digest,
        "confidence": None if setting.confidence is None else setting.confidence.fitted.digest,
        "seed": setting.seed,
        "made": result.made,
        "versions": {**versions(), "machine": f"{platform.system()} {platform.machine()}"},
        "weights": setting.weights,
        "pictures": {image_id: _outcome(case) for image_id, case in result.cases.items()},
    }


def read(path: str | Path) -> dict[str, Any]:
    """Return the settings and digests in a report, the type of every value checked.

    Raises ValueError, one sentence, where the file is no report of ours.
    """
    text = _text(path)
    start = text.rfind(MARK)
    end = text.find("</script>", start)
    try:
        if min(start, end) < 0:
            raise ValueError
        payload = json.loads(text[start + len(MARK) : end])
        if not isinstance(payload, dict):
            raise TypeError
    except (TypeError, ValueError, RecursionError) as error:
        raise _changed(path) from error
    if payload.get("format") != FORMAT and isinstance(payload.get("format"), int):
        seen = payload["format"]
        raise ValueError(f"the report has format {seen!r}; this workbench reads {FORMAT}")
    if not all(_is(payload.get(name), kind) for name, kind in PARTS.items()):
        raise _changed(path)
    if not all(_is_case(case) for case in payload["pictures"].values()):
        raise _changed(path)
    for name, value in payload["call"].items():
        if name not in CALL:
            raise ValueError(
                f"{str(path)!r} has settings that this workbench does not know: {brief(name, 80)}"
            )
        if not _is(value, CALL[name]):
            raise ValueError(
                f"the setting {name} of the report {str(path)!r} should be {WORDS[CALL[name]]}; "
                f"it is {brief(repr(value), 80)}"
            )
    return dict(payload)


def _is_case(case: Any) -> bool:
    """Return whether a value is what a report keeps of a picture: see `_outcome`."""
    if not _is(case, CASE, partly=True):
        return False
    rows = [*case.get("ranking", [])]
    for several in case.get("candidates", {}).values():
        rows += several
    return all(len(row) == 2 for row in rows) and all(
        isinstance(row[0], str) and not isinstance(row[1], str) for row in case.get("ranking", [])
    )


def _changed(path: str | Path) -> ValueError:
    return ValueError(
        f"{str(path)!r} is not a report that `workbench attribute --report` wrote, "
        "or it was changed"
    )


def _text(path: str | Path) -> str:
    """Return the text of a report; ValueError where it cannot be read."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"the report {str(path)!r} cannot be read: it is no file")
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"the report {str(path)!r} cannot be read: it has more than "
                f"{MAX_BYTES // 2**20:,} MiB"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ValueError(f"the report {str(path)!r} cannot be read: {reason}") from error


def _is(value: Any, kind: Any, partly: bool = False) -> bool:
    """Return whether a JSON value is of a kind: a type, types, [kind], {str: kind}, or a table.

    A table may hold more; `partly`: it may hold less, too.
    """
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(item, kind[0]) for item in value)
    if isinstance(kind, dict) and list(kind) == [str]:
        return isinstance(value, dict) and all(_is(item, kind[str]) for item in value.values())
    if isinstance(kind, dict):
        named = isinstance(value, dict)
        return named and all(
            _is(value[name], inner) if name in value else partly for name, inner in kind.items()
        )
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)


@dataclass(frozen=True)
class Match:
    """One comparison between a report and its second run."""

    what: str
    matches: bool
    note: str


def compare(before: dict[str, Any], result: Attribution) -> list[Match]:
    """Return what a second run has in common with the run of a report.

    Args:
        before: what `read` returned.
        result: the second run, with the report's settings.

    Returns:
        matches on the setting, the versions and the weights, then on each path: its pixels,
        prompt, candidate images, scores (within 1e-6) and decision.
    """
    now = payload(result)
    matches = [
        Match("setting", *_same_setting(before, now)),
        Match("versions", *_same_values(before["versions"], now["versions"])),
        Match("weights", *_same_values(before["weights"], now["weights"])),
    ]
    for path, image_id in result.paths:
        if image_id not in before["pictures"]:
            matches.append(Match(f"{path}: pixels", False, "this picture is not in the report"))
            continue
        old, new = before["pictures"][image_id], now["pictures"][image_id]
        matches.append(Match(f"{path}: pixels", True, "as in the report"))
        same = old.get("error") == new["error"]
        if new["error"]:
            matches.append(Match(f"{path}: failure", same, new["error"]))
            continue
        same = old.get("prompt") == new["prompt"]
        matches.append(Match(f"{path}: prompt", same, new["prompt"] or "(empty)"))
        matches.append(Match(f"{path}: candidates", *_same_candidates(old, new)))
        matches.append(Match(f"{path}: scores", *_same_scores(old, new)))
        keys = ("predicted", "best", "set", "p_known")
        same = all(old.get(key) == new[key] for key in keys)
        matches.append(Match(f"{path}: decision", same, new["predicted"] or "no call"))
    return matches


def _outcome(case: Case) -> dict[str, Any]:
    """Return what a second run of this case is compared with."""
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
            name: [[candidate.seed, candidate.picture] for candidate in case.candidates[name]]
            for name in sorted(case.candidates)
        },
    }


def _same_setting(before: dict[str, Any], now: dict[str, Any]) -> tuple[bool, str]:
    names = ("attributor", "zoo", "threshold", "conformal", "known", "confidence", "seed")
    other = [name for name in names if before.get(name) != now[name]]
    return not other, f"other {', '.join(other)}" if other else now["attributor"]


def _same_values(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, str]:
    other = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return not other, f"other {', '.join(other)}" if other else ", ".join(after)


def _same_candidates(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, str]:
    old = before.get("candidates") or {}
    pairs = [
        (name, i, candidate)
        for name, row in after["candidates"].items()
        for i, candidate in enumerate(row)
    ]
    same = [candidate in old.get(name, [])[i : i + 1] for name, i, candidate in pairs]
    whole = all(same) and {n: len(row) for n, row in old.items()} == {
        n: len(row) for n, row in after["candidates"].items()
    }
    return whole, f"{sum(same)} of {len(same)} candidate images equal, pixel by pixel"


def _same_scores(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, str]:
    old, new = before.get("ranking") or [], after["ranking"]
    if [row[0] for row in old] != [row[0] for row in new]:
        return False, "another order: " + ", ".join(name for name, _ in new)
    gaps = [abs((a or 0.0) - (b or 0.0)) for (_, a), (_, b) in zip(old, new, strict=True)]
    return max(gaps, default=0.0) <= 1e-6, f"largest difference {max(gaps, default=0.0):.1e}"
