"""Parameters of every front end: prompt, model, seed, steps, sampler, guidance, size, additions."""

from __future__ import annotations

import gzip
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.evidence.making import bytes_of, comfy, with_text
from workbench import evidence
from workbench.evidence import frontends
from workbench.evidence.parameters import read_parameters
from workbench.evidence.settings import Parameters

SIDE = 64
PICTURE = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")
WORDS = "a copper kettle"
TAIL = "Steps: 21, Sampler: Euler a, CFG scale: 6.5, Seed: 42, Size: 64x64, Model: kettleMix"
TOLD = {"seed": 42, "steps": 21, "guidance": 6.5, "sampler": "Euler a", "size": [64, 64]}
AGAINST = TOLD | {"negative_prompt": "blur, text"}
LORAS = [{"name": "shiny", "weight": 0.75}]

AUTOMATIC = {
    "on three lines": (f"{WORDS}\nNegative prompt: blur, text\n{TAIL}", AGAINST),
    "on one line": (f"{WORDS} Negative prompt: blur, text {TAIL}", AGAINST),
    "without a negative prompt": (f"{WORDS}\n{TAIL}", TOLD),
    "steps last": (f"{WORDS}\nSampler: Euler a, CFG scale: 6.5, Seed: 42, Size: 64x64, Steps: 21, "
                   "Model: kettleMix", TOLD),
    "without a sampler": (f"{WORDS}\n" + TAIL.replace("Sampler: Euler a, ", ""),
                          {key: TOLD[key] for key in TOLD if key != "sampler"}),
    "more lines after it": (f"{WORDS}\n{TAIL}\nTemplate: a {{copper|tin}} kettle\n"
                            "Negative Template: blur", TOLD),
    "steps inside the prompt": (f"{WORDS}\nNegative prompt: blur, text\n{TAIL}, Hires steps: 4, "
                                "Refiner Steps: 3", AGAINST),
    "additions by hash": (f'{WORDS}\n{TAIL}, Lora hashes: "shiny: 0a1b, dull: 2c3d"',
                          TOLD | {"loras": [{"name": "shiny", "weight": None},
                                            {"name": "dull", "weight": None}]}),
    "values with commas": (f'{WORDS}\n{TAIL}, ControlNet 0: "Model: a, Size: 9x9", Other: a, b, '
                           'Hashes: {"model": "a, b"}, Schedule type: Karras',
                           TOLD | {"scheduler": "Karras"}),
    "distilled guidance": (f"{WORDS}\n" + TAIL.replace("CFG scale: 6.5", "CFG scale: 1, Distilled "
                                                       "CFG Scale: 6.5"), TOLD),
}  # fmt: skip


@pytest.mark.parametrize("way", AUTOMATIC)
def test_automatics_kind_of_text_is_read(way):
    text, told = AUTOMATIC[way]
    found = read_parameters(with_text(PICTURE, parameters=text), PICTURE.size)
    assert (found.state, found.source, found.prompt) == ("claimed", "kettleMix", WORDS)
    assert found.settings == told


def test_a_weight_inside_the_prompt_is_an_addition():
    text = f"{WORDS} <lora:shiny:0.75>\n{TAIL}"
    found = read_parameters(with_text(PICTURE, parameters=text), PICTURE.size)
    assert found.settings["loras"] == LORAS


def test_the_checkpoint_among_resources_is_the_model():
    resources = [
        {"type": "lora", "modelName": "Shiny"},
        {"type": "checkpoint", "modelName": "K, 3"},
    ]
    text = f"{WORDS}\n{TAIL.partition(', Model')[0]}, Civitai resources: {json.dumps(resources)}"
    found = read_parameters(with_text(PICTURE, parameters=text), PICTURE.size)
    assert (found.source, found.prompt) == ("K, 3", WORDS)


