"""Of a graph of ComfyUI only what leads to the saved picture is told: model, prompt, settings."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.evidence.making import bytes_of, commented
from workbench.evidence import comfyui, frontends
from workbench.evidence.parameters import read_parameters

PROMPT = "a copper kettle"


def sampler(model="4", positive="6", negative="7", latent="5", **more):
    wires = {"model": [model, 0], "positive": [positive, 0], "negative": [negative, 0]}
    drawn = {"seed": 42, "steps": 21, "cfg": 6.5, "sampler_name": "euler", "scheduler": "karras"}
    return ("KSampler", {**wires, "latent_image": [latent, 0], "denoise": 1, **drawn, **more})


def text(words, clip="4"):
    return ("CLIPTextEncode", {"text": words, "clip": [clip, 1]})


def loader(name):
    return ("CheckpointLoaderSimple", {"ckpt_name": name})


BASE = {
    "3": sampler(),
    "4": loader("kettleMix"),
    "5": ("EmptyLatentImage", {"width": 512, "height": 384, "batch_size": 1}),
    "6": text(PROMPT),
    "7": text("NEGATIVE"),
    "8": ("VAEDecode", {"samples": ["3", 0], "vae": ["4", 2]}),
    "9": ("SaveImage", {"images": ["8", 0], "filename_prefix": "x"}),
}
TOLD = {
    "negative_prompt": "NEGATIVE",
    "seed": 42,
    "steps": 21,
    "guidance": 6.5,
    "sampler": "euler",
    "scheduler": "karras",
    "size": [512, 384],
}
SECOND = {
    "20": loader("otherMix"),
    "21": text("a tin pan", "20"),
    "22": sampler("20", "21", seed=7, steps=3),
    "23": ("VAEDecode", {"samples": ["22", 0], "vae": ["20", 2]}),
}
SHINY = {"name": "shiny", "weight": 0.75}
FLUX = {
    "3": (
        "SamplerCustomAdvanced",
        {
            "noise": ["30", 0],
            "guider": ["31", 0],
            "sampler": ["32", 0],
            "sigmas": ["33", 0],
            "latent_image": ["5", 0],
        },
    ),
    "4": ("UNETLoader", {"unet_name": "kettleMix", "weight_dtype": "default"}),
    "5": ("EmptySD3LatentImage", {"width": ["37", 0], "height": 384, "batch_size": 1}),
    "6": text(PROMPT, "35"),
    "30": ("RandomNoise", {"noise_seed": ["36", 0]}),
    "31": ("BasicGuider", {"model": ["38", 0], "conditioning": ["34", 0]}),
    "32": ("KSamplerSelect", {"sampler_name": "euler"}),
    "33": ("BasicScheduler", {"scheduler": "karras", "steps": 21, "model": ["38", 0]}),
    "34": ("FluxGuidance", {"conditioning": ["6", 0], "guidance": 6.5}),
    "35": ("DualCLIPLoader", {"clip_name1": "t5xxl", "clip_name2": "clip_l"}),
    "36": ("PrimitiveInt", {"value": 42}),
    "37": ("PrimitiveInt", {"value": 512}),
    "38": (
        "LoraLoaderModelOnly",
        {"model": ["4", 0], "lora_name": "shiny", "strength_model": 0.75},
    ),
}
POWER = {
    "PowerLoraLoaderHeaderWidget": {"type": "x"},
    "lora_1": {"on": True, "lora": "shiny", "strength": 0.75},
    "lora_2": {"on": False, "lora": "dull", "strength": 1},
    "model": ["4", 0],
}
PIPED = {
    "3": ("KSampler (Efficient)", {**sampler()[1], "model": ["4", 0], "positive": ["4", 1]}),
    "4": (
        "Efficient Loader",
        {
            "ckpt_name": "kettleMix",
            "positive": PROMPT,
            "negative": "NEGATIVE",
            "lora_name": "shiny",
            "lora_model_strength": 0.75,
        },
    ),
}
SWITCH = {"input1": ["20", 0], "input2": ["4", 0]}
GRAPHS = {
    # more nodes, and the settings that are told beside TOLD
    "the plain one": ({}, {}),
    "an unused loader": ({"20": loader("otherMix")}, {}),
    "another branch that is only shown": (
        SECOND | {"24": ("PreviewImage", {"images": ["23", 0]})},
        {},
    ),
    "another branch that ends nowhere": (SECOND, {}),
    "another checkpoint for its decoder": (
        {"8": ("VAEDecode", {"samples": ["3", 0], "vae": ["20", 2]}), "20": loader("vaeMix")},
        {},
    ),
    "a second pass": (
        {
            "10": ("LatentUpscale", {"samples": ["3", 0], "width": 1024, "height": 768}),
            "11": sampler(latent="10", seed=7, steps=9, denoise=0.5),
            "8": ("VAEDecode", {"samples": ["11", 0], "vae": ["4", 2]}),
        },
        {},
    ),
    "a guider": (FLUX, {"loras": [SHINY], "negative_prompt": None}),
    "a negative prompt of nothing": (
        {"10": ("ConditioningZeroOut", {"conditioning": ["6", 0]}), "3": sampler(negative="10")},
        {"negative_prompt": None},
    ),
    "one text for both prompts": ({"3": sampler(negative="6")}, {"negative_prompt": None}),
    "an addition": (
        {
            "10": ("LoraLoader", {"model": ["4", 0], "clip": ["4", 1], "lora_name": "shiny",
                                  "strength_model": 0.75, "strength_clip": 1}),
            "3": sampler(model="10"),
        },
        {"loras": [SHINY]},
    ),
    "many additions": (
        {"10": ("Power Lora Loader (rgthree)", POWER), "3": sampler(model="10")},
        {"loras": [SHINY]},
    ),
    "one loader for all": (PIPED, {"loras": [SHINY]}),
    "a wire that goes round": (
        {"10": ("Reroute", {"": ["6", 0]}), "11": ("Reroute", {"": ["4", 0]}),
         "3": sampler(model="11", positive="10")},
        {},
    ),
    "a node for both prompts": (
        {"10": ("Both", {"prompt": PROMPT, "negativePrompt": "NEGATIVE", "clip": ["4", 1]}),
         "3": sampler(positive="10")},
        {},
    ),
    "a switch by number": (
        SECOND | {"10": ("ImpactSwitch", {"select": 2, **SWITCH}), "3": sampler(model="10")},
        {},
    ),
    "a switch by truth": (
        SECOND | {
            "10": ("Switch", {"boolean": False, "on_true": ["21", 0], "on_false": ["6", 0]}),
            "3": sampler(positive="10"),
        },
        {},
    ),
}  # fmt: skip


def graph(more):
    nodes = BASE | more
    return {name: {"class_type": kind, "inputs": each} for name, (kind, each) in nodes.items()}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_leads_to_the_saved_picture_is_told(name):
    more, settings = GRAPHS[name]
    found = frontends.read({"prompt": json.dumps(graph(more))})
    assert (found.front, found.models, found.prompt) == ("ComfyUI", ("kettleMix",), PROMPT)
    wanted = TOLD | settings
    assert found.told() == {key: each for key, each in wanted.items() if each is not None}


def test_of_two_pictures_shown_both_are_told():
    shown = {"24": ("PreviewImage", {"images": ["23", 0]}), "9": ("PreviewImage", BASE["9"][1])}
    found = frontends.read({"prompt": json.dumps(graph(SECOND | shown))})
    assert found.models == ("kettleMix", "otherMix")
    assert found.prompt == f"{PROMPT}, a tin pan"


def test_a_hosted_models_node_takes_the_words_themselves():
    nodes = {
        "1": ("KettleProImageNode", {"prompt": PROMPT, "seed": 42, "aspect_ratio": "1:1"}),
        "2": ("SaveImage", {"images": ["1", 0]}),
        "3": ("OllamaGenerate", {"prompt": "Describe the image."}),
    }
    only = {name: {"class_type": kind, "inputs": each} for name, (kind, each) in nodes.items()}
    assert frontends.read({"prompt": json.dumps(only)}).prompt == PROMPT


WHOLE = {"prompt": graph({}), "workflow": {"nodes": [], "links": []}}
COMMENTS = {
    "wrapped": b"UNICODE\0" + json.dumps(WHOLE).encode("utf-16-be"),
    "as it is": b"ASCII\0\0\0" + json.dumps(graph({})).encode(),
    "as a text": b"ASCII\0\0\0" + json.dumps({"prompt": json.dumps(graph({}))}).encode(),
    "bare": json.dumps(WHOLE),
}


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("way", COMMENTS)
def test_a_graph_in_a_comment_is_read_wrapped_or_not(form, way):
    picture = Image.new("RGB", (512, 384))
    data = bytes_of(picture, form, exif=commented(COMMENTS[way]))
    found = read_parameters(data, picture.size)
    assert (found.state, found.source, found.prompt) == ("claimed", "kettleMix", PROMPT)
    assert found.settings == TOLD


def test_a_graph_whose_prompt_is_lost_gives_way_to_a_text_that_tells_it():
    lost = {"6": text(["10", 0]), "10": ("OllamaGenerate", {"prompt": "Describe."})}
    texts = {"prompt": json.dumps(graph(lost))}
    assert frontends.read(texts).lost
    texts["parameters"] = f"{PROMPT}\nNegative prompt: x\nSteps: 21, Seed: 42, Model: kettleMix"
    assert frontends.read(texts).prompt == PROMPT


def test_nodes_that_were_switched_off_in_a_drawing_count_for_nothing():
    nodes = [
        {"id": 1, "type": "UNETLoader", "widgets_values": ["kettleMix", "default"]},
        {"id": 2, "type": "CLIPTextEncode", "widgets_values": [PROMPT]},
        {"id": 3, "type": "LoraLoaderModelOnly", "mode": 4, "widgets_values": ["shiny", 1],
         "inputs": [{"name": "model", "link": 1}]},
        {"id": 4, "type": "KSampler", "widgets_values": [42, "fixed", 21, 6.5, "euler", "karras"],
         "inputs": [{"name": "model", "link": 2}, {"name": "positive", "link": 3}]},
        {"id": 5, "type": "SaveImage", "inputs": [{"name": "images", "link": 4}]},
        {"id": 6, "type": "UNETLoader", "widgets_values": ["otherMix"]},
        {"id": 7, "type": "SaveImage", "mode": 2, "inputs": [{"name": "images", "link": 5}]},
    ]  # fmt: skip
    links = [[1, 1, 0, 3, 0, "M"], [2, 3, 0, 4, 0, "M"], [3, 2, 0, 4, 1, "C"], [4, 4, 0, 5, 0, "I"]]
    drawn = {"nodes": nodes, "links": [*links, [5, 6, 0, 7, 0, "I"]]}
    found = frontends.read({"workflow": json.dumps(drawn)})
    assert (found.models, found.prompt) == (("kettleMix",), PROMPT)
    wanted = {k: each for k, each in TOLD.items() if k not in ("size", "negative_prompt")}
    assert found.told() == wanted


def test_a_graph_that_leads_round_in_a_ring_ends():
    ring = {"6": ("Reroute", {"": ["10", 0]}), "10": ("Reroute", {"": ["6", 0]})}
    found = comfyui.read(graph(ring))
    assert (found.models, found.prompt) == (("kettleMix",), "")
    assert found.lost
