"""Rivals: who is compared with whom, on which pictures, and what was chosen for them."""

from __future__ import annotations

import pytest

from tests.support import toys
from workbench import experiments
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.evaluation import plan
from workbench.experiments import Bench
from workbench.experiments.rivals import Rivals, grids
from workbench.similarities.cosine import Cosine


@pytest.fixture(scope="module")
def bench(tmp_path_factory, shared_store):
    path = tmp_path_factory.mktemp("rivals") / "prompts.csv"
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 40)]
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(path))
    similarity = Cosine(toys.Mean())
    setting = settle(preset, zoo=toys.coders(), inverter=toys.Teller(), similarity=similarity)
    return Bench(setting, 3, store=shared_store)


@pytest.fixture(scope="module")
def found(bench):
    return experiments.run("rivals", bench, counts=(2, 3), folds=2, trees=5)


def test_aedr_is_of_models_with_an_autoencoder_alone_and_regeneration_beside_it(found):
    table = found.frames["results"].set_index(["attributor", "metric"])
    outcomes = found.frames["outcomes"]
    for name in ("AEDR", "regeneration"):
        own = f"{name}, 3 models with an autoencoder"
        assert table.loc[(own, "accuracy"), "n"] == 3 * 3
        part = outcomes[outcomes["attributor"] == own]
        assert set(part["truth"]) == set(part["predicted"].dropna()) == {"red", "green", "blue"}
    assert table.loc[("AEDR, 3 models with an autoencoder", "training pictures"), "value"] == 9
    assert "AEDR was not applied" not in found.answer


def test_there_is_a_curve_and_the_family_is_of_its_last_point(found):
    names = set(found.frames["results"]["attributor"])
    for rival in grids_of(found):
        assert {f"{rival}, 2 prompts", f"{rival}, 3 prompts"} <= names
    table = found.frames["results"]
    names = table.loc[table["metric"] == "difference", "attributor"]
    compared = {name.partition(" less ")[2] for name in names}
    wanted = {f"{rival}, 3 prompts" for rival in grids_of(found)}
    assert compared == wanted | {"AEDR, 3 models with an autoencoder"}


def grids_of(found) -> list[str]:
    return list(found.frames["choices"]["rival"].unique())


def test_the_plan_names_every_rival_that_is_measured(bench):
    assert set(plan.of("rivals").against) == set(grids(bench))


def test_each_rival_is_chosen_from_the_whole_grid_and_what_is_chosen_scored_best(found, bench):
    choices = found.frames["choices"]
    for (_, rival), part in choices.groupby(["prompts", "rival"]):
        assert set(part["attributor"]) == {repr(each) for each in grids(bench, 5)[rival]}
        (best,) = part.loc[part["chosen"], "accuracy"]
        assert best == part["accuracy"].max() or len(part) == 1  # one alone is not judged
    assert {"file bytes", "colour", "busyness"} < set(choices["rival"])


def test_without_autoencoders_it_is_told_that_aedr_was_not_applied(found):
    frames = dict(found.frames)
    table = frames["results"]
    frames["results"] = table[
        ~table["attributor"].str.contains("AEDR") & ~table["metric"].str.contains("AEDR")
    ]
    told = Rivals().answer(frames)
    assert told.endswith("AEDR was not applied: fewer than two models have an autoencoder.")