MODEL = {"key": "k", "name": "kettleMix", "base": "flux", "type": "main"}
CORE = {"seed": 42, "steps": 21, "width": SIDE, "height": SIDE}
MINE = {**CORE, "prompt": WORDS, "cfg": 6.5, "sampler_name": "Euler a"}
INVOKE = {**CORE, "positive_prompt": WORDS, "app_version": "5.6.0"}
NOVEL = {**CORE, "prompt": WORDS, "scale": 6.5, "sampler": "Euler a", "uc": "blur, text"}
FOLDED = {"Comment": json.dumps(NOVEL), "Software": "NovelAI", "Source": "NovelAI V4 0A1B2C3D"}
LEGACY = {"prompt": [{"prompt": f"{WORDS} [blur, text]", "weight": 1}], "type": "txt2img"}
FRONTS = {
    # the texts, and the model, and what of TOLD is not there
    "InvokeAI, FLUX": (
        {"invokeai_metadata": json.dumps(
            INVOKE | {"guidance": 6.5, "generation_mode": "flux_txt2img", "model": MODEL})},
        "kettleMix", {"sampler": None}),
    "InvokeAI, 3": (
        {"invokeai_metadata": json.dumps(INVOKE | {
            "cfg_scale": 6.5, "scheduler": "Euler a", "generation_mode": "txt2img",
            "negative_prompt": "blur, text", "model": {"model_name": "kettleMix"},
            "loras": [{"lora": {"model_name": "shiny"}, "weight": 0.75}]})},
        "kettleMix", {"loras": LORAS, "negative_prompt": "blur, text"}),
    "InvokeAI, 2": (
        {"sd-metadata": json.dumps({"model_weights": "kettleMix", "app_version": "2.2.5", "image": {
            **CORE, **LEGACY, "cfg_scale": 6.5, "sampler": "Euler a", "postprocessing": None}})},
        "kettleMix", {"negative_prompt": "blur, text"}),
    "InvokeAI, 1": (
        {"Dream": f'"{WORDS} [blur, text]" -s21 -b1 -W64 -H64 -C6.5 -mk_lms -S42'},
        "InvokeAI", {"sampler": "k_lms", "negative_prompt": "blur, text"}),
    "InvokeAI, 1, long": (
        {"Dream": f'"{WORDS}" --steps 21 --seed=42 -W 64 -H 64 --cfg_scale 6.5 --sampler k_lms'},
        "InvokeAI", {"sampler": "k_lms"}),
    "NovelAI": (
        {"Description": WORDS, **FOLDED}, "NovelAI V4", {"negative_prompt": "blur, text"}),
    "NovelAI, folded": (
        {"comment": json.dumps(FOLDED)}, "NovelAI V4", {"negative_prompt": "blur, text"}),
    "NovelAI, no sampler": (
        {"comment": json.dumps(FOLDED | {"Comment": json.dumps(
            {key: NOVEL[key] for key in NOVEL if key != "sampler"})})},
        "NovelAI V4", {"sampler": None, "negative_prompt": "blur, text"}),
    "Fooocus": (
        {"parameters": json.dumps(CORE | {
            "prompt": WORDS, "negative_prompt": "blur, text", "base_model": "kettleMix",
            "base_model_hash": "0a", "sampler": "Euler a", "guidance_scale": 6.5,
            "resolution": "(64, 64)", "loras": [["shiny", 0.75, "0a1b"]]})},
        "kettleMix", {"loras": LORAS, "negative_prompt": "blur, text"}),
    "Fooocus, older": (
        {"Comment": json.dumps({
            "Prompt": WORDS, "Negative Prompt": "blur, text", "Fooocus V2 Expansion": "x",
            "Resolution": "(64, 64)", "Guidance Scale": 6.5, "Base Model": "kettleMix",
            "Refiner Model": "None", "Sampler": "Euler a", "Seed": 42, "Steps": 21,
            "LoRA 1": "shiny : 0.75", "LoRA 2": "None : 1.0"})},
        "kettleMix", {"loras": LORAS, "negative_prompt": "blur, text"}),
    "SwarmUI": (
        {"parameters": json.dumps({"sui_image_params": CORE | {
            "prompt": WORDS, "negativeprompt": "blur, text", "model": "kettleMix",
            "cfgscale": 6.5, "sampler": "Euler a", "loras": ["shiny"], "loraweights": ["0.75"]}})},
        "kettleMix", {"loras": LORAS, "negative_prompt": "blur, text"}),
    "Draw Things": (
        {"XMP comment": json.dumps({
            "c": WORDS, "uc": "blur, text", "model": "kettleMix", "scale": 6.5, "seed": 42,
            "steps": 21, "size": "64x64", "sampler": "Euler a",
            "lora": [{"model": "shiny", "weight": 0.75}]})},
        "kettleMix", {"loras": LORAS, "negative_prompt": "blur, text"}),
    "Easy Diffusion": (
        {"prompt": WORDS, "seed": "42", "use_stable_diffusion_model": "kettleMix",
         "num_inference_steps": "21", "guidance_scale": "6.5", "width": "64", "height": "64",
         "sampler_name": "Euler a", "negative_prompt": "blur, text"},
        "kettleMix", {"negative_prompt": "blur, text"}),
    "plain JSON": ({"parameters": json.dumps(MINE | {"model": "kettleMix"})}, "kettleMix", {}),
    "plain JSON, inside a text": (
        {"file comment": json.dumps(
            {"extra": json.dumps(MINE | {"base_model_name": "kettleMix"})})},
        "kettleMix", {}),
    "plain JSON, texts with weights": (
        {"parameters": json.dumps({
            **CORE, "cfg_scale": 6.5, "sampler": "Euler a", "model": "kettleMix",
            "text_prompts": [{"text": WORDS, "weight": 1}, {"text": "blur", "weight": -1}]})},
        "kettleMix", {}),
    "plain JSON, both prompts in one": (
        {"parameters": json.dumps(MINE | {
            "prompt": {"positive": WORDS, "negative": "blur"}, "model": "kettleMix"})},
        "kettleMix", {}),
    "plain JSON, a model with a name": (
        {"parameters": json.dumps(MINE | {"Model": {"Model": "kettleMix", "Model hash": "0a"}})},
        "kettleMix", {}),
}  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
def test_what_a_front_end_tells_is_read(front):
    texts, source, changed = FRONTS[front]
    found = frontends.read(texts)
    assert isinstance(found, Parameters)
    assert found.front == front.partition(",")[0]
    assert (", ".join(found.models) or found.front, found.prompt) == (source, WORDS)
    wanted = {key: value for key, value in (TOLD | changed).items() if value is not None}
    assert found.told() == wanted
    assert found.size == (SIDE, SIDE)


