"""Render a run as one self-contained HTML file: verdicts, settings and digests.

The file holds everything seen and used, and the settings and digests as JSON: `read` takes them
out again, and `compare` says what a second run made alike. All text is escaped by the template.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.attribution import replay, validity
from workbench.attribution.cards import cards
from workbench.attribution.verdict import notes
from workbench.keys import digest
from workbench.paths import names_only
from workbench.ranking import conformal

if TYPE_CHECKING:
    from jinja2 import Template

    from workbench.attribution.result import Attribution


def write(result: Attribution, path: str | Path, full_paths: bool = False) -> Path:
    """Write the report of a run; create its folder where missing.

    Pictures go by their file names, since a report is handed on, and so do archives and whatever
    else was named by a path in full; with `full_paths` by the paths they were asked for. A run made
    again from a report finds an archive by its name where that lies in the current folder.

    Raises OSError where the file cannot be written.
    """
    path = Path(path)
    page = _template().render(**_page(result, full_paths))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def answer(result: Attribution) -> str:
    """Return the answer for the first picture of a run as HTML, for who asks of one picture.

    What it is narrowed to, why, and what that does not prove; texts escaped.
    """
    run = digest([repr(result.setting.attributor), result.setting.seed, *result.cases])
    card = next(cards(result, prefix=f"answer-{run[:12]}"))
    return _template("answer.html").render(card=card, notes=_notes(result))


@cache
def _template(name: str = "report.html") -> Template:
    from jinja2 import Environment, FileSystemLoader

    here = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=here, autoescape=True, trim_blocks=True).get_template(name)


def _page(result: Attribution, full_paths: bool) -> dict[str, Any]:
    payload = replay.payload(result)
    parts = 0 if full_paths else _parts(result.setting.zoo)
    shown = list(cards(result, full_paths))
    counts = [
        f"{n} {_KINDS[kind]}"
        for kind in _KINDS
        if (n := sum(card["verdict"].kind == kind for card in shown))
    ]
    method = result.setting.attributor
    fields = dataclasses.fields(method) if dataclasses.is_dataclass(method) else ()
    settings = {
        "attributor": type(method).__name__,
        **{
            field.name: str(value)
            for field in fields
            if field.repr and (value := getattr(method, field.name)) not in (None, False)
        },
        "candidate models": ", ".join(payload["zoo"]),
        "preset": result.setting.preset.name,
        "run seed": payload["seed"],
        "threshold": _threshold(result),
        **_calibrated(result),
        "made": f"{result.made}, in {result.seconds:.1f} s",
    }
    pictures = "1 picture" if len(shown) == 1 else f"{len(shown)} pictures"
    page = {
        "cards": [card | {"verdict": vars(card["verdict"])} for card in shown],
        "summary": f"{pictures}, {len(payload['zoo'])} candidate models: {', '.join(counts)}.",
        "notes": list(_notes(result)),
        "settings": list(settings.items()),
        "weights": list(payload["weights"].items()),
        "versions": list(payload["versions"].items()),
        "payload": payload,
    }
    return dict(names_only(page, parts)) if parts else page


def _parts(zoo: dict[str, Any]) -> int:
    """Return how many of the last names of paths keep the names of the models apart."""
    counts = (n for n in range(1, 99) if len(names_only(dict.fromkeys(zoo), n)) == len(zoo))
    return next(counts, 99)


_KINDS = {
    "attributed": "called",
    "family": "called as a family",
    "forced": "ranked by forced choice",
    "abstained": "without a call",
    "rejected": "by none of these",
    "failed": "failed",
}


def _notes(result: Attribution) -> list[str]:
    return notes(result.cases.values(), result.setting.threshold, result.redrawn)


def _threshold(result: Attribution) -> str:
    setting = result.setting
    if setting.confidence is not None:
        return f"of the calibrated probability ({setting.threshold_from})"
    if setting.threshold is None:
        return "none: not calibrated for this setting"
    return f"{setting.threshold:.4f} ({setting.threshold_from})"


def _calibrated(result: Attribution) -> dict[str, str]:
    """Return how well the setting was found to keep its word, and its calibration, if any."""
    setting, facts = result.setting, {}
    if (measured := validity.told(setting)) is not None:
        facts["measured beforehand"] = measured
    if setting.conformal is not None:
        facts["attribution set"] = f"all scores at most {setting.conformal:.4f} behind the best"
    if setting.confidence is not None:
        limits = setting.confidence.thresholds
        facts["called from a probability of"] = ", ".join(
            f"{name} {'never' if math.isinf(value) else f'{value:.4f}'}"
            for name, value in limits.items()
        )
        facts["probabilities"] = f"learned from {setting.confidence.fitted.pictures} pictures"
    if setting.known is not None:
        facts["none of these"] = (
            f"p ≤ {conformal.ALPHA} against {setting.known.pictures} calibration pictures "
            f"(sha256 {setting.known.digest[:16]})"
        )
    return facts
