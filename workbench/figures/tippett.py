"""Tippett plot: cumulative likelihood ratios of both kinds of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

STEPS = 81
"""Places on x at which the shares and their intervals are computed."""
EDGE = 8.0
"""Largest log10 LR that is drawn; larger ones, infinite ones too, stand there."""


def tippett(
    ratios: pd.DataFrame,
    *,
    title: str = "Likelihood ratios of the true model and of the others",
    ax: Any = None,
) -> Any:
    """Draw the share of trials with at least a likelihood ratio, for either kind of trial.

    The further apart the lines the better: that of the true model stays high to the right of
    LR = 1, that of the others falls to the left of it. What is on the wrong side of it misleads;
    the legend tells how much, with its 95% interval over scenes (plots of this kind go back to
    Tippett et al. 1968, J. Forensic Sci. Soc. 8:61).

    Args:
        ratios: what `likelihood.ratios` answers: ``log10_lr``, ``same`` (bool) and ``prompt``.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes; the bands are 95% intervals over scenes, each for its own place on x.

    Raises:
        ValueError: there are not trials of both kinds.
    """
    import pandas as pd

    from workbench.evaluation.prompts import scenes
    from workbench.evaluation.statistics import accuracy_interval
    from workbench.figures._canvas import axes, count, key, pt, source, tidy
    from workbench.figures.colours import GREYS

    table = ratios[ratios["log10_lr"].notna()]
    own = table["same"].to_numpy(bool)
    if own.all() or not own.any():
        raise ValueError(
            "a Tippett plot needs ratios of the true model and of others; seen "
            f"{own.sum()} and {(~own).sum()}"
        )
    values = table["log10_lr"].to_numpy(float)
    finite = np.abs(values[np.isfinite(values)])
    reach = min(EDGE, max(1.0, float(np.ceil(finite.max())) if len(finite) else EDGE))
    ax, traced = axes(ax, 6.0, 4.2), []
    kinds = (("true", own, "-", "below 1"), ("others", ~own, "--", "above 1"))
    for place, (name, part, dash, side) in enumerate(kinds):
        drawn, shown = np.clip(values[part], -reach, reach), scenes(table[part])
        rows = []
        for at in np.linspace(-reach, reach, STEPS):
            share = accuracy_interval(drawn >= at - 1e-12, shown)
            ends = {"value": share.value, "low": share.low, "high": share.high, "n": share.n}
            rows.append({"trials": name, "log10_lr": at, **ends})
        line = pd.DataFrame(rows)
        wrong = accuracy_interval(drawn < 0 if place == 0 else drawn > 0, shown)
        label = f"{name}: {wrong.value:.1%} {side} ({100 * wrong.low:.1f} to {wrong.high:.1%})"
        style = {"color": GREYS[place], "lw": pt(2), "ls": dash, "label": label, "zorder": 3}
        ax.plot(line["log10_lr"], line["value"], **style)
        ax.fill_between(
            line["log10_lr"], line["low"], line["high"], color=GREYS[place], alpha=0.15, lw=0
        )
        traced.append(line)
    ax.axvline(0, color="0.75", lw=pt(1), ls=(0, (1, 3)), zorder=0)
    ax.set(xlim=(-reach, reach), ylim=(0, 1.24), yticks=np.linspace(0, 1, 6))  # room for a key
    ax.yaxis.set_major_formatter("{x:.0%}")
    sizes = f"n = {own.sum()} and {(~own).sum()} trials of {count([table['prompt'].nunique()])}"
    tidy(ax, title, f"log10 LR · {sizes} prompts; band, legend: 95% interval", grid="both")
    ax.set_ylabel("trials with at least this ratio", fontsize="small", color="0.3")
    key(ax, loc="upper right", title="model", title_fontsize="small")
    return source(ax, pd.concat(traced, ignore_index=True))
