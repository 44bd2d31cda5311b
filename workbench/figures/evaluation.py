"""An evaluation on one sheet: its controls, its models, its confusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.figures._canvas import heading, resize
from workbench.figures.accuracy import accuracy
from workbench.figures.confusion import confusion

if TYPE_CHECKING:
    from workbench.evaluation.benchmark import Evaluation

LABELS = {
    "regeneration": "inverted prompt",
    "natural": "natural prompt",
    "arbitrary_bank": "arbitrary bank",
    "matched_bank": "matched bank",
    "colour_alone": "colour alone",
}


def evaluation(evaluation: Evaluation, *, figure: Any = None) -> Any:
    """Draw what `evaluate_preset` found: three Axes of one matplotlib Figure.

    Left the accuracy beside its controls and by model, right the confusion.

    Args:
        evaluation: an `Evaluation`.
        figure: matplotlib Figure to draw into; a new one when left out.

    Returns:
        the list of the three Axes.
    """
    import matplotlib.pyplot as plt

    if figure is None:
        figure = plt.figure(layout="constrained")
    resize(figure, 10.5, 5.2)
    settings = evaluation.summary["settings"]
    table, outcomes = evaluation.frames["evaluations"], evaluation.frames["outcomes"]
    own = settings["attributor"]
    names = {name: LABELS[kind] for kind, name in evaluation.attributors.items()}
    sheet = figure.add_gridspec(2, 2, width_ratios=(1.2, 1))
    above = figure.add_subplot(sheet[0, 0])
    below = figure.add_subplot(sheet[1, 0], sharex=above)
    right = figure.add_subplot(sheet[:, 1])
    bold = {own: "the preset, the others its controls" if len(names) > 1 else ""}
    accuracy(table, names=names, chance=1 / len(settings["zoo"]), bold=bold, ax=above)
    models = {name: name for name in settings["zoo"]}
    accuracy(table[table["attributor"] == own], by="slice", names=models, ax=below)
    heading(below, "Accuracy by true model")
    confusion(outcomes[outcomes["attributor"] == own], settings["zoo"], ax=right)
    figure.suptitle(
        f"{settings['preset']}: {settings['n']} prompts, γ = {settings['gamma']}, "
        f"seed {settings['seed']}",
        x=0.01,
        ha="left",
        fontweight="bold",
    )
    return [above, below, right]
