"""Training-free source attribution of text-to-image pictures (Li et al. 2024, arXiv:2403.01489).

Given a picture x and K candidate models: invert the prompt, let every model make γ candidate
images from it, rank the models by how similar their candidates are to x, and decide, or abstain.

A map of the ideas, each in one place:

==============  =====================================================================
the job         ``attribute`` a picture; ``evaluate_preset`` a setting, or ``evaluate`` rivals
names           ``load`` a plug-in, ``zoo`` of candidate models, ``preset`` of settings
the stages      ``pipeline``: ``invert`` → ``generate`` → ``encode`` → ``similarity``;
                ``ranking``: ``score`` (aggregate), ``rank``, ``decide``
plug-ins        folders ``inverters``, ``generators``, ``encoders``, ``similarities``,
                ``attributors``, ``figures``: one file, one frozen dataclass, one idea
tables          ``frames``: what passes between the stages
memory          ``Store``: every prompt, picture and feature vector is made once
==============  =====================================================================

Everything loads on first use: importing this package imports neither torch nor pandas.

>>> import workbench as wb
>>> wb.load("natural")
Natural()
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "attribute": "attribution",
    "evaluate": "experiment",
    "evaluate_preset": "experiment",
    "load": "catalogue",
    "zoo": "catalogue",
    "preset": "catalogue",
    "names": "catalogue",
    "Store": "store",
    "invert": "pipeline",
    "generate": "pipeline",
    "encode": "pipeline",
    "similarity": "pipeline",
    "score": "ranking",
    "rank": "ranking",
    "decide": "ranking",
    "Regeneration": "attributors.regeneration",
    "ReferenceBank": "attributors.reference_bank",
    "Blip": "inverters.blip",
    "Natural": "inverters.natural",
    "Empty": "inverters.empty",
    "Interrogator": "inverters.interrogator",
    "Pez": "inverters.pez",
    "Diffusers": "generators.diffusers",
    "ImageToken": "generators.image_token",
    "Archive": "generators.archive",
    "OpenClip": "encoders.open_clip",
    "Cosine": "similarities.cosine",
    "SSIM": "similarities.ssim",
    "NegativeMSE": "similarities.mse",
}
_MODULES = (
    "attribution", "attributors", "calibration", "catalogue", "checkpoints", "encoders",
    "evaluation", "experiment", "figures", "frames", "generators", "images", "inverters",
    "pipeline", "ranking", "report", "similarities", "statistics", "store",
)  # fmt: skip
__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    """Import the home of ``name`` when it is first asked for."""
    if name in _MODULES:
        return import_module(f"workbench.{name}")
    if name in _HOME:
        return getattr(import_module(f"workbench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
