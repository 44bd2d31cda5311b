"""One self-contained HTML file per run, its verdicts in words, and what makes it redoable.

The file holds everything seen and used, and the settings and digests as JSON: `read` takes them
out again, and `compare` says what a second run made alike. All text is escaped by the template.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from workbench import images
from workbench.attribution import replay
from workbench.attribution.verdict import among, bar, verdict
from workbench.ranking import conformal
from workbench.text import brief

if TYPE_CHECKING:
    from jinja2 import Template

    from workbench.attribution.result import Attribution, Case


SHOWN = 20  # pictures shown in Jupyter; the report shows all


def write(result: Attribution, path: str | Path, full_paths: bool = False) -> Path:
    """Write the report of a run, its folder made where missing.

    Pictures go by their file names, since a report is handed on; with `full_paths` by the paths
    they were asked for.

    Raises OSError where the file cannot be written.
    """
    path = Path(path)
    page = _template().render(fragment=False, **_page(result, full_paths))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def fragment(result: Attribution) -> str:
    """Render the pictures of a run as HTML to show in Jupyter, the first 20."""
    cards = [card for _, card in zip(range(SHOWN), _cards(result, full_paths=True), strict=False)]
    left = len(result.cases) - len(cards)
    more = f"… and {left} more pictures; .records() and .report(path) hold all." if left else ""
    return _template().render(fragment=True, cards=cards, more=more)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    here = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=here, autoescape=True, trim_blocks=True).get_template("report.html")


def _page(result: Attribution, full_paths: bool) -> dict[str, Any]:
    kept = replay.payload(result)
    cards = list(_cards(result, full_paths))
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
        "preset": result.setting.preset.name,
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
            f"p ≤ {conformal.ALPHA} against {setting.known.pictures} calibration pictures "
            f"(sha256 {setting.known.digest[:16]})"
        )
    return found


def _cards(result: Attribution, full_paths: bool = False) -> Iterator[dict[str, Any]]:
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
        names = {path: path if full_paths else PurePath(path).name for path in paths[image_id]}
        yield {
            "paths": list(names.values()),
            "evidence": [
                (names[path], each | {"prompt": each["prompt"] and brief(each["prompt"])})
                for path in paths[image_id]
                for each in told.get(path, [])
            ],
            "uri": _uri(result, image_id, 512) if readable else None,
            "prompt": case.prompt and brief(case.prompt),
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
