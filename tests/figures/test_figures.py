from __future__ import annotations

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from tests import toys
from workbench import evaluation, experiment, figures, frames, ranking
from workbench.catalogue import Preset
from workbench.similarities.cosine import Cosine


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


@pytest.fixture(autouse=True)
def _close():
    before = dict(plt.rcParams)
    yield
    plt.close("all")
    assert dict(plt.rcParams) == before


def text(ax) -> str:
    """Gather everything written on the Axes."""
    parts = [ax.get_title(loc="left"), ax.get_xlabel(), *(t.get_text() for t in ax.texts)]
    return " ".join([*parts, *(t.get_text() for t in ax.get_yticklabels())])


@pytest.fixture
def rankings() -> pd.DataFrame:
    rows = zip("xxxyyy", "abcabc", [0.5, 0.75, 0.25, 0.1, 0.2, 0.3], strict=True)
    scores = [
        {"image_id": image, "attributor": "m", "generator": name, "score": score}
        for image, name, score in rows
    ]
    return ranking.rank(frames.build("scores", scores))


@pytest.fixture
def outcomes(rankings) -> pd.DataFrame:
    truth = pd.DataFrame({"image_id": ["x", "y"], "truth": ["b", "a"], "prompt": ["p", "q"]})
    return evaluation.outcomes(ranking.decide(rankings), rankings, truth)


def test_a_ranking_tells_the_best_first_and_its_margin(rankings):
    ax = figures.ranking(rankings, image_id="x")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "a", "c"]
    assert ax.get_title(loc="left") == "b first, margin 0.2500"
    assert "0.750" in text(ax)


def test_a_ranking_shows_every_candidate_image(rankings):
    values = [
        {"image_id": "x", "prompt_id": "p", "generator": g, "index": i, "similarity": "s"}
        | {"value": i / 4}
        for g in "abc"
        for i in range(4)
    ]
    ax = figures.ranking(rankings, frames.build("similarities", values), image_id="x")
    assert "one of 4 candidate images" in ax.get_xlabel()


def test_a_ranking_is_of_one_image(rankings):
    with pytest.raises(ValueError, match=r"^a ranking is drawn of one image and one attributor; "):
        figures.ranking(rankings)


def test_an_accuracy_shows_value_interval_and_n(outcomes):
    table = evaluation.metrics(outcomes)
    ax = figures.accuracy(table, names={"m": "ours"}, chance=1 / 3)
    assert "n = 2 pictures; line: 95 % interval" in ax.get_xlabel()
    assert "50.0%" in text(ax)
    assert "ours" in text(ax)
    assert "chance" in text(ax)
    slices = figures.accuracy(table, by="slice", names={"b": "b", "a": "a"})
    assert [t.get_text() for t in slices.get_yticklabels()] == ["b", "a"]


def test_an_accuracy_of_nothing_is_told(outcomes):
    with pytest.raises(ValueError, match=r"^the table holds no 'beauty' by attributor$"):
        figures.accuracy(evaluation.metrics(outcomes), metric="beauty")


def test_a_confusion_shows_counts_interval_and_n(outcomes):
    ax = figures.confusion(outcomes, ["a", "b", "c"])
    assert ax.get_title(loc="left").startswith("50.0% right (")
    assert "n = 2 pictures" in ax.get_xlabel()
    assert [t.get_text() for t in ax.texts] == list("001010000")


def test_a_confusion_is_of_one_attributor(outcomes):
    two = pd.concat([outcomes, outcomes.assign(attributor="n")])
    with pytest.raises(ValueError, match=r"^a confusion is drawn of one attributor; "):
        figures.confusion(two)


def test_figures_draw_into_given_axes(rankings, outcomes):
    _, (one, two) = plt.subplots(1, 2)
    assert figures.ranking(rankings, image_id="y", ax=one) is one
    assert figures.confusion(outcomes, ax=two) is two


def test_an_evaluation_fits_one_sheet(tmp_path, store):
    path = tmp_path / "prompts.csv"
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 8)]
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(path))
    found = experiment.evaluate_preset(
        preset,
        2,
        zoo=toys.zoo(),
        inverter=toys.Teller(),
        similarity=Cosine(toys.Mean()),
        store=store,
    )
    above, below, right = figures.evaluation(found)
    labels = [t.get_text() for t in above.get_yticklabels()]
    assert labels == ["inverted prompt", "natural prompt", "arbitrary bank", "matched bank"]
    assert [t.get_text() for t in below.get_yticklabels()] == list(toys.zoo())
    assert "n = 8 pictures" in right.get_xlabel()
    above.figure.savefig(tmp_path / "sheet.png")
