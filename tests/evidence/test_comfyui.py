"""ComfyUI's graphs: the prompt, the model and the settings of the picture that was saved."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.evidence.making import SPACE, comfy, with_text
from workbench import evidence
from workbench.cli import terminal


def test_a_prompt_of_comfyui_is_what_lies_behind_the_positive_wire(tmp_path):
    more = {
        "3": ("SamplerCustomAdvanced", {"guider": ["8", 0], "latent_image": ["5", 0]}),
        "4": ("UNETLoader", {"unet_name": "flux1-dev"}),
        "8": ("BasicGuider", {"model": ["4", 0], "conditioning": ["9", 0]}),
        "9": ("FluxGuidance", {"conditioning": ["6", 0], "guidance": 3.5}),
    }
    control = {"positive": ["6", 0], "negative": ["7", 0], "image": ["11", 0], "strength": 1}
    between = {
        "3": ("KSampler", {"positive": ["10", 0], "negative": ["10", 1]}),
        "6": ("CLIPTextEncodeSDXL", {"text_g": ["12", 0], "text_l": "soft", "clip": ["4", 1]}),
        "10": ("ControlNetApplyAdvanced", control),
        "12": ("PrimitiveString", {"value": "a blue ring"}),
    }
    round_about = {"6": ("ConditioningCombine", {"conditioning_1": ["6", 0]})}
    wanted = {"a blue ring": more, "a blue ring, soft": between, "": round_about}
    for prompt, nodes in wanted.items():
        (tmp_path / "it.png").write_bytes(
            with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes))
        )
        found = evidence.parameters(tmp_path / "it.png")
        assert (found.state, found.prompt or "") == ("claimed", prompt)


FOX = ("PrimitiveString", {"value": "a red fox"})
PIPES = {
    # what a text encoder's text is wired to: more nodes, and the prompt that is read
    "a photo of a red fox": {
        "20": ("StringConcatenate", {"string_a": "a photo of", "string_b": ["21", 0], **SPACE}),
        "21": FOX,
    },
    "one, a red fox": {
        "20": ("ShowText", {"text": ["22", 0], "text_0": "shown"}),
        "21": FOX,
        "22": ("Text Concatenate", {"text_a": "one", "text_b": ["21", 0], "delimiter": ", "}),
    },
    "a red fox": {"20": ("Pipe", {"pos": ["21", 0], "neg": ["23", 0]}), "21": FOX},
    "a styled fox": {"20": ("Styler", {"text_positive": "a styled fox", "text_negative": "bad"})},
    "a blue fox": {"20": ("Wild", {"wildcard_text": "a _ fox", "populated_text": "a blue fox"})},
    None: {"20": ("OllamaGenerate", {"prompt": "Describe the image.", "model": "llava"})},
}


@pytest.mark.parametrize("prompt", [*PIPES, "unknown"])
def test_a_prompt_is_followed_through_nodes_or_said_to_be_lost(tmp_path, prompt):
    nodes = PIPES.get(prompt, {"20": ("Mine", {"words": "half of it", "rest": ["21", 0]})})
    nodes = {"21": FOX, "23": ("PrimitiveString", {"value": "NEGATIVE"}), **nodes}
    nodes["6"] = ("CLIPTextEncode", {"text": ["20", 0], "clip": ["4", 1]})
    (tmp_path / "it.png").write_bytes(with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes)))
    found = evidence.parameters(tmp_path / "it.png")
    wanted = None if prompt == "unknown" else prompt
    assert (found.state, found.prompt) == ("claimed", wanted)
    assert ("the prompt lost in its nodes" in found.text) is (wanted is None)


def test_two_paths_to_a_guider_are_both_followed(tmp_path):
    nodes = {
        "3": ("SamplerCustomAdvanced", {"guider": ["8", 0], "latent_image": ["5", 0]}),
        "8": ("DualCFGGuider", {"cond1": ["6", 0], "cond2": ["9", 0], "negative": ["7", 0]}),
        "9": ("CLIPTextEncodeFlux", {"clip_l": "soft", "t5xxl": "a soft light", "clip": ["4", 1]}),
    }
    (tmp_path / "it.png").write_bytes(with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes)))
    assert evidence.parameters(tmp_path / "it.png").prompt == "a blue ring, soft, a soft light"


def test_endless_prompts_are_cut_where_they_are_shown_and_turn_nothing_around(tmp_path, capsys):
    long = "a\u202eb\x1b[2J " + "so " * 5000
    nodes = {"6": ("CLIPTextEncode", {"text": long, "clip": ["4", 1]})}
    (tmp_path / "it.png").write_bytes(with_text(Image.new("RGB", (64, 64)), **comfy(64, **nodes)))
    terminal.print_evidence(evidence.frame([tmp_path / "it.png"]), False)
    said = capsys.readouterr().out
    assert "\u202e" not in said
    assert "a\\u202eb\\x1b[2J so so" in " ".join(said.split())
    assert len(said) < 2000
    assert evidence.parameters(tmp_path / "it.png").prompt == long.strip()
