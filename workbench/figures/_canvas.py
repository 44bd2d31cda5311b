"""What every figure shares: new Axes, and how they look; nothing of it touches global settings."""

from __future__ import annotations

from typing import Any


def axes(ax: Any, size: tuple[float, float]) -> Any:
    """Answer the given Axes, or new ones of a size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def tidy(ax: Any, title: str, label: str, grid: str = "") -> None:
    """Set the title on the left and the label below; leave out what carries nothing."""
    ax.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    ax.set_xlabel(label, fontsize="small", color="0.3")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color("0.7")
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="x", labelsize="small", labelcolor="0.3")
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis=grid, color="0.9", lw=0.8)
