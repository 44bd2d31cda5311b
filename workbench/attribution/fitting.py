"""Fit attributors on fresh calibration pictures of a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench import pipeline
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting, settle
from workbench.pipeline.progress import Progress, under
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


def fit(
    attributor: Any,
    setting: str | Preset | Setting = "pocket",
    seed: int = 0,
    store: Store | None = None,
    progress: Progress | None = None,
    n: int = 25,
) -> Any:
    """Return an attributor fitted on calibration pictures of a setting; a fitted one as it is.

    Args:
        attributor: an Attributor.
        setting: whose zoo draws pictures of its calibration prompts.
        seed: of the draw and the pictures.
        store: where everything made is kept; the user's own when left out.
        progress: called with ("fit: stage", done, total).
        n: prompts of the portion ``selection``, or all of them where there are fewer; every model
            makes one picture of each.

    Returns:
        a fitted copy, or the attributor itself.

    Raises:
        LookupError: weights or prompts are missing.
        ValueError: the pictures do not suffice to fit it.
    """
    if not getattr(attributor, "unfitted", False):
        return attributor
    setting = settle(setting)
    n = min(n, len(setting.prompts("selection")))
    if store is None:
        store = Store()
    named = under("fit", progress)
    images, _ = calibration_pictures(setting, "selection", n, seed, store, named)
    return attributor.fit(images, setting.zoo, store=store, seed=seed, progress=named)


def calibration_pictures(
    setting: Setting,
    portion: str,
    n: int,
    seed: int,
    store: Store,
    progress: Progress | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generate calibration pictures by every model; return images, and the truth about them."""
    texts = presets.draw(setting.prompts(portion), n, seed)
    return pipeline.make_queries(texts, setting.zoo, store, seed, progress)
