"""A run as a notebook shows it: tables that need no style sheet.

JupyterLab drops style sheets and scripts of a notebook that is not trusted yet, GitHub inline
styles too. What stands on both are real tables, and pictures that bring their width and height.
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.attribution.cards import cards
from workbench.attribution.verdict import notes
from workbench.images import marks

if TYPE_CHECKING:
    from jinja2 import Template

    from workbench.attribution.result import Attribution

SHOWN = 20
"""Test pictures shown; the report shows all."""
COLUMNS = 6
"""Candidate images beside one another, at most."""
INK = "#0173B2"
"""Of the dots on the scale of scores: seen on a light page and on a dark one."""


def page(result: Attribution) -> str:
    """Return the first 20 pictures of a run as HTML, every text escaped."""
    shown = list(islice(cards(result, full_paths=True), SHOWN))
    left = len(result.cases) - len(shown)
    drawn = (len(model["candidates"]) for card in shown for model in card["models"])
    return _template().render(
        cards=shown,
        columns=min(max(drawn, default=1), COLUMNS) or 1,
        ink=INK,
        notes=notes(result.cases.values(), result.setting.threshold, result.redrawn),
        more=f"… and {left} more pictures; .records() and .report(path) hold all." if left else "",
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    here = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=here, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"fitted": marks.fitted, "dots": marks.dots}
    return environment.get_template("notebook.html")
