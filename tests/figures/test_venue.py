"""Figures in print: exact widths, letters inside, nothing cut, nothing on top of anything."""

from __future__ import annotations

import itertools
import re
import zlib

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.support.boxes import faults
from workbench import evaluation, experiments, figures, frames, ranking
from workbench.paths import data_folder

WIDTHS = {  # inches: a column, the text
    "acm": (3.3368, 7.0056),
    "cvpr": (3.25, 6.875),
    "ieee": (3.5, 7.16),
    "neurips": (5.5, 5.5),
    "thesis": (5.8, 5.8),
}
MODELS = ["pocket-sd", "pocket-ld", "pocket-glide", "pocket-dalle"]
LONG = 'Regeneration(Blip("pocket-blip"), Cosine("pocket-clip", layer=4), aggregate="max")'


@pytest.fixture(autouse=True)
def _close():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Make the frames of 24 test images by four models, two attributors and γ = 4."""
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(
        [
            {"image_id": f"{model}-{i}", "truth": model, "prompt": f"scene {i}"}
            for model in MODELS
            for i in range(6)
        ]
    )
    cells = itertools.product(truth.itertuples(), MODELS, range(4))
    near = [
        {
            "image_id": row.image_id,
            "prompt_id": row.prompt,
            "generator": model,
            "index": index,
            "similarity": 'Cosine("pocket-clip", layer=4)',
            "value": 0.7 + 0.1 * (row.truth == model) + 0.08 * rng.standard_normal(),
        }
        for row, model, index in cells
    ]
    similarities = frames.build("similarities", near)
    scores = pd.concat(
        [ranking.score(similarities, LONG, "mean"), ranking.score(similarities, "rival", "max")]
    )
    rankings = ranking.rank(scores)
    outcomes = evaluation.outcomes(ranking.decide(rankings), rankings, truth)
    shares = [
        {
            "x": x,
            "setting": f"{word} setting",
            "value": 0.5 + x / 40,
            "low": 0.4,
            "high": 0.9,
            "n": 9,
        }
        for x in (1, 2, 4, 8)
        for word in ("one", "another")
    ]
    return {
        "similarities": similarities,
        "truth": truth,
        "rankings": rankings,
        "outcomes": outcomes,
        "evaluations": evaluation.measure(outcomes),
        "results": pd.DataFrame(shares),
    }


@pytest.fixture
def table_of_pictures(store) -> pd.DataFrame:
    colours = itertools.product(MODELS, range(3))
    return pd.DataFrame(
        [
            {
                "generator": model,
                "index": index,
                "value": index / 4,
                "candidate_id": store.put_picture(
                    Image.new("RGB", (16, 8 + 8 * index), (40 * index, 80, 20 * len(model)))
                ),
            }
            for model, index in colours
        ]
    )


def draw(name, tables, pictures, store):
    """Draw a figure by its name, as an author would."""
    results, outcomes = tables["results"], tables["outcomes"]
    own = outcomes[outcomes["attributor"] == LONG]
    first = outcomes["image_id"].iloc[0]
    if name == "accuracy":
        return figures.accuracy(tables["evaluations"], names={LONG: "ours"}, chance=0.25)
    if name == "accuracy by model":
        table = tables["evaluations"]
        return figures.accuracy(table[table["attributor"] == LONG], by="slice")
    if name == "confusion":
        return figures.confusion(own, MODELS)
    if name == "contact":
        prompts = pictures["index"].map(
            "a red cube on a wooden table, seen from above, number {}".format
        )
        return figures.contact(pictures.assign(prompt=prompts), store)
    if name == "coverage":
        return figures.coverage(outcomes, names={LONG: "ours"})
    if name == "curve":
        return figures.curve(results, x="x", line="setting", title="A title that is rather long")
    if name == "curve of words":
        table = results.assign(x=results["x"].map("a condition {}".format))
        return figures.curve(table, x="x", line="setting", joined=False)
    if name == "distributions":
        table = tables["similarities"].merge(tables["truth"], on="image_id")
        return figures.distributions(table, by="truth", title="All")
    if name == "dots":
        return figures.dots(results.head(3).assign(model=MODELS[:3]), by="model", chance=0.25)
    if name == "grid":
        return figures.grid(
            results, rows="setting", columns="x", marks={("one setting", 2): "chosen"}
        )
    if name == "matrix":
        return figures.matrix(tables["similarities"], image_id=first)
    if name == "oscr":
        rng = np.random.default_rng(0)
        told = own[["prompt", "correct"]].assign(unknown="pocket-sd", p=rng.random(len(own)))
        return figures.oscr(told.assign(known=np.arange(len(told)) % 3 > 0))
    if name == "pictures":
        return figures.pictures(pictures, store, rows="generator", columns="index", note="value")
    if name == "ranking":
        table = tables["rankings"][tables["rankings"]["attributor"] == LONG]
        return figures.ranking(table, tables["similarities"], image_id=first)
    if name == "reliability":
        calls = own.assign(confidence=np.random.default_rng(0).random(len(own)))
        return figures.reliability(calls, line="predicted", names={MODELS[0]: LONG})
    if name == "tippett":
        drawn = np.random.default_rng(0).normal(0, 2, len(own))
        trials = own[["prompt"]].assign(log10_lr=drawn, same=np.arange(len(own)) % 3 > 0)
        return figures.tippett(trials)
    assert name == "space"
    points = tables["outcomes"].rename(columns={"truth": "generator"})
    points = points.assign(kind=np.where(np.arange(len(points)) % 3, "candidate", "test"))
    points["outcome"] = np.where(points["correct"], "right", "wrong")
    spots = np.random.default_rng(0).random((len(points), 2))
    return figures.space(points, spots, trust=0.9)


FIGURES = (
    "accuracy", "accuracy by model", "confusion", "contact", "coverage", "curve", "curve of words",
    "distributions", "dots", "grid", "matrix", "oscr", "pictures", "ranking", "reliability",
    "space", "tippett",
)  # fmt: skip


def test_no_figure_is_left_out():
    tools = {
        "colours",
        "evaluation",
        "legend",
        "notebook",
        "png",
        "resize",
        "save",
        "settle",
        "source",
        "tidy",
        "venue",
    }
    drawn = {name.partition(" ")[0] for name in FIGURES}
    assert drawn == set(figures.__all__) - tools


def test_what_lies_on_top_of_anything_is_caught():
    figure, ax = plt.subplots(layout="constrained")
    ax.plot([0, 1], [0, 1], marker="o", label="a line", zorder=3)
    ax.legend(loc="lower left")
    ax.text(0.5, 0.5, "one word"), ax.text(0.51, 0.5, "another", rotation=40)
    ax.text(0.5, 0.9, "tiny", fontsize=4), figure.text(0.9, 0.7, "cut " * 9)
    figure.draw_without_rendering()
    kinds = ("'one word' on 'another'", "4.0 pt: 'tiny'", "cut: ", "a legend on data: ")
    assert [kind for kind in kinds if not any(kind in fault for fault in faults(figure))] == []
    turned = [ax.text(0.1 + 0.06 * place, 0.2, "a long label", rotation=60) for place in (0, 1)]
    assert turned[0].get_window_extent().overlaps(turned[1].get_window_extent())
    assert not any("'a long label' on 'a long label'" in fault for fault in faults(figure))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("venue", WIDTHS)
def test_every_figure_fits_every_venue(venue, tables, table_of_pictures, store):
    with figures.venue(venue):
        for name in FIGURES:
            figure = draw(name, tables, table_of_pictures, store).figure
            assert min(abs(figure.get_figwidth() - wide) for wide in WIDTHS[venue]) < 1e-3, name
            figures.settle(figure)
            assert faults(figure) == [], name
            plt.close(figure)


def pdf(path) -> tuple[float, float, bytes]:
    """Read width and height of a PDF's page in points, and its objects, unpacked."""
    data = path.read_bytes()
    boxes = re.findall(rb"/MediaBox \[ ?([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) ?\]", data)
    assert len(boxes) == 1
    left, below, right, above = map(float, boxes[0])
    assert (left, below) == (0, 0)
    for packed in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL):
        try:
            data += zlib.decompress(packed)
        except zlib.error:
            continue
    return right, above, data


