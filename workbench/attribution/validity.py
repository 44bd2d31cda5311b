"""Validity of a setting's answers, as measured, for the page of a case.

The experiment ``calibration`` measures it; where a reference of it lies in data/reference that is
of the very setting, the report tells its sentence, made of its numbers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.catalogue import presets
from workbench.paths import data_folder

if TYPE_CHECKING:
    import pandas as pd

    from workbench.catalogue.setting import Setting

UNTOUCHED = "untouched"


def sentence(results: pd.DataFrame) -> str:
    """Return a sentence on the results of the experiment ``calibration``: ratios, errors, sets.

    Args:
        results: its frame of that name: ``part`` and ``metric``, then value, low, high and n.
    """
    table = results.set_index(["part", "metric"])
    cost, best = (table.loc[(UNTOUCHED, name)] for name in ("Cllr", "minimum Cllr"))
    below, above, wrong, held = (
        _share(table.loc[(UNTOUCHED, name)])
        for name in ("true model below 1", "other models above 1", "error rate", "set coverage")
    )
    return (
        "Likelihood ratios of each candidate model against the other candidates, with equal prior "
        f"probabilities: Cllr {cost['value']:.2f} ({cost['low']:.2f} to {cost['high']:.2f}; "
        f"{best['value']:.2f} if calibrated, and 1 is worth nothing), of n = {cost['n']:.0f} "
        f"pictures of known source; below 1 for {below} of the true models, above 1 for {above} of "
        f"the others. The model ranked first is wrong in {wrong}{_by_model(results)}. Attribution "
        f"sets made to hold the true model in 90 % do so in {held}{_attacked(results)}."
    )


def _by_model(results: pd.DataFrame) -> str:
    rates = results[(results["metric"] == "error rate") & results["part"].str.startswith("model ")]
    if rates.empty:
        return ""
    low, high = (rates.loc[place] for place in (rates["value"].idxmin(), rates["value"].idxmax()))
    names = [each["part"].removeprefix("model ") for each in (low, high)]
    return f", by model from {_share(low)} ({names[0]}) to {_share(high)} ({names[1]})"


def _attacked(results: pd.DataFrame) -> str:
    sets = results[(results["metric"] == "set coverage") & (results["part"] != UNTOUCHED)]
    if sets.empty:
        return ""
    least = sets.loc[sets["value"].idxmin()]
    return f"; least under {least['part']}, in {_share(least)}"


def told(setting: Setting) -> str | None:
    """Return the sentence of the shipped reference, where it is of this setting, else None.

    It is where the preset is as it stands in the catalogue, the attributor its own, and the weights
    those that were measured.
    """
    import pandas as pd

    folder = data_folder() / "reference" / "calibration"
    if not (folder / "results.csv").is_file() or setting.attributor is None:
        return None
    try:
        kept: dict[str, Any] = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        own = presets.preset(setting.preset.name) == setting.preset
        own &= repr(setting.attributor) == repr(setting.regeneration())
        if not own or (kept["preset"], kept["weights"]) != (setting.preset.name, setting.weights):
            return None
        return sentence(pd.read_csv(folder / "results.csv"))
    except (OSError, ValueError, LookupError):
        return None  # a damaged reference says nothing of a case


def _share(row: pd.Series[Any]) -> str:
    return f"{row['value']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