NEGATIVE = {
    "Automatic1111": {"parameters": f"Negative prompt: {WORDS}\n{TAIL}"},
    "Automatic1111, an empty line": {"parameters": f"\nNegative prompt: {WORDS}\n{TAIL}"},
    "Automatic1111, one line": {"comment": f"Negative prompt: {WORDS}. {TAIL}"},
    "Automatic1111, no settings": {"parameters": f"Negative prompt: {WORDS}"},
    "InvokeAI 3": {"invokeai_metadata": json.dumps(CORE | {
        "positive_prompt": "", "negative_prompt": WORDS, "model": MODEL, "scheduler": "euler"})},
    "InvokeAI, FLUX": {"invokeai_metadata": json.dumps(CORE | {
        "negative_prompt": WORDS, "model": MODEL})},
    "InvokeAI 1": {"Dream": f'"[{WORDS}]" -s 21 -S 42 -W 64 -H 64'},
    "NovelAI": {"Description": "", **FOLDED, "Comment": json.dumps(
        NOVEL | {"prompt": "", "uc": WORDS})},
    "plain": {"parameters": json.dumps(CORE | {"negative_prompt": WORDS, "model": "kettleMix"})},
    "Midjourney": {"Description": f"--no {WORDS} --v 6 Job ID: 00000000-1111-2222"},
}  # fmt: skip


@pytest.mark.parametrize("front", NEGATIVE)
def test_a_negative_prompt_is_never_told_as_the_prompt(front):
    found = frontends.read(NEGATIVE[front])
    assert not found.prompt
    assert found.told()["negative_prompt"].strip(". ") == WORDS


JOB = "Job ID: 00000000-1111-2222-3333-444444444444"
MIDJOURNEY = {
    f"{WORDS} --ar 1:1 --v 6.1 --seed 42 {JOB}": ("Midjourney v6.1", {"seed": 42}),
    f"https://s.mj.run/x {WORDS} --niji 6 --no hands": (
        "Midjourney niji 6", {"negative_prompt": "hands"}),
    f"{WORDS} {JOB}": ("Midjourney", {}),
}  # fmt: skip


@pytest.mark.parametrize("text", MIDJOURNEY)
def test_a_description_of_midjourney_is_a_prompt_with_options(text):
    source, told = MIDJOURNEY[text]
    found = read_parameters(with_text(PICTURE, Description=text), PICTURE.size)
    assert (found.state, found.source, found.prompt) == ("claimed", source, WORDS)
    assert found.settings == told


@pytest.mark.parametrize("text", ["a dash -- and -v 2", "an em dash — this one", "Job ID: none"])
def test_other_descriptions_are_quoted_and_not_taken_for_midjourneys(text):
    found = read_parameters(with_text(PICTURE, Description=text), PICTURE.size)
    assert (found.state, found.source, found.prompt) == ("claimed", None, None)
    assert f"Other text, which anybody can write: “Description” says “{text}”." in found.text


def test_an_enlarged_dream_is_not_contradicted():
    text = f'"{WORDS}" -s 50 -S 42 -W 32 -H 32 -C 7.5 -A k_lms'
    for more, state in ((" -U 2 0.75", "claimed"), ("", "contradicted")):
        found = read_parameters(with_text(PICTURE, Dream=text + more), PICTURE.size)
        assert found.state == state


