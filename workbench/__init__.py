"""Training-free source attribution of text-to-image pictures (Li et al. 2024, arXiv:2403.01489).

Given a picture x and K candidate models: invert the prompt, let every model make γ candidate
images from it, rank the models by how similar their candidates are to x, and decide, or abstain.

A map of the ideas, each in one place:

==============  =====================================================================
the job         ``attribute`` a picture; ``evaluate_preset`` a setting, or ``evaluate`` rivals
names           ``load`` a plug-in, ``zoo`` of candidate models, ``preset`` of names;
                ``settle`` turns a preset into its objects, once
the stages      ``pipeline``: (``attack`` →) ``invert`` → ``generate`` → ``encode`` →
                ``similarity``; ``ranking``: ``score`` (aggregate), ``rank``, ``decide``;
                ``ranking.conformal``: attribution sets, and "none of these"
in a notebook   ``notebook``: figures for light and dark pages, progress in long cells
plug-ins        folders ``inverters``, ``generators``, ``encoders``, ``similarities``,
                ``attacks``, ``calibrations``, ``attributors``, ``experiments``: one file, one
                frozen dataclass; ``figures``: one file, one function of a frame
tables          ``frames``: what passes between the stages
memory          ``Store``: every prompt, picture and feature vector is made once
==============  =====================================================================

Everything loads on first use: importing this package imports neither torch nor pandas.

>>> import workbench as wb
>>> wb.load("natural")
Natural()
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "attribute": "attribution.attribute",
    "verify": "attribution.verification",
    "inspect": "evidence.pictures",
    "evaluate": "evaluation.benchmark",
    "evaluate_preset": "evaluation.benchmark",
    "notebook": "widgets.notebook",
    "load": "catalogue.registry",
    "zoo": "catalogue.registry",
    "preset": "catalogue.presets",
    "names": "catalogue.registry",
    "settle": "catalogue.setting",
    "Store": "store.store",
    "invert": "pipeline.inversion",
    "generate": "pipeline.generation",
    "encode": "pipeline.encoding",
    "similarity": "pipeline.comparison",
    "attack": "pipeline.attack",
    "score": "ranking.rank",
    "rank": "ranking.rank",
    "decide": "ranking.rank",
    "AEDR": "attributors.aedr",
    "Adaptive": "attributors.adaptive",
    "Chance": "attributors.chance",
    "DeFake": "attributors.defake",
    "Family": "attributors.family",
    "Fusion": "attributors.fusion",
    "KNN": "attributors.knn",
    "Layers": "attributors.layers",
    "Probe": "attributors.probe",
    "Prototype": "attributors.prototype",
    "ReferenceBank": "attributors.reference_bank",
    "Regeneration": "attributors.regeneration",
    "Shortcut": "attributors.shortcut",
    "Spectrum": "attributors.spectrum",
    "Blip": "inverters.blip",
    "Captioner": "inverters.captioner",
    "Chat": "inverters.chat",
    "Natural": "inverters.natural",
    "Empty": "inverters.empty",
    "Metadata": "inverters.metadata",
    "Interrogator": "inverters.interrogator",
    "Pez": "inverters.pez",
    "Diffusers": "generators.diffusers",
    "Glide": "generators.glide",
    "ImageToken": "generators.image_token",
    "MinDalle": "generators.min_dalle",
    "Hosted": "generators.hosted",
    "Archive": "generators.archive",
    "OpenClip": "encoders.open_clip",
    "Timm": "encoders.timm",
    "Transformers": "encoders.transformers",
    "Correlation": "similarities.correlation",
    "Cosine": "similarities.cosine",
    "Euclidean": "similarities.euclidean",
    "Hybrid": "similarities.hybrid",
    "MSSSIM": "similarities.ms_ssim",
    "Manhattan": "similarities.manhattan",
    "NegativeMSE": "similarities.mse",
    "PSNR": "similarities.psnr",
    "SSIM": "similarities.ssim",
    "Learned": "calibrations.learned",
    "Standardised": "calibrations.standardised",
    "Blur": "attacks.blur",
    "Brightness": "attacks.brightness",
    "Contrast": "attacks.contrast",
    "Crop": "attacks.crop",
    "JPEG": "attacks.jpeg",
    "Launder": "attacks.launder",
    "Noise": "attacks.noise",
    "PGD": "attacks.pgd",
    "Resize": "attacks.resize",
    "Rotation": "attacks.rotation",
    "Social": "attacks.social",
    "WebP": "attacks.webp",
}
_MODULES = (
    "attacks", "attribution", "attributors", "calibrations", "catalogue", "encoders", "evaluation",
    "evidence", "experiments", "figures", "frames", "generators", "images", "inverters", "keys",
    "paths", "pipeline", "plugin", "ranking", "runners", "similarities", "store", "text", "weights",
    "widgets",
)  # fmt: skip
_MOVED = {
    "calibration": ("evaluation.calibration", "attribution.fitting"),
    "checkpoints": ("weights.checkpoint", "weights.device", "weights.safety", "plugin"),
    "containers": ("generators._archive_files",),
    "data": ("paths",),
    "decision": ("ranking.conformal",),
    "elimination": ("ranking.elimination",),
    "experiment": ("evaluation.benchmark",),
    "fitted": ("plugin",),
    "frontends": ("evidence.frontends",),
    "hub": ("catalogue.hub", "weights.repository"),
    "index": ("store.index",),
    "intake": ("catalogue.download", "catalogue.add"),
    "ledger": ("generators._budget",),
    "machine": ("cli.doctor",),
    "making": ("pipeline.cache",),
    "memory": ("weights.memory",),
    "presets": ("catalogue.presets",),
    "report": ("attribution.report", "attribution.verdict", "attribution.replay"),
    "running": ("weights.loading", "weights.inference", "weights.memory"),
    "shelf": ("generators._archive_index",),
    "space": ("evaluation.projection",),
    "statistics": ("evaluation.statistics",),
    "stock": ("cli.zoo", "cli.store"),
    "tables": ("catalogue.toml", "paths"),
    "terminal": ("cli.terminal",),
    "wording": ("evaluation.prompts",),
}
"""Modules under their names of before, for one release, and where their contents are now."""
__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    """Import the home of ``name`` when it is first asked for."""
    if name in _MODULES:
        return import_module(f"workbench.{name}")
    if name in _MOVED:
        places = [f"workbench.{place}" for place in _MOVED[name]]
        warnings.warn(
            f"workbench.{name} is now {' and '.join(places)}; the old name goes with the next "
            "release",
            DeprecationWarning,
            stacklevel=2,
        )
        return _Moved(places)
    if name in _HOME:
        return getattr(import_module(f"workbench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


class _Moved:
    """An old module: its names are looked up in the modules that hold them now."""

    def __init__(self, places: list[str]) -> None:
        self._modules = [import_module(place) for place in places]

    def __getattr__(self, name: str) -> Any:
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        places = " and ".join(module.__name__ for module in self._modules)
        raise AttributeError(f"{places} have no {name!r}: it was renamed, or is gone")


def __dir__() -> list[str]:
    return __all__
