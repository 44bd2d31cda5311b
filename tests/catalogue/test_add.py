"""A new row from a hub id or a folder: what its configs tell, and what cannot become one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from tests.support.repositories import REPOSITORIES, SD, zoo
from workbench import catalogue
from workbench.weights import loading
from workbench.weights.checkpoint import is_downloaded


def test_a_row_is_written_for_a_hub_id_and_for_a_folder(there, folders, tmp_path):
    code, said = zoo("add", SD, "--name", "mine", "--steps", "2")
    assert code == 0, said
    assert said.startswith("mine: generator, diffusers.StableDiffusionPipeline, 32 px, float16 on")
    assert "Next: `workbench zoo download mine`" in said
    heads = [part for _, path, part in there.asked if path.endswith(".safetensors")]
    assert all(part.startswith("bytes=0-") for part in heads), "no more than a head is asked for"
    row = catalogue.checkpoint("mine")
    loaded = loading.needs(replace(row, source=str(folders[SD])))
    assert row.memory == pytest.approx(sum(loaded.values()) / 2 / 2**30, rel=0.3)
    assert row.largest == pytest.approx(max(loaded.values()) / 2 / 2**30, rel=0.3)  # and heads
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


FULL = {"unet/a.safetensors": torch.float32, "text_encoder/model.safetensors": torch.bfloat16}
BOTH = FULL | {"unet/a.fp16.safetensors": torch.float16}


@pytest.mark.parametrize(
    ("files", "asked", "dtype", "numbers"),
    [
        (FULL, [], "bfloat16", 1000),
        (FULL, ["--dtype", "float32"], "float32", 1000),
        (BOTH, [], "float16", 1000),
        (BOTH, ["--dtype", "bfloat16"], "bfloat16", 1000),
        ({"unet/a.fp16.safetensors": torch.float16}, [], "float16", 1000),
        ({"unet/a.safetensors": torch.bfloat16}, [], "bfloat16", 1000),
        (BOTH | {"unet/a.int4.safetensors": torch.uint8}, [], "float16", 1000),
    ],
)
def test_a_new_row_runs_on_a_gpu_as_its_files_tell(there, tmp_path, files, asked, dtype, numbers):
    parts = {name.partition("/")[0] for name in files}
    index = {part: ["diffusers", "UNet2DConditionModel"] for part in parts}
    folder = tmp_path / "made"
    configs = {"model_index.json": {"_class_name": "StableDiffusionPipeline"} | index}
    pipeline(folder, "", configs | {"unet/config.json": {"sample_size": 8}})
    for name, kind in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        save_file({"x": torch.zeros(numbers, dtype=kind)}, folder / name)
    there.folders["org/made"] = folder
    for source in ("org/made", str(folder)):
        name = f"mine-{len(source)}"
        assert zoo("add", source, "--name", name, *asked)[0] == 0
        row = catalogue.checkpoint(name)
        each = getattr(torch, dtype).itemsize
        assert row.dtype == dtype
        assert row.memory == pytest.approx(len(parts) * numbers * each / 2**30, rel=0.1)
        assert row.largest == pytest.approx(numbers * each / 2**30, rel=0.1)


def test_a_damaged_head_and_a_strange_dtype_are_told(there, tmp_path):
    folder = pipeline(tmp_path / "odd", "StableDiffusionPipeline", {"unet/config.json": {}})
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet" / "a.safetensors").write_bytes(b"0123456789" * 10)
    there.folders["org/odd"] = folder
    assert "the head of unet/a.safetensors of org/odd cannot be read" in zoo("add", "org/odd")[1]
    said = zoo("add", "org/odd", "--dtype", "int8")[1]
    assert said == "workbench: there is no dtype 'int8'; there are: float32, float16, bfloat16"


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
