"""The confusion inspector, from Python: cells, evidence, order, pages, and wrong input."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tests.support import toys
from workbench import evaluation, pipeline
from workbench.attacks.jpeg import JPEG
from workbench.attributors.regeneration import Regeneration
from workbench.evaluation import benchmark
from workbench.inverters.empty import Empty
from workbench.inverters.natural import Natural
from workbench.similarities.mse import NegativeMSE
from workbench.widgets.confusion import NONE, PAGE, ConfusionInspector, strips

PROMPTS = [f"scene {i} <b>&" for i in range(PAGE + 2)]


@pytest.fixture(scope="module")
def frames(shared_store):
    """Evaluate toys whose grey is drowned in noise, so that some are taken for others."""
    zoo = {**toys.zoo(noise=0.3), "blue": toys.Toy((0, 0, 1), refuses="scene 3")}
    images, truth = pipeline.make_queries(PROMPTS, zoo, shared_store)
    methods = [Regeneration(each, NegativeMSE(), gamma=3, size=16) for each in (Empty(), Natural())]
    return benchmark.evaluate(
        methods, images, zoo, truth=truth, attacks=[JPEG(intensity=90)], store=shared_store
    )


@pytest.fixture
def inspector(frames, shared_store):
    return ConfusionInspector(frames, store=shared_store)


def part(frames, name="Empty()", attack="none"):
    table = frames["outcomes"]
    return table[table["attributor"].str.contains(name, regex=False) & (table["attack"] == attack)]


def test_the_matrix_counts_as_evaluation_does(frames, inspector):
    matrix = inspector._matrix
    assert matrix.rows == ["red", "green", "blue", "grey"]
    assert matrix.columns == [*matrix.rows, NONE]
    counts = pd.DataFrame(matrix.counts, index=matrix.rows, columns=matrix.columns)
    known = evaluation.confusion(part(frames), matrix.rows)
    assert counts[matrix.rows].to_numpy().tolist() == known.to_numpy().tolist()
    assert counts.to_numpy().sum() == len(part(frames)) == 4 * len(PROMPTS)
    assert counts.loc["blue", NONE] == 1


def test_a_cell_selects_its_outcomes_in_the_order_of_the_margin(frames, inspector):
    assert inspector.selection.empty
    inspector.selection = ("red", "red")
    wanted = part(frames).query("truth == 'red' and predicted == 'red'")
    assert set(inspector.selection["image_id"]) == set(wanted["image_id"])
    assert inspector.selection["margin"].is_monotonic_increasing
    inspector._order.value = False
    assert inspector.selection["margin"].is_monotonic_decreasing
    inspector.selection = None
    assert inspector.selection.empty
    assert "Choose a cell" in inspector._shown.value


def test_a_choice_in_the_browser_is_seen_from_python(inspector):
    seen = []
    inspector.observe(lambda change: seen.append(change.new), "chosen")
    inspector._matrix.set_state({"chosen": ["grey", "grey"]})
    assert seen == [("grey", "grey")]
    assert set(inspector.selection["truth"]) == {"grey"}


def test_each_picture_shows_the_best_of_both_models_and_all_similarities(frames, inspector):
    inspector.selection = ("red", "red")
    row = inspector.selection.iloc[0]
    near, other = inspector._card(row.to_dict(), True)["sides"]
    values = frames["similarities"].query("image_id == @row.image_id")
    assert near["name"] == "red"
    for side in (near, other):
        own = values[values["generator"] == side["name"]]
        assert sorted(side["values"]) == sorted(own["value"])
        best = own.loc[own["value"].idxmax()]
        assert (side["value"], side["index"]) == (best["value"], best["index"])
        assert side["uri"].startswith("data:image/png")
    rivals = values[values["generator"] != "red"]
    assert other["name"] == rivals.loc[rivals["value"].idxmax(), "generator"]
    assert near["colour"] != other["colour"]


def test_a_wrong_picture_stands_between_its_true_and_its_predicted_model(frames, inspector):
    wrong = part(frames).dropna(subset=["predicted"]).query("not correct")
    row = wrong.iloc[0]
    inspector.selection = (row["truth"], row["predicted"])
    sides = inspector._card(row.to_dict(), True)["sides"]
    assert [side["name"] for side in sides] == [row["truth"], row["predicted"]]


def test_many_pictures_come_in_pages(frames, inspector):
    cell = part(frames).groupby(["truth", "predicted"]).size().idxmax()
    inspector.selection = cell
    total = len(inspector.selection)
    assert total > PAGE
    first = inspector._shown.value
    assert first.count("<article") == PAGE
    inspector._pages._on.click()
    assert inspector._shown.value.count("<article") == total - PAGE
    assert inspector._pages._on.disabled
    inspector._pages._back.click()
    assert inspector._shown.value == first


def test_a_picture_that_was_never_made_tells_why(inspector):
    inspector.selection = ("blue", None)
    assert list(inspector.selection["failure"]) == ["this toy refuses the prompt"]
    assert "this toy refuses the prompt" in inspector._shown.value
    assert "no picture" in inspector._shown.value


def test_another_attributor_or_attack_is_counted_for_itself(frames, inspector, shared_store):
    before = inspector._matrix.counts
    inspector.selection = ("red", "red")
    inspector._condition.value = ("JPEG()", 90.0)
    assert set(inspector.selection["attack"]) == {"JPEG()"}
    natural = repr(Regeneration(Natural(), NegativeMSE(), gamma=3, size=16))
    inspector._attributor.value = natural
    assert set(inspector.selection["attributor"]) == {natural}
    assert "kept of the first attributor alone" in inspector._shown.value
    other = ConfusionInspector(frames, store=shared_store, attributor=natural)
    assert other._matrix.counts != before


def test_an_empty_cell_says_so(inspector):
    table = pd.DataFrame(
        inspector._matrix.counts, index=inspector._matrix.rows, columns=inspector._matrix.columns
    )
    inspector.selection = next(
        (a, None if b == NONE else b) for a in table.index for b in table if not table.loc[a, b]
    )
    assert "No picture is in this cell" in inspector._shown.value


def test_texts_are_escaped_and_the_still_is_a_table(inspector):
    inspector.selection = ("red", "red")
    still = inspector.still()
    assert "<b>&amp;" not in still
    assert "scene 0 <b>" not in still
    assert "&lt;b&gt;&amp;" in still
    matrix = still[: still.index("</table>")]
    assert matrix.count("<tr ") == 5
    counts = [int(each) for each in re.findall(r"<td [^>]*>(?:<b>)?(\d+)(?:</b>)?</td>", matrix)]
    assert counts == [each for row in inspector._matrix.counts for each in row]
    assert inspector._repr_mimebundle_()["text/html"] == still


def test_dots_span_the_axis():
    assert strips([{"values": [3.0, 1.0]}, {"values": [2.0]}]) == {
        "low": 1.0, "high": 3.0, "lanes": [[100.0, 0.0], [50.0]],
    }  # fmt: skip
    assert strips([{"values": [1.0]}])["lanes"] == [[0.0]]
    assert strips([]) == {}


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (
            ("red", "pink"),
            f"no model named 'pink' there; there are: red, green, blue, grey, {NONE}",
        ),
        (("pink", "red"), "no model named 'pink' there; there are: red, green, blue, grey"),
        ("red", "a cell is (true model, predicted model), or None; seen 'red'"),
    ],
)
def test_a_cell_that_is_not_there_is_refused(inspector, cell, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        inspector.selection = cell


def test_wrong_frames_are_refused_at_once(frames, shared_store):
    with pytest.raises(ValueError, match="outcomes missing"):
        ConfusionInspector({k: v for k, v in frames.items() if k != "outcomes"})
    with pytest.raises(ValueError, match="the frame prompts has no rows"):
        ConfusionInspector(frames | {"prompts": frames["prompts"].iloc[:0]})
    bare = frames | {"outcomes": frames["outcomes"].drop(columns=["margin", "truth"])}
    with pytest.raises(
        ValueError, match=r"^the outcomes frame lacks the column 'truth', 'margin'; it has"
    ):
        ConfusionInspector(bare)
    bare = frames | {"candidates": frames["candidates"].drop(columns="seed")}
    with pytest.raises(ValueError, match=r"^the candidates table lacks the column 'seed'; it has"):
        ConfusionInspector(bare)
    with pytest.raises(ValueError, match=r"^no attributor named 'mine'; there are: Regeneration"):
        ConfusionInspector(frames, store=shared_store, attributor="mine")