@pytest.mark.parametrize("venue", WIDTHS)
def test_a_pdf_is_exactly_as_wide_as_the_column_or_the_text(venue, tables, tmp_path):
    for design, points in zip((6.0, 11.0), WIDTHS[venue], strict=True):
        with figures.venue(venue):
            figure = plt.figure(layout="constrained")
            figures.resize(figure, design, 3.0)
            figures.curve(tables["results"], x="x", line="setting", ax=figure.add_subplot())
        files = figures.save(figure, tmp_path / "curve")  # outside: the venue is in the figure
        width, height, data = pdf(files[0])
        assert width == pytest.approx(72 * points, abs=0.05)
        assert height == pytest.approx(72 * figure.get_figheight(), abs=0.05)
        assert b"/FontFile2" in data
        assert b"/Type3" not in data
        assert Image.open(files[1]).width == int(300 * figure.get_figwidth())


def test_the_typeface_is_the_venues(tables, tmp_path):
    with figures.venue("ieee"):
        ax = figures.curve(tables["results"], x="x", line="setting", title="γ ≤ 4")
    names = set(re.findall(rb"/FontName /([\w+-]+)", pdf(figures.save(ax, tmp_path / "c")[0])[2]))
    assert any(re.search(rb"Times|Liberation|STIX", name) for name in names), names


