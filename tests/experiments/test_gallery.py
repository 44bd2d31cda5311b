"""The gallery: on pictures of our own making, and on a slice of real ones where they lie near."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from tests.support import toys
from workbench import catalogue, experiments
from workbench.attacks.jpeg import JPEG
from workbench.catalogue.setting import settle
from workbench.cli import app
from workbench.evidence.treatment import Treatment
from workbench.experiments import Bench
from workbench.experiments._gallery import (
    at_size,
    attacked,
    both,
    by_estimate,
    changed,
    encoded,
    trial,
)
from workbench.experiments.gallery import ALIKE, ESTIMATED, collect
from workbench.store.store import Store

REAL = Path(os.environ.get("WORKBENCH_GALLERY", Path(__file__).parents[3] / "shared" / "real"))
SCENES = ("a red field", "a green field", "a blue field", "a grey field")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write three models' pictures of four prompts: one colour a prompt, one texture a model."""
    place = tmp_path_factory.mktemp("gallery")
    colours = [(200, 60, 60), (60, 180, 60), (60, 60, 200), (128, 128, 128)]
    for scene, colour in zip(SCENES, colours, strict=True):
        (place / scene.replace(" ", "-")).mkdir()
        for model, texture in (("noise", 0), ("soft", 2), ("softer", 5)):
            for n in range(3):
                rng = np.random.default_rng([len(model), n, *colour])
                pixels = rng.normal(colour, 60, (96, 96, 3)).clip(0, 255).astype(np.uint8)
                picture = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(texture))
                picture.save(place / scene.replace(" ", "-") / f"{model}-{n}.png")
    return place


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    fields = {"data": str(folder), "gammas": (1, 2), "attacks": ("Resize(intensity=50)",)}
    fields |= {"kin": (("soft", "softer"),), "size": 96}
    return experiments.run("gallery", Bench(settle("pocket"), store=store), **fields)


def value(found, **where):
    table = found.frames["results"]
    for key, wanted in (
        {"candidates": "same prompt", "gamma": 2, "attack": "none"} | where
    ).items():
        table = table[table[key] == wanted]
    (row,) = table.to_dict("records")
    return row


def test_textures_are_told_apart_and_colours_are_not(found):
    at = {"scope": "all models", "metric": "accuracy"}
    for method in ("similarity", "learned metric"):
        row = value(found, method=method, **at)
        assert row["value"] >= 0.9
        assert row["n"] == 36
        assert row["low"] < row["value"] <= row["high"]
    shape = value(found, method="size and format alone", **at)
    assert shape["value"] < 0.7, "all have one size: a guess, by the rule for ties"
    assert value(found, method="chance", **at)["value"] == pytest.approx(1 / 3)
    for references in ("caption", "other prompts"):
        assert value(found, method="similarity", **at | {"candidates": references})["n"] == 36


def test_families_stand_apart_from_models(found):
    whole = value(found, scope="all models", method="similarity", metric="accuracy")
    family = value(found, scope="all models", method="similarity", metric="family accuracy")
    assert family["value"] >= whole["value"]
    rest = found.frames["outcomes"].query("scope == 'one of each family'")
    assert set(rest["truth"]) == {"noise", "soft"}


def test_an_attack_is_measured_beside_clean_and_treated_candidates(found):
    table = found.frames["results"].query("attack != 'none'")
    kinds = {"same prompt", ALIKE, ESTIMATED}
    assert set(table["candidates"]) == kinds
    assert len(table) == 2 * 2 * len(kinds)


def test_what_a_picture_went_through_is_estimated_from_it_alone(found):
    """All were enlarged from half; of the softest the pixels show it less surely."""
    table = found.frames["treatments"]
    assert set(table["attack"]) == {"Resize(intensity=50)"}
    assert len(table) == 36
    exact = table["treatment"] == repr(Treatment(96, 48))
    assert exact[table["generator"] == "noise"].all()
    others = set(table["treatment"][~exact])
    assert others <= {repr(Treatment(96)), repr(Treatment(96, 48, "bilinear"))}


def test_an_exact_estimate_is_the_attack_and_none_leaves_candidates_clean(folder, tmp_path):
    bench = Bench(settle("pocket"), store=Store(tmp_path))
    made_by = catalogue.load("gallery", "experiment", data=str(folder), size=96)
    whole, size = collect(made_by, bench)
    whole, encoder = at_size(whole, size), toys.Mean()
    clean = encoded(whole, encoder, bench, size)
    jpeg, exact, plain = JPEG(intensity=30), Treatment(96, quality=70), Treatment(96)
    after = attacked(whole, encoder, bench, size, jpeg, clean)
    assert len(after.treatments) == 36
    assert (after.pools.keys(), after.usual) == (set(after.treatments), exact)
    for done, pool in after.pools.items():
        own_prompts = whole.pictures["prompt"][[each == done for each in after.treatments]]
        there = ~np.isnan(pool.fused).any(axis=1)
        assert there[whole.pictures["prompt"].isin(own_prompts)].all()
        assert there.all() == (done in (exact, plain) or own_prompts.nunique() == 4)
    given, treated = (changed(whole, by, 0).pictures["image_id"] for by in (jpeg, exact))
    assert given.equals(treated)

    each = trial(whole, whole.models, 2, 0)
    said, own = both(each, clean), after.features
    expected = {}
    for done, pool in ((exact, own), (plain, clean)):
        scores = each.similarities(own, pool, each.chosen)
        learned = each.learned(each.folds(pool.fused), own.fused, pool.fused, each.chosen)
        expected[done] = each.by_pick(scores, said.picked), learned
        usual = None if done.plain else done
        told = replace(after, treatments=(done,) * 36, usual=usual, pools={done: pool})
        found = by_estimate(each, said, told)
        assert all(map(np.array_equal, found.values(), expected[done]))
    both_ways = {"treatments": (exact, plain) * 18, "pools": {exact: own, plain: clean}}
    told = replace(after, usual=exact, **both_ways)
    found = by_estimate(each, said, told)["learned metric"]
    for start, done in enumerate((exact, plain)):
        assert np.array_equal(found[start::2], expected[done][1][start::2])


