"""Tippett plots and reliability diagrams: what they show of a table, and what they refuse."""

from __future__ import annotations

import math

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from workbench import figures
from workbench.evaluation.statistics import accuracy_interval
from workbench.figures._canvas import SOURCES


@pytest.fixture(autouse=True)
def _close():
    before = dict(plt.rcParams)
    yield
    plt.close("all")
    assert dict(plt.rcParams) == before


@pytest.fixture
def ratios() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"image_id": f"i{place}", "prompt": f"p{place // 4}", "generator": name, "same": own}
        | {"log10_lr": rng.normal(1.5 if own else -1.5, 1)}
        for place in range(80)
        for name, own in (("a", True), ("b", False), ("c", False))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1, 200)
    return pd.DataFrame(
        {
            "confidence": confidence,
            "correct": rng.random(200) < confidence,
            "prompt": [f"p{place // 4}" for place in range(200)],
            "called": rng.choice(["pocket-sd", "pocket-ld"], 200),
        }
    )


def test_a_tippett_plot_shows_the_share_of_trials_with_at_least_each_ratio(ratios):
    ax = figures.tippett(ratios)
    drawn = SOURCES[ax]
    for name, own in (("true", True), ("others", False)):
        values = ratios.loc[ratios["same"] == own, "log10_lr"].to_numpy()
        line = drawn[drawn["trials"] == name]
        expected = [(values >= at).mean() for at in line["log10_lr"]]
        inside = line["log10_lr"].abs() < line["log10_lr"].max()
        assert line["value"].to_numpy()[inside] == pytest.approx(np.array(expected)[inside])
        assert (line["high"] > line["low"]).all()
        assert line["value"].is_monotonic_decreasing
    assert "n = 80 and 160 trials of 20 prompts" in ax.get_xlabel()
    assert "95% interval" in ax.get_xlabel()


def test_a_tippett_plot_tells_what_misleads(ratios):
    ax = figures.tippett(ratios)
    own = ratios[ratios["same"]]
    found = accuracy_interval(own["log10_lr"] < 0, own["prompt"])
    labels = " ".join(t.get_text() for t in ax.get_legend().get_texts())
    assert f"true: {found.value:.1%} below 1" in labels
    assert f"({100 * found.low:.1f} to {found.high:.1%})" in labels.replace("\n", " ")


def test_infinite_ratios_stand_at_the_edges(ratios):
    ratios.loc[ratios["same"], "log10_lr"] = math.inf
    ratios.loc[~ratios["same"], "log10_lr"] = -math.inf
    ax = figures.tippett(ratios)
    drawn = SOURCES[ax].set_index("trials")
    assert (drawn.loc["true", "value"] == 1).all()
    assert (drawn.loc["others", "value"].iloc[1:] == 0).all()
    assert np.isfinite(ax.get_xlim()).all()


def test_a_tippett_plot_needs_both_kinds(ratios):
    with pytest.raises(ValueError, match=r"of the true model and of others; seen 80 and 0$"):
        figures.tippett(ratios[ratios["same"]])


def test_a_reliability_diagram_shows_how_often_each_bin_is_right(predictions):
    ax = figures.reliability(predictions, bins=5)
    drawn = SOURCES[ax]
    assert drawn["n"].tolist() == [40] * 5
    best = predictions.nlargest(40, "confidence")
    assert drawn["confidence"].iloc[-1] == pytest.approx(best["confidence"].mean())
    found = accuracy_interval(best["correct"], best["prompt"])
    last = drawn.iloc[-1]
    assert (last["value"], last["low"], last["high"]) == (found.value, found.low, found.high)
    assert "n = 200 pictures, 40 a point" in ax.get_xlabel()
    assert "95% interval" in ax.get_xlabel()


def test_each_model_called_has_its_colour(predictions):
    ax = figures.reliability(predictions, line="called", bins=3)
    own = figures.colours(["pocket-sd", "pocket-ld"])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["pocket-ld", "pocket-sd"]
    handles, names = ax.get_legend_handles_labels()
    for handle, name in zip(handles, names, strict=True):
        assert handle.lines[0].get_color() == own[name]
    assert set(SOURCES[ax]["called"]) == set(own)


def test_equal_confidences_share_a_point(predictions):
    ax = figures.reliability(predictions.assign(confidence=0.9))
    assert SOURCES[ax]["n"].tolist() == [200]


def test_nothing_is_no_reliability_diagram(predictions):
    with pytest.raises(ValueError, match=r"a bin at least; seen 0 and 10$"):
        figures.reliability(predictions.assign(confidence=math.nan))


def test_both_draw_into_given_axes(ratios, predictions):
    _, (one, two) = plt.subplots(1, 2)
    assert figures.tippett(ratios, ax=one) is one
    assert figures.reliability(predictions, ax=two) is two
