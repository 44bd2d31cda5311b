"""The preset paper runs end to end, with tiny stand-ins of the very classes it names."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import workbench as wb
from tests.support.models import tiny
from workbench import catalogue, images
from workbench.cli import app
from workbench.paths import data_folder
from workbench.store.store import Store

MODELS = {
    # a row of the preset's zoo: the tiny model in its place, and options its size needs
    "sd-1-4": ("tiny-sd", {"steps": 2}),
    "ldm-text2im-large": ("tiny-ld", {"steps": 2, "eta": 0.0}),
    "glide": ("tiny-glide", {"steps": [2, 2]}),
    "dalle-mini": ("tiny-min-dalle", {"top_k": 16}),
}
LEFT_OUT = {
    name: tiny.MODELS[made].missing
    for name, (made, _) in MODELS.items()
    if tiny.MODELS[made].missing
}
ZOO = [name for name in MODELS if name not in LEFT_OUT]
PREFIX = "a picture of "


def shipped(table):
    return tomllib.loads((data_folder() / "catalogue" / f"{table}.toml").read_text())


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Lay tiny models over the rows of the preset, as a user's own catalogue does."""
    folder = tmp_path_factory.mktemp("catalogue")

    def table(name, rows):
        text = ""
        for row, (made, options) in rows.items():
            text += f"[{row}]\nsource = {made.source!r}\nsize = {made.size}\nbatch = 4\n"
            pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
            text += f"options = {{ {pairs} }}\n"
        (folder / name).write_text(text)

    table(
        "generators.toml", {row: (tiny.checkpoint(MODELS[row][0]), MODELS[row][1]) for row in ZOO}
    )
    caption = {"prefix": PREFIX, "max_length": 28}
    table("inverters.toml", {"blip-large": (tiny.checkpoint("tiny-blip"), caption)})
    table("encoders.toml", {"clip-vit-l-14": (tiny.checkpoint("tiny-clip"), {})})
    if LEFT_OUT:
        (folder / "presets.toml").write_text(f"[zoos]\npaper = {ZOO}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CATALOGUE", str(folder))
        patch.setenv("WORKBENCH_STORE", str(folder / "store"))
        yield Store(folder / "store")


@pytest.fixture(scope="module")
def result(paper, pictures):
    return wb.attribute(pictures / "one.png", preset="paper", store=paper)


def test_the_zoo_is_the_papers_and_each_row_keeps_its_class(paper):
    assert shipped("presets")["zoos"]["paper"] == list(MODELS)
    assert list(catalogue.zoo("paper")) == ZOO
    for name in ZOO:
        row = catalogue.checkpoint(name)
        there = tiny.MODELS[MODELS[name][0]]
        assert (row.plugin, row.class_name) == (there.plugin, there.class_name)
    families = [catalogue.checkpoint(name).family for name in MODELS]
    assert families == ["SD", "LD", "GLIDE", "DALL·E mini"]


@pytest.mark.skipif(bool(LEFT_OUT), reason=f"left out: {LEFT_OUT}")
def test_no_model_of_the_preset_is_left_out(result):
    assert set(result.scores["generator"]) == set(MODELS)


def test_every_model_makes_its_candidates_from_the_inverted_prompt(result):
    assert result.setting.attributor.size == 256
    assert list(result.prompts["inverter"]) == ['Blip("blip-large")']
    assert shipped("inverters")["blip-large"]["options"]["prefix"] == PREFIX
    made = result.candidates
    assert sorted(made["generator"]) == sorted(ZOO * 4)
    assert made["failure"].isna().all()
    assert made.groupby("generator")["candidate_id"].nunique().eq(4).all()
    assert made.groupby("index")["seed"].nunique().eq(1).all()


def test_scores_are_mean_cosines_of_the_projected_clip_embedding(result, paper, pictures):
    """CosCLIP by open_clip's own calls: encode_image of each picture, unit length, mean over γ."""
    model, preprocess, _ = catalogue.load("clip-vit-l-14").loaded()

    def embed(picture):
        with torch.inference_mode():
            row = model.encode_image(preprocess(images.fit(picture, 256))[None])[0]
        return (row / row.norm()).numpy()

    test = embed(images.open_image(pictures / "one.png"))
    made = result.candidates
    expected = {
        name: np.mean([test @ embed(paper.picture(x)) for x in rows["candidate_id"]])
        for name, rows in made.groupby("generator")
    }
    scores = dict(zip(result.scores["generator"], result.scores["score"], strict=True))
    assert scores == pytest.approx(expected, abs=1e-5)
    ranking = result.rankings.sort_values("rank")["generator"]
    assert list(ranking) == sorted(expected, key=expected.get, reverse=True)


def test_the_command_answers_the_same(result, pictures):
    words = ["attribute", str(pictures / "one.png"), "--preset", "paper", "--json"]
    done = CliRunner().invoke(app.app, words)
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    (own,) = result.records()
    assert {**record, "seconds": 0} == {**own, "seconds": 0}
    assert [row["rank"] for row in record["ranking"]] == list(range(1, len(ZOO) + 1))