def test_rivals_learn_on_the_pictures_of_other_prompts(found):
    at = {"scope": "all models", "metric": "accuracy"}
    for name in ("prototype", "family", "linear probe", "neighbours", "spectrum"):
        row = value(found, method=name, candidates="none", **at)
        assert (row["n"], row["value"] >= 0.9) == (36, True), name
    mixed = value(found, method="layers, mixed", **at)
    assert mixed["value"] >= value(found, method="similarity", **at)["value"] - 0.1
    assert "Rivals that learn on the pictures of other prompts: prototype" in found.answer


def test_ratios_have_a_cost_below_one_and_above_their_minimum(found):
    for method in ("similarity", "learned metric"):
        cost, least = (
            value(found, scope="all models", method=method, metric=name)["value"]
            for name in ("Cllr", "minimum Cllr")
        )
        assert 0 <= least <= cost < 1


def test_the_answer_tells_controls_and_warns_of_one_that_comes_near(found):
    assert "beside them colour alone" in found.answer
    assert "Beware" not in found.answer.partition("One of each family")[0]
    table = found.frames["results"].copy()
    near = (table["method"] == "colour alone") & (table["scope"] == "all models")
    table.loc[near, "value"] = 0.97
    told = found.made_by.answer(found.frames | {"results": table})
    assert "Beware: colour alone reaches 97.0%, within 5 points of similarity or above it" in told


def test_provenance_names_the_encoder_and_the_list_and_no_picture_is_kept(found, tmp_path):
    folder = found.save(tmp_path / "out")
    kept = json.loads((folder / "provenance.json").read_text())
    row = catalogue.checkpoint("efficientnet-lite0")
    assert kept["weights"] == {"efficientnet-lite0": row.digest()}
    assert ' --data "gallery0" ' in kept["command"]
    assert str(Path(found.made_by.data).parent) not in json.dumps(kept), "its name alone is told"
    assert found.frames["pictures"]["list"].nunique() == 1
    assert not [path for path in folder.rglob("*") if path.suffix in (".webp", ".jpg")]


def test_the_command_takes_a_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    out = tmp_path / "out"
    command = ["experiment", "gallery", "--data", str(folder), "--out", str(out)]
    told = CliRunner().invoke(app.app, [*command, "--models", "noise,soft", "--n", "3"])
    assert told.exit_code == 0, told.output
    assert "All models (n = 18 pictures, 3 prompts, γ at most 4)" in told.output
    assert (out / "grid.parquet").is_file()


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    told = CliRunner().invoke(app.app, ["experiment", "gallery", "--data", str(tmp_path / "lost")])
    assert told.exit_code == 2
    assert "no archive at" in told.output


def test_a_reference_of_pictures_is_made_again_from_where_they_lie_here(tmp_path):
    place = str(tmp_path / "lost")
    here = CliRunner().invoke(app.app, ["reproduce", "gallery", "--data", place])
    assert f"no archive at {place}" in " ".join(here.output.split())
    none = CliRunner().invoke(app.app, ["reproduce", "leakage", "--data", place])
    assert none.exit_code == 2
    sentence = "the reference of leakage was given no pictures; leave --data out"
    assert sentence in " ".join(none.output.split())


def test_references_are_crossed_as_refprint_crosses_them(folder, tmp_path):
    fields = {"data": str(folder), "counts": (1, 2), "attacks": ("JPEG(intensity=30)",)}
    bench = Bench(settle("pocket"), store=Store(tmp_path))
    found = experiments.run("reference_selection", bench, **fields)
    table, grid = found.frames["results"], found.frames["grid"]
    assert len(grid) == 3 * 8 * 2 * 4, "references, layers, M, aggregations"
    assert table["table"].value_counts().to_dict() == {
        "layer": 3 * 8, "references a model": 3 * 2, "aggregate": 3 * 4, "attack": 3 * 2,
    }  # fmt: skip
    clean = table[(table["table"] == "attack") & (table["attack"] == "none")]
    cell = grid[
        (grid["layer"] == "4") & (grid["references a model"] == 2) & (grid["aggregate"] == "max")
    ]
    assert clean["value"].tolist() == cell["value"].tolist(), "one number, two ways to it"
    assert clean.set_index("references").loc["own prompt", "value"] >= 0.9
    assert found.answer.startswith("At layer 4 with max and 2 references a model (n = 36): own")


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no gallery of real pictures beside the checkout")
def test_real_models_are_told_apart(tmp_path):
    """Six prompts of the gallery; the whole of it: `workbench experiment gallery --data …`."""
    bench = Bench(settle("pocket"), 6, store=Store(tmp_path))
    found = experiments.run("gallery", bench, data=str(REAL), gammas=(4,), attacks=())
    for method, least in (("similarity", 0.8), ("learned metric", 0.85)):
        at = {"method": method, "metric": "accuracy", "gamma": 4}
        row = value(found, scope="one of each family", **at)
        assert row["value"] > least
        assert row["value"] > value(found, scope="one of each family", **at | {
            "method": "colour alone"})["value"] + 0.1  # fmt: skip
