from __future__ import annotations

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.support import toys
from tests.support.boxes import faults
from workbench import evaluation, figures, frames, ranking
from workbench.catalogue.presets import Preset
from workbench.evaluation import benchmark
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
    table = evaluation.measure(outcomes)
    ax = figures.accuracy(table, names={"m": "ours"}, chance=1 / 3)
    assert "n = 2 pictures; bar: 95% interval" in ax.get_xlabel()
    assert "50.0%" in text(ax)
    assert "ours" in text(ax)
    assert "chance" in text(ax)
    slices = figures.accuracy(table, by="slice", names={"b": "b", "a": "a"})
    assert [t.get_text() for t in slices.get_yticklabels()] == ["b", "a"]


def test_an_accuracy_of_nothing_is_told(outcomes):
    with pytest.raises(ValueError, match=r"^the table holds no 'beauty' by attributor$"):
        figures.accuracy(evaluation.measure(outcomes), metric="beauty")


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


@pytest.fixture
def similarities() -> pd.DataFrame:
    values = [
        {"image_id": image, "prompt_id": "p", "generator": g, "index": i, "similarity": "s"}
        | {"value": (i + "abc".index(g)) / 8}
        for image in "xy"
        for g in "abc"
        for i in range(4)
    ]
    return frames.build("similarities", values)


def test_candidate_models_have_their_colours(rankings, similarities):
    own = figures.colours("abc")
    ax = figures.ranking(rankings, similarities, image_id="x")
    scores = [line.get_color() for line in ax.lines if line.get_marker() == "D"]
    assert scores == [own[name] for name in "bac"]
    ax = figures.distributions(similarities)
    means = [line.get_color() for line in ax.lines if line.get_marker() == "D"]
    assert means == [own[name] for name in "abc"]
    results = [
        {"x": 1, "generator": g, "value": 0.5, "low": 0.4, "high": 0.6, "n": 3} for g in "ca"
    ]
    ax = figures.curve(pd.DataFrame(results), x="x", line="generator")
    own = figures.colours("ac")
    assert [line.get_color() for line in ax.lines] == [own["c"], own["a"]]
    ax = figures.dots(pd.DataFrame(results).rename(columns={"generator": "model"}), by="model")
    assert {line.get_color() for line in ax.lines} >= {own["c"], own["a"]}


def test_a_distribution_shows_every_value_its_mean_and_interval(similarities):
    ax = figures.distributions(similarities, image_id="x")
    dots = [place for strip in ax.collections for place in strip.get_offsets()[:, 0]]
    expected = similarities.loc[similarities["image_id"] == "x", "value"]
    assert sorted(dots) == sorted(expected)
    assert [x.get_xdata()[0] for x in ax.lines if x.get_marker() == "D"] == [3 / 16, 5 / 16, 7 / 16]
    assert "n = 4 candidate images a strip; ◆ mean, line: 95% interval" in ax.get_xlabel()
    assert "t over candidate images" in ax.get_xlabel()
    assert "for 2 test images" in figures.distributions(similarities).get_xlabel()


def test_distributions_are_grouped_by_another_column(similarities):
    table = similarities.assign(truth=similarities["image_id"].map({"x": "a", "y": "b"}))
    ax = figures.distributions(table, by="truth")
    assert [t.get_text() for t in ax.get_yticklabels()] == list("abcabc")
    assert [t.get_text() for t in ax.texts] == ["truth: a", "truth: b"]
    with pytest.raises(ValueError, match=r"^no column 'beauty' to group by; there are: image_id, "):
        figures.distributions(table, by="beauty")


def test_distributions_are_of_one_similarity(similarities):
    two = pd.concat([similarities, similarities.assign(similarity="t")])
    with pytest.raises(ValueError, match=r"^distributions are drawn of one .* holds s, t$"):
        figures.distributions(two)
    with pytest.raises(ValueError, match=r" holds no value$"):
        figures.distributions(similarities.assign(value=float("nan")))


def test_a_matrix_shows_every_similarity_of_one_image(similarities):
    ax = figures.matrix(similarities, image_id="y")
    expected = [f"{(i + g) / 8:.3f}" for g in range(3) for i in range(4)]
    assert [t.get_text() for t in ax.texts] == expected
    assert "n = 12 similarities, s" in ax.get_xlabel()
    sentence = r"^a matrix is drawn of one image, prompt and similarity; the table holds 2 such "
    with pytest.raises(ValueError, match=sentence):
        figures.matrix(similarities)