LETTERS = "ein Kessel, 銅のやかん"
SPOKEN = f"{LETTERS}\nNegative prompt: blur\n{TAIL}"
MARKED = {
    "UTF-8": b"UNICODE\0" + SPOKEN.encode(),
    "big": b"UNICODE\0" + SPOKEN.encode("utf-16-be"),
    "little": b"UNICODE\0" + SPOKEN.encode("utf-16-le"),
    "marked": b"UNICODE\0" + SPOKEN.encode("utf-16"),
    "ASCII": b"ASCII\0\0\0" + SPOKEN.encode(),
    "none": bytes(8) + SPOKEN.encode(),
    "JIS": b"JIS\0\0\0\0\0" + SPOKEN.encode("iso2022_jp"),
}


@pytest.mark.parametrize("mark", MARKED)
def test_letters_behind_every_mark_of_a_comment_are_read(mark):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = MARKED[mark]
    found = read_parameters(bytes_of(PICTURE, "JPEG", exif=exif), PICTURE.size)
    assert (found.source, found.prompt) == ("kettleMix", LETTERS)


def test_text_that_png_should_not_hold_is_read_as_utf8():
    told = PngImagePlugin.PngInfo()
    told.add(b"tEXt", b"parameters\0" + SPOKEN.encode())
    found = read_parameters(bytes_of(PICTURE, pnginfo=told), PICTURE.size)
    assert found.prompt == LETTERS


@pytest.mark.parametrize("mark", ["pngcomp", "pnginfo", "rgbcomp", "rgbinfo"])
def test_a_text_hidden_in_the_lowest_bits_is_read(mark):
    size = (200, 120)
    body = f"{WORDS}\n{TAIL}".replace("64x64", "200x120").encode()
    body = gzip.compress(body) if mark.endswith("comp") else body
    hidden = f"stealth_{mark}".encode() + struct.pack(">I", 8 * len(body)) + body
    bits = np.unpackbits(np.frombuffer(hidden, np.uint8))
    picture = PICTURE.resize(size).convert("RGBA" if "png" in mark else "RGB")
    pixels = np.asarray(picture).copy()
    layer = pixels[..., 3:] if "png" in mark else pixels
    columns = layer.swapaxes(0, 1).reshape(-1) & 254
    columns[: len(bits)] |= bits
    layer[...] = columns.reshape(size[0], size[1], -1).swapaxes(0, 1)
    for form in ("PNG", "WEBP"):
        data = bytes_of(Image.fromarray(pixels), form, lossless=True, exact=True)
        found = read_parameters(data, size)
        assert (found.state, found.source, found.prompt) == ("claimed", "kettleMix", WORDS)


def test_a_hidden_text_that_is_damaged_hides_no_other():
    hidden = b"stealth_rgbcomp" + struct.pack(">I", 800) + bytes(100)
    pixels = np.zeros((64, 64, 3), np.uint8)
    bits = np.unpackbits(np.frombuffer(hidden, np.uint8))
    pixels.reshape(-1)[: len(bits)] = bits
    pixels = pixels.reshape(64, 64, 3).swapaxes(0, 1).copy()
    data = with_text(Image.fromarray(pixels), parameters=f"{WORDS}\n{TAIL}")
    assert read_parameters(data, PICTURE.size).prompt == WORDS


def test_the_frame_and_its_json_hold_the_settings(tmp_path):
    (tmp_path / "it.png").write_bytes(with_text(PICTURE, parameters=f"{WORDS}\n{TAIL}"))
    table = evidence.frame([tmp_path / "it.png"])
    assert table["settings"].tolist() == [None, TOLD, None]


def with_chunk(kind: bytes, body: bytes) -> bytes:
    """Write a chunk before the pixels of the picture."""
    data, told = bytes_of(PICTURE), struct.pack(">I", len(body)) + kind + body
    at = data.index(b"IDAT") - 4
    return data[:at] + told + struct.pack(">I", zlib.crc32(kind + body)) + data[at:]


def test_a_graph_of_more_than_a_mebibyte_is_read():
    graph = json.loads(comfy(64)["prompt"])
    graph["9"] = {"class_type": "LoadImageBase64", "inputs": {"data": "QUJD" * 500_000}}
    packed = b"prompt\0\0" + zlib.compress(json.dumps(graph).encode())
    found = read_parameters(with_chunk(b"zTXt", packed), PICTURE.size)
    assert (found.state, found.prompt) == ("claimed", "a blue ring")


def test_a_text_that_is_not_read_is_never_told_as_absent():
    data = with_chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(2**25)))
    found = read_parameters(data, PICTURE.size)
    assert found.state == "unchecked"
    assert found.text.endswith(" Not read: “prompt” (it has more than 8,388,608 bytes).")
