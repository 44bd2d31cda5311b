"""Widgets: the bench people sit at, in JupyterLab. They hold frames and a selection.

One file is one widget; its .js and .css lie beside it. Each shows a still picture of itself where
no kernel runs (exported HTML), and its state is read from Python: ``explorer.selection``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "AttributePicture": "picture",
    "Comparer": "comparer",
    "ConfusionInspector": "confusion",
    "Explorer": "explorer",
    "Gallery": "gallery",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import the home of ``name`` when it is first asked for."""
    if name in _HOME:
        return getattr(import_module(f"workbench.widgets.{_HOME[name]}"), name)
    raise AttributeError(f"module 'workbench.widgets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
