"""The command that would draw a picture again from what its file tells."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from PIL import Image
from typer.testing import CliRunner

import workbench as wb
from tests.evidence.making import (
    A1111,
    DRAW,
    DRAWN,
    EASY,
    FOOOCUS,
    INVOKE,
    SWARM,
    bytes_of,
    comfy,
    commented,
    novel,
    with_text,
)
from workbench import evidence
from workbench.cli import redraw
from workbench.cli.app import app
from workbench.evidence.parameters import read_parameters

PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
TAIL = "Steps: 4, Sampler: Euler a, CFG scale: 6.5, Seed: 42, Size: 64x64, Model: {}"


def told(prompt="a kettle", model="pocket-sd", **more):
    settings = {"seed": 42, "steps": 4, "guidance": 6.5, "size": [64, 64], **more}
    return evidence.Evidence("parameters", "claimed", "", model, prompt, settings)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("pocket-sd", "pocket-sd"),
        ("v1-5-pruned-emaonly.safetensors", "sd-1-5"),
        ("stable-diffusion-v1-5", "sd-1-5"),
        ("SDXL\\sd_xl_base_1.0.safetensors", "sdxl"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "sdxl"),
        ("flux1-dev-fp8.safetensors", "flux-dev"),
        ("FLUX.1-schnell", "flux-schnell"),
        ("sd3_medium.safetensors", "sd-3-medium"),
    ],
)
def test_a_candidate_is_known_by_the_names_of_its_weights(name, row):
    assert redraw.candidate(name).name == row


@pytest.mark.parametrize("name", ["kettleMix_v3", "sd", "dev", "", "v", "../..", "xl"])
def test_no_candidate_is_guessed(name):
    assert redraw.candidate(name) is None


def test_the_command_names_candidate_prompt_seed_and_settings():
    command, note = redraw.command(told())
    assert command == (
        "workbench generate --generator 'Diffusers(\"pocket-sd\", steps=4, guidance=6.5)' "
        "--prompt 'a kettle' --seeds 42 --out redrawn"
    )
    assert note == "it would draw as told"
    assert repr(wb.load(shlex.split(command)[3])) == shlex.split(command)[3]


def test_what_would_be_drawn_otherwise_is_said():
    more = {"sampler": "Euler a", "size": [512, 384], "negative_prompt": "blur", "loras": [1]}
    command, note = redraw.command(told(seed=2**64, **more))
    assert "--seeds" not in command
    assert note == (
        "it would draw without the seed, by the candidate's own sampler, not 'Euler a', at "
        "64×64 pixels, not 512×384, without the additions (LoRA), without the negative prompt"
    )
    assert redraw.command(told(model="kettleMix")) == (
        None,
        "no candidate of the catalogue is the model 'kettleMix'",
    )
    assert redraw.command(told(prompt=None))[0] is None


@pytest.mark.parametrize(
    "prompt", ['it\'s $HOME `ls` "x"', "two\nlines\t\x1b[2J", "a \\ 'b'\n", "\u202e銅\n"]
)
def test_a_prompt_of_anybodys_is_one_word_of_the_command(prompt):
    command, _ = redraw.command(told(prompt=prompt))
    assert command.isprintable()
    words = command.replace("workbench generate", "printf '%s\\0'", 1)
    run = subprocess.run(
        ["bash", "-c", words], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert run.stdout.decode().split("\0")[3] == prompt


def test_inspect_gives_the_command_on_a_line_of_its_own_and_in_json(tmp_path):
    path = tmp_path / "it.png"
    path.write_bytes(with_text(PICTURE, parameters=f"a kettle\n{TAIL.format('pocket-sd')}"))
    wanted = "workbench generate --generator 'Diffusers(\"pocket-sd\", steps=4, guidance=6.5)'"
    said = CliRunner().invoke(app, ["inspect", "--redraw", str(path)])
    assert said.exit_code == 0
    assert sum(line.startswith(wanted) for line in said.stdout.splitlines()) == 1
    assert "seed 42; steps 4; guidance 6.5" in " ".join(said.stdout.split())
    record = json.loads(
        CliRunner().invoke(app, ["inspect", "--json", "--redraw", str(path)]).stdout
    )
    assert record["redraw"]["command"].startswith(wanted)
    assert record["evidence"][1]["settings"]["seed"] == 42
    plain = json.loads(CliRunner().invoke(app, ["inspect", "--json", str(path)]).stdout)
    assert "redraw" not in plain
    path.write_bytes(with_text(PICTURE, parameters="hello kettle"))
    record = json.loads(
        CliRunner().invoke(app, ["inspect", "--json", "--redraw", str(path)]).stdout
    )
    assert record["redraw"] == {
        "command": None,
        "note": "No parameters are told, so nothing can be drawn again",
    }


def test_the_command_draws(tmp_path):
    command, _ = redraw.command(told(model="pocket-sd"))
    words = [*shlex.split(command)[1:-1], str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert Image.open(tmp_path / "42.png").size == (64, 64)


XL = "sd_xl_base_1.0"
INFOTEXT = A1111.format(size="64x64").replace("v1-5-pruned", XL)
DREAM = {"Dream": '"a hat [ugly]" -s 50 -S42 -W64 -H64 -C7.5 -A k_euler'}
DREAMT = {"image": {"prompt": [{"prompt": "a hat", "weight": 1}], "steps": 50, "cfg_scale": 7.5,
                    "seed": 42, "width": 64, "height": 64, "sampler": "k_euler"}}  # fmt: skip
FRONTS = {
    "AUTOMATIC1111": (with_text(PICTURE, parameters=INFOTEXT), "sdxl", 42, 20, 7.0),
    "SD.Next": (
        with_text(PICTURE, parameters=INFOTEXT.replace("Version: v1.6.0", "App: SD.Next")),
        *("sdxl", 42, 20, 7.0),
    ),
    "Fooocus": (
        with_text(
            PICTURE,
            fooocus_scheme="fooocus",
            parameters=json.dumps(FOOOCUS | {"base_model": XL, "guidance_scale": 4.5}),
        ),
        *("sdxl", 1, 30, 4.5),
    ),
    "InvokeAI": (
        with_text(PICTURE, invokeai_metadata=json.dumps(INVOKE | {"model": {"name": XL}})),
        *("sdxl", 1, 30, 7.0),
    ),
    "InvokeAI, its first form": (
        with_text(
            PICTURE,
            **DREAM,
            **{"sd-metadata": json.dumps({"model_weights": "stable-diffusion-1.5"} | DREAMT)},
        ),
        *("sd-1-5", 42, 50, 7.5),
    ),
    "SwarmUI": (
        with_text(
            PICTURE,
            parameters=json.dumps(
                {"sui_image_params": SWARM | {"model": XL, "steps": 20, "cfgscale": 7}}
            ),
        ),
        *("sdxl", 1, 20, 7.0),
    ),
    "Easy Diffusion": (
        with_text(
            PICTURE,
            **EASY | {"use_stable_diffusion_model": XL},
            num_inference_steps="25",
            guidance_scale="7.5",
        ),
        *("sdxl", 1, 25, 7.5),
    ),
    "Draw Things": (
        bytes_of(
            PICTURE,
            exif=commented(json.dumps(DRAW | {"model": f"{XL}_q8p.ckpt", "steps": 9, "scale": 6})),
        ),
        *("sdxl", 1, 9, 6.0),
    ),
    "ComfyUI": (with_text(PICTURE, **comfy(64)), "sdxl", 5, 20, 8.0),
    "ComfyUI, as it is drawn": (
        with_text(PICTURE, workflow=json.dumps(DRAWN)),
        *("flux-dev", 5, 20, 8.0),
    ),
    "plain JSON": (
        with_text(
            PICTURE,
            comment=json.dumps({"prompt": "a hat", "model": XL, "seed": 5, "steps": 9, "cfg": 3}),
        ),
        *("sdxl", 5, 9, 3.0),
    ),
}


@pytest.mark.parametrize("front", FRONTS)
def test_what_a_front_end_tells_is_in_the_command(front):
    data, name, seed, steps, guidance = FRONTS[front]
    found = read_parameters(data, PICTURE.size)
    words = shlex.split(redraw.command(found)[0])
    assert words[3] == f'Diffusers("{name}", steps={steps}, guidance={guidance})'
    assert words[5:8] == [found.prompt, "--seeds", str(seed)]


@pytest.mark.parametrize(
    "data",
    [
        with_text(PICTURE, **novel()),
        with_text(PICTURE, Description="a hat --seed 5 --v 6 Job ID: 0f0f0f0f-1111"),
    ],
    ids=["NovelAI", "Midjourney"],
)
def test_a_model_that_is_not_in_the_catalogue_cannot_draw_again(data):
    found = read_parameters(data, PICTURE.size)
    assert found.settings["seed"] in (1, 5)
    assert redraw.command(found) == (
        None,
        f"no candidate of the catalogue is the model {found.source!r}",
    )


@pytest.mark.parametrize(
    "more",
    [{"steps": 0}, {"steps": 10**9}, {"steps": 12.5}, {"guidance": -1}, {"guidance": 10**15}],
    ids=str,
)
def test_steps_and_guidance_that_cannot_be_are_left_to_the_candidate(more):
    (name,) = more
    command, note = redraw.command(told(**more))
    assert f"{name}=" not in command
    assert f"with the candidate's own {name}, not {more[name]}" in note


def test_a_candidate_that_takes_no_steps_is_said_to_have_its_own():
    command, note = redraw.command(told(model="pocket-dalle"))
    assert command.startswith("workbench generate --generator pocket-dalle --prompt")
    assert "with the candidate's own steps, not 4, with the candidate's own guidance, not 6" in note