def test_pictures_stand_in_their_rows_and_columns(store):
    shades = {("a", 0): 10, ("a", 1): 60, ("b", 1): 110}
    rows = [
        {
            "generator": g,
            "index": i,
            "candidate_id": store.put_picture(Image.new("L", (4, 2), v).convert("RGB")),
        }
        for (g, i), v in shades.items()
    ]
    lost = {"generator": "b", "index": 0, "candidate_id": "0" * 64}
    table = pd.DataFrame([*rows, lost])
    ax = figures.pictures(table, store, rows="generator", columns="index")
    seen = {
        ("ab"[int(y1)], int(x0)): int(np.asarray(image.get_array())[0, 0, 0])
        for image in ax.images
        for x0, _, _, y1 in [image.get_extent()]
    }
    assert seen == shades
    wide, high = np.abs(np.diff(ax.images[0].get_extent())[[0, 2]])
    assert wide == pytest.approx(2 * high)
    assert len(ax.patches) == 1  # grey, for what the store has no longer
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_pictures_need_a_place_each(store):
    table = pd.DataFrame({"generator": ["a", "a"], "index": [0, 0], "candidate_id": [None, None]})
    sentence = (
        r"^two pictures share the place generator='a', index=.*0.*: draw a part of the table$"
    )
    with pytest.raises(ValueError, match=sentence):
        figures.pictures(table, store, rows="generator", columns="index")
    assert figures.pictures(table, store, rows="generator").get_xlim()[1] == 2
    with pytest.raises(
        ValueError, match=r"^the table lacks the column seed; there are: generator, "
    ):
        figures.pictures(table, store, rows="seed")
    with pytest.raises(ValueError, match=r"^there is nothing to draw: the table has no rows$"):
        figures.pictures(table.head(0), store)


def test_a_map_tells_test_images_candidates_and_trust():
    points = pd.DataFrame(
        {
            "kind": ["test", "candidate", "candidate", "test"],
            "generator": ["a", "a", "b", None],
            "outcome": ["wrong", None, None, "unknown"],
        }
    )
    places = np.arange(8.0).reshape(4, 2)
    ax = figures.space(points, places, trust=0.934)
    assert ax.get_xlabel() == (
        "★ 2 test images, black rim: attributed wrongly; ● 2 candidate images; "
        "trustworthiness 0.93 of 1"
    )
    drawn = np.concatenate([dots.get_offsets() for dots in ax.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, places))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    with pytest.raises(ValueError, match=r"^4 points need places of shape \(4, 2\), not \(3, 2\)$"):
        figures.space(points, places[:3])
    with pytest.raises(ValueError, match=r"^the points lack the column taste; there are: kind, "):
        figures.space(points, places, by="taste")


def test_an_oscr_tells_the_area_and_its_interval():
    rows = [
        {"unknown": "real", "p": p, "known": p > 0.5, "correct": p > 0.5, "prompt": str(p)}
        for p in (0.1, 0.2, 0.8, 0.9)
    ]
    ax = figures.oscr(pd.DataFrame(rows))
    (label,) = ax.get_legend().get_texts()
    low = evaluation.area_interval(
        [0.1, 0.2, 0.8, 0.9], [False, False, True, True], list("abcd")
    ).low
    assert label.get_text() == f"real: 1.00 ({low:.2f} to 1.00)"
    assert "n = 2 known, 2 unknown" in ax.get_xlabel()
    with pytest.raises(ValueError, match=r"^'real' needs known and unknown pictures; 2 of 2 are "):
        figures.oscr(pd.DataFrame(rows[2:]))


def test_abstaining_drops_the_smallest_margins_first():
    margins = [0.4, 0.3, 0.2, float("nan")]
    table = pd.DataFrame({"margin": margins, "correct": [True, True, False, False]})
    table = table.assign(attributor="m", image_id=list("abcd"), prompt=list("abcd"))
    ax = figures.coverage(table)
    share, value = ax.lines[0].get_data()
    at = dict(zip(np.round(share, 2), value, strict=True))
    assert (at[0.25], at[0.5], at[0.75], at[1.0]) == (1, 1, pytest.approx(2 / 3), 0.5)
    with pytest.raises(ValueError, match=r"^there is nothing to draw: the table has no rows$"):
        figures.coverage(table.head(0))


def test_an_evaluation_fits_one_sheet(tmp_path, store):
    path = tmp_path / "prompts.csv"
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 8)]
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(path))
    found = benchmark.evaluate_preset(
        preset,
        2,
        zoo=toys.zoo(),
        inverter=toys.Teller(),
        similarity=Cosine(toys.Mean()),
        store=store,
        controls="all",
    )
    above, below, right = figures.evaluation(found)
    labels = [t.get_text() for t in above.get_yticklabels()]
    assert labels == [
        "inverted prompt",
        "natural prompt",
        "arbitrary bank",
        "matched bank",
        "colour alone",
    ]
    assert [t.get_text() for t in below.get_yticklabels()] == list(toys.zoo())
    assert "n = 8 pictures" in right.get_xlabel()
    assert "bold: the preset, the others its controls" in above.get_xlabel().replace("\n", " ")
    for venue in ("acm", "cvpr", "ieee", "neurips", "thesis"):
        with figures.venue(venue):
            sheet = figures.evaluation(found)[0].figure
        figures.settle(sheet)
        assert faults(sheet) == [], venue


def test_an_area_is_written_as_it_is_and_a_share_in_percent():
    table = pd.DataFrame([{"score": "near", "value": 0.83, "low": 0.7, "high": 0.9, "n": 40}])
    told = {}
    for percent in (True, False):
        ax = figures.dots(table, by="score", chance=0.5, percent=percent)
        told[percent] = [*(text.get_text() for text in ax.texts), ax.get_xlabel()]
    assert "83.0%" in told[True]
    assert told[True][-1].endswith("dashes: chance, 50%")
    assert "0.83" in told[False]
    assert told[False][-1].endswith("dashes: chance, 0.5")