def test_an_unknown_venue_is_told():
    sentence = r"^no venue named 'chi'; there are: acm, cvpr, ieee, neurips, thesis$"
    with pytest.raises(LookupError, match=sentence), figures.venue("chi"):
        pass


def test_a_venue_ends_with_its_block_even_by_an_error(tables):
    with pytest.raises(ZeroDivisionError), figures.venue("acm"):
        _ = 1 / 0
    assert figures.curve(tables["results"], x="x", line="setting").figure.get_figwidth() == 6.0


def test_the_csv_is_what_was_drawn(tables, tmp_path):
    ax = figures.curve(tables["results"], x="x", line="setting")
    files = figures.save(ax, tmp_path / "deep" / "a.figure.png")
    assert [file.name for file in files] == ["a.figure.pdf", "a.figure.png", "a.figure.csv"]
    pd.testing.assert_frame_equal(pd.read_csv(files[2]), tables["results"], check_exact=True)
    assert sorted(path.name for path in files[0].parent.iterdir()) == sorted(f.name for f in files)


def test_the_csv_of_several_axes_tells_the_panel(tables, tmp_path):
    figure, (one, two) = plt.subplots(1, 2, layout="constrained")
    figures.curve(tables["results"], x="x", line="setting", title="left", ax=one)
    figures.dots(tables["results"].head(3), by="setting", title="right", ax=two)
    table = pd.read_csv(figures.save(figure, tmp_path / "both")[2])
    assert list(table.columns) == ["panel", *tables["results"].columns]
    assert list(table["panel"]) == ["left"] * 8 + ["right"] * 3
    left = table[table["panel"] == "left"].drop(columns="panel")
    pd.testing.assert_frame_equal(left, tables["results"], check_exact=True)
    two.set_title("left", loc="left")
    table = pd.read_csv(figures.save(figure, tmp_path / "both")[2])
    assert list(table["panel"].unique()) == [1, 2]


def test_a_figure_of_ones_own_has_no_csv_but_by_its_source(tables, tmp_path):
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    assert [f.suffix for f in figures.save(figure, tmp_path / "own")] == [".pdf", ".png"]
    figures.source(ax, tables["truth"])
    assert [f.suffix for f in figures.save(figure, tmp_path / "own")] == [".pdf", ".png", ".csv"]


def test_the_same_figure_is_the_same_pdf(tables, tmp_path):
    ax = figures.curve(tables["results"], x="x", line="setting")
    one, two = (figures.save(ax, tmp_path / name)[0] for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_place_that_cannot_be_written_is_told(tables, tmp_path):
    (tmp_path / "file").write_text("in the way")
    ax = figures.curve(tables["results"], x="x", line="setting")
    with pytest.raises(OSError, match=r"^the figure cannot be written to '.*/file/curve': "):
        figures.save(ax, tmp_path / "file" / "curve")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OSError, match=r"^the figure cannot be written to '.*/taken': "):
        figures.save(ax, tmp_path / "taken")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_labels_that_would_collide_are_turned(tables):
    table = tables["results"].assign(x=tables["results"]["x"].map("a longer condition, {}".format))
    ax = figures.curve(table, x="x", line="setting")
    before = ax.get_xticklabels()[0].get_rotation()
    figures.settle(ax.figure)
    with figures.venue("acm"):
        narrow = figures.curve(table, x="x", line="setting")
    figures.settle(narrow.figure)
    assert before == 0
    assert {label.get_rotation() for label in narrow.get_xticklabels()} == {30}


REFERENCES = sorted(p.parent for p in (data_folder() / "reference").rglob("results.csv"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("folder", REFERENCES, ids=lambda folder: folder.name)
def test_no_label_of_an_experiment_lies_over_another_at_any_venue(folder):
    found = experiments.read(folder)
    if folder.parent.name == "reference":
        assert experiments.reference(folder.name)[0].equals(found.frames["results"])
    for venue in WIDTHS:
        with figures.venue(venue):
            figure = found.figure()
        assert min(abs(figure.get_figwidth() - wide) for wide in WIDTHS[venue]) < 1e-3
        assert faults(figure) == [], venue
