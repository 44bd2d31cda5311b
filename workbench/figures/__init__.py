"""Figures: frame → Axes, one figure a file. They show n and an interval, and save nothing.

To add one, copy the nearest file beside this one and name it below.
"""

from __future__ import annotations

from workbench.figures.accuracy import accuracy
from workbench.figures.colours import colours
from workbench.figures.confusion import confusion
from workbench.figures.curve import curve
from workbench.figures.dots import dots
from workbench.figures.evaluation import evaluation
from workbench.figures.grid import grid
from workbench.figures.ranking import ranking

__all__ = ["accuracy", "colours", "confusion", "curve", "dots", "evaluation", "grid", "ranking"]
