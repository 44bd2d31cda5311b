"""No metric of an evaluation is printed with an interval that claims certainty."""

from __future__ import annotations

import pandas as pd
import pytest

from workbench import evaluation


def perfect(prompts: int) -> pd.DataFrame:
    rows = [
        {"image_id": f"{place}{model}", "attributor": "m", "truth": model, "prompt": f"p{place}"}
        | {"attack": "none", "intensity": 0.0, "predicted": model, "correct": True}
        | {"accepted": True, "margin": 0.5, "rank_of_truth": 1, "failure": None}
        for place in range(prompts)
        for model in "ab"
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("prompts", [1, 2, 25])
def test_no_interval_of_a_perfect_evaluation_has_zero_width(prompts):
    table = evaluation.measure(perfect(prompts))
    assert (table["value"] == 1).all()
    assert (table["low"] < 1).all()
    assert (table["high"] == 1).all()
    outcomes = perfect(prompts)
    sets = outcomes.loc[outcomes.index.repeat(2), ["image_id", "attributor", "truth"]].assign(
        generator=["a", "b"] * len(outcomes)
    )
    sets["included"] = sets["generator"] == sets["truth"]
    found = evaluation.set_metrics(sets.drop(columns="truth"), outcomes).set_index("metric")
    assert (found["high"] > found["low"]).all()
    assert found.loc["set_size", "high"].max() <= 2


def test_one_prompt_is_too_few_to_tell_from_chance():
    outcomes = perfect(1)
    assert evaluation.signature(outcomes, list("abcd"), outcomes) == (
        "Too few pictures: 100.0% right (0.0% to 100.0%) cannot be told from 1 / 4."
    )
