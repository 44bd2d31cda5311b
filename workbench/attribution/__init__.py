"""The main job: pictures in, a ranking of the candidate models and a verdict out.

``attribute``: the call. ``result``: its data. ``verdict``: what it says. ``report``: the page.
``replay``: a run made again. ``fitting``: what learns, fitted on calibration pictures.
"""

from __future__ import annotations

import warnings
from typing import Any

from workbench.attribution.attribute import attribute as attribute
from workbench.attribution.result import Attribution as Attribution
from workbench.attribution.result import Candidate as Candidate
from workbench.attribution.result import Case as Case


def __getattr__(name: str) -> Any:
    if name != "plan":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "attribution.plan is now workbench.settle; the old name goes with the next release",
        DeprecationWarning,
        stacklevel=2,
    )
    from workbench.catalogue.setting import settle

    return settle
