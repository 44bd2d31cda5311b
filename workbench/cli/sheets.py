"""Figures of saved results as files for a venue: PDF, PNG, CSV and a LaTeX table each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from workbench import experiments
from workbench.catalogue.wording import in_words
from workbench.evaluation.benchmark import CONTROLS, Evaluation

if TYPE_CHECKING:
    import pandas as pd


MARKS = {"results.csv": "provenance.json", "summary.json": "evaluations.parquet"}
"""What tells the folder of an experiment, and of an evaluation: two files in each."""


def find(folder: Path) -> dict[str, Path]:
    """Return the folders that `workbench experiment` and `workbench evaluate --out` wrote.

    Returns:
        name → folder, of ``folder`` itself and all below, sorted.

    Raises:
        LookupError: there is none.
    """
    folders = {
        path.parent: "-".join(path.parent.relative_to(folder).parts) or path.parent.name
        for one, other in MARKS.items()
        for path in folder.rglob(one)
        if path.with_name(other).is_file()
    }
    if not folders:
        raise LookupError(
            f"there is nothing to draw in {str(folder)!r}: give --from a folder that `workbench "
            "experiment NAME` or `workbench evaluate --out` wrote, or a checkout's data/reference"
        )
    return {name: path for path, name in sorted(folders.items(), key=lambda pair: pair[1])}


def write(name: str, folder: Path, out: Path) -> tuple[list[Path], str]:
    """Draw one of them anew, in the venue that is set.

    Returns:
        the files written, and the sentence that tells what was found.

    Raises:
        OSError: a file cannot be read or written.
        LookupError: it is of an experiment that is not here.
        ValueError: its frames cannot be read.
    """
    from workbench import figures
    from workbench.figures.save import drawn

    if (folder / "results.csv").is_file():
        findings = experiments.read(folder)
        figure, table, caption = findings.figure(), findings.frames["results"], findings.answer
    else:
        figure, table, caption = _evaluation(folder)
    files = figures.save(figure, out / name)
    text = experiments.latex(table, caption, name, drawn(figure))
    (out / f"{name}.tex").write_text(text, encoding="utf-8")
    return [*files, out / f"{name}.tex"], in_words(caption)


def index(out: Path, captions: Sequence[tuple[str, str]], venue: str) -> Path:
    """Write a page to look at them all: name and sentence of each; answer its path."""
    parts = [
        f'<h2>{escape(name)}</h2>\n<p>{escape(sentence)}</p>\n<img srcset="{quote(name)}.png 2x" '
        f'alt="{escape(sentence)}">\n<p>'
        + " · ".join(
            f'<a href="{quote(name)}.{kind}">{kind.upper()}</a>'
            for kind in ("pdf", "png", "csv", "tex")
        )
        + "</p>"
        for name, sentence in captions
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>Figures for {escape(venue)}</title>\n"
        "<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
        "color:#222;background:#fff}img{max-width:100%;border:1px solid #ddd}</style>\n"
        f"<h1>Figures for {escape(venue)}</h1>\n" + "\n".join(parts) + "\n</html>\n"
    )
    (out / "index.html").write_text(page, encoding="utf-8")
    return out / "index.html"


def _evaluation(folder: Path) -> tuple[Any, pd.DataFrame, str]:
    """Draw an evaluation's sheet; answer the accuracies in it, and a sentence."""
    import pandas as pd
    from matplotlib.figure import Figure

    from workbench import figures

    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in FRAMES}
    kinds = ["regeneration", *(kind for kind in CONTROLS if summary["controls"].get(kind))]
    methods = list(pd.unique(frames["evaluations"]["attributor"]))
    if len(methods) != len(kinds):  # a control that is the attributor itself was not run twice
        methods, kinds = [summary["settings"]["attributor"]], kinds[:1]
    figure = Figure(layout="constrained")
    names = dict(zip(kinds, methods, strict=True))
    figures.evaluation(Evaluation(summary, "", names, frames), figure=figure)
    table = frames["evaluations"]
    table = table[(table["metric"] == "accuracy") & table["attributor"].isin(methods)]
    table = table.assign(attributor=table["attributor"].map(dict(zip(methods, kinds, strict=True))))
    accuracy, n = summary["accuracy"], summary["settings"]["n"]
    caption = (
        f"{summary['settings']['preset']}: {accuracy['value']:.1%} right ({accuracy['low']:.1%} to "
        f"{accuracy['high']:.1%}, n = {accuracy['n']} pictures of {n} prompts)."
    )
    columns = ["attributor", "slice", "metric", "value", "low", "high", "n"]
    return figure, table[columns], caption


FRAMES = ("evaluations", "outcomes")
"""The frames an evaluation's sheet is drawn from."""
