"""Figures: frame → Axes, one figure a file. They show n and an interval, and save nothing.

Every candidate model has one colour in all of them (`colours`). Inside of `venue` they are as wide
as its column or text, in its letters; `save` writes PDF, PNG and the CSV drawn from. To add one,
copy the nearest file beside this one and name it below.
"""

from __future__ import annotations

from workbench.figures._canvas import legend, resize, settle, source, tidy
from workbench.figures.accuracy import accuracy
from workbench.figures.colours import colours
from workbench.figures.confusion import confusion
from workbench.figures.contact import contact
from workbench.figures.coverage import coverage
from workbench.figures.curve import curve
from workbench.figures.distributions import distributions
from workbench.figures.dots import dots
from workbench.figures.evaluation import evaluation
from workbench.figures.grid import grid
from workbench.figures.matrix import matrix
from workbench.figures.notebook import notebook, png
from workbench.figures.oscr import oscr
from workbench.figures.pictures import pictures
from workbench.figures.ranking import ranking
from workbench.figures.reliability import reliability
from workbench.figures.save import save
from workbench.figures.space import space
from workbench.figures.tippett import tippett
from workbench.figures.venue import venue

__all__ = [
    "accuracy",
    "colours",
    "confusion",
    "contact",
    "coverage",
    "curve",
    "distributions",
    "dots",
    "evaluation",
    "grid",
    "legend",
    "matrix",
    "notebook",
    "oscr",
    "pictures",
    "png",
    "ranking",
    "reliability",
    "resize",
    "save",
    "settle",
    "source",
    "space",
    "tidy",
    "tippett",
    "venue",
]
