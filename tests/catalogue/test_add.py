"""A new row from a hub id or a folder: what its configs tell, and what cannot become one."""

from __future__ import annotations

import json

import pytest

from tests.support.repositories import REPOSITORIES, SD, zoo
from workbench import catalogue
from workbench.weights.checkpoint import is_downloaded


def test_a_row_is_written_for_a_hub_id_and_for_a_folder(there, folders, tmp_path):
    code, said = zoo("add", SD, "--name", "mine", "--steps", "2")
    assert code == 0, said
    assert said.startswith("mine: generator, diffusers.StableDiffusionPipeline, 32 px")
    assert "Next: `workbench zoo download mine`" in said
    assert not [path for _, path, _ in there.asked if path.endswith(".safetensors")]
    row = catalogue.checkpoint("mine")
    assert (row.licence, row.revision, row.option("steps")) == ("mit", "", 2)
    assert not is_downloaded(row)
    assert zoo("download", "mine", "--yes")[0] == 0
    assert zoo("verify", "mine") == (0, "mine: good")
    for repository, name in REPOSITORIES.items():
        code, said = zoo("add", str(folders[repository]), "--name", f"my-{name}-{len(repository)}")
        assert code == 0, said
        assert is_downloaded(catalogue.checkpoint(f"my-{name}-{len(repository)}"))
    kinds = {row.name: row.plugin for row in map(catalogue.checkpoint, ["my-tiny-blip-37"])}
    assert kinds == {"my-tiny-blip-37": "workbench.inverters.blip.Blip"}


def test_what_cannot_become_a_row_is_told(there, tmp_path):
    assert zoo("add", SD, "--name", "sd-1-5") == (
        2,
        "workbench: the name 'sd-1-5' is taken (checkpoint); give another --name",
    )
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    code, said = zoo("add", str(tmp_path))
    assert code == 2
    assert "is no checkpoint we know how to read (its configs name: GPT2LMHeadModel)" in said
    code, said = zoo("add", "nowhere/at/all")
    assert "no folder 'nowhere/at/all' here, and it is no hub id such as org/name" in said
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    code, said = zoo("add", str(tmp_path))
    assert "is not told by its configs; give --size" in said


def pipeline(folder, name, configs):
    """Write the configs of a pipeline, which are all that `zoo add` reads."""
    for path, config in {"model_index.json": {"_class_name": name}, **configs}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(config))
    return folder


def test_a_cascade_becomes_a_row(there, tmp_path):
    sizes = {"unet/config.json": {"sample_size": 64}}
    sizes["movq/config.json"] = {"block_out_channels": [1, 2, 3, 4]}
    there.folders["k/prior"] = pipeline(tmp_path / "k" / "p", "KandinskyV22PriorPipeline", {})
    there.folders["k/decoder"] = pipeline(tmp_path / "k" / "d", "KandinskyV22Pipeline", sizes)
    code, said = zoo("add", "k/decoder")
    assert code == 2
    assert "k/decoder cannot run by itself, it needs image_embeds, negative_image_embeds" in said
    assert "in their order: `workbench zoo add FIRST k/decoder`" in said
    assert "it is a KandinskyV22PriorPipeline; " in zoo("add", "k/prior")[1]
    there.says = {"cardData": {"license": ["mit"], "prior": ["k/prior"]}}
    assert zoo("add", "k/decoder")[0] == 0
    row = catalogue.checkpoint("decoder")
    assert row.stages == ("k/prior", "k/decoder")
    assert (row.class_name, row.size) == ("diffusers.KandinskyV22PriorPipeline", 512)
    assert set(row.repositories) == {"k/prior", "k/decoder"}
    assert "holds a cascade: name the folders of its stages" in zoo("add", str(tmp_path / "k"))[1]
    assert (
        zoo("add", str(tmp_path / "k" / "p"), str(tmp_path / "k" / "d"), "--name", "mine")[0] == 0
    )
    row = catalogue.checkpoint("mine")
    assert (row.folder, row.stages) == (tmp_path / "k", ("p", "d"))
    said = zoo("add", "k/prior", str(tmp_path / "k" / "d"), "--name", "both")[1]
    assert "the stages of a cascade are hub ids alone, or folders of one folder; seen k/p" in said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "../evil",
            "a name is of letters, digits, - _ and . alone; seen '../evil'; give another --name",
        ),
        ("small", "the name 'small' is taken (preset); give another --name"),
        ("pocket-sd", "the name 'pocket-sd' is taken (checkpoint); give another --name"),
        ("pez", "the name 'pez' is taken (inverter); give another --name"),
    ],
)
def test_a_new_row_takes_no_name_that_means_something(there, name, sentence):
    assert zoo("add", SD, "--name", name) == (2, f"workbench: {sentence}")


CONFIGS = {
    "is no JSON": ("model_index.json", "{not json"),
    "names the class 'os.system', which is no pipeline of diffusers": (
        "model_index.json",
        {"_class_name": "os.system"},
    ),
    "names the class 'AutoencoderKL', which is no pipeline of diffusers": (
        "model_index.json",
        {"_class_name": "AutoencoderKL"},
    ),
    "by itself, it needs image; ": ("model_index.json", {"_class_name": "FluxImg2ImgPipeline"}),
    "(its configs name: Gpt)": ("config.json", {"architectures": "Gpt"}),
    "give --size": ("config.json", {"architectures": ["Dinov2Model"], "image_size": -3}),
    "told by its configs; give --size": ("open_clip_config.json", {"model_cfg": []}),
}


@pytest.mark.parametrize("sentence", CONFIGS)
def test_what_strange_configs_tell_is_one_sentence_and_no_row(there, tmp_path, sentence):
    name, config = CONFIGS[sentence]
    (tmp_path / "odd").mkdir()
    text = config if isinstance(config, str) else json.dumps(config)
    (tmp_path / "odd" / name).write_text(text)
    code, said = zoo("add", str(tmp_path / "odd"))
    assert code == 2
    assert sentence in said
    assert not (tmp_path / "catalogue").exists()
