"""What a file says of its origin: signed, verified, claimed, contradicted, broken or absent."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import workbench as wb
from tests.evidence.making import A1111 as A1111
from tests.evidence.making import bytes_of, small, write_files
from tests.evidence.making import comfy as comfy
from tests.images.making import chunk, profile, with_chunks
from workbench import evidence
from workbench.cli.app import app


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Write a table of files that carry each kind of evidence, forged and stripped ones too."""
    return write_files(tmp_path_factory.mktemp("evidence"))


TABLE = [
    ("plain.png", "absent", "absent", "absent"),
    ("signed.png", "signed", "absent", "absent"),
    ("signed.jpg", "signed", "absent", "absent"),
    ("signed.webp", "signed", "absent", "absent"),
    ("signed.avif", "signed", "absent", "absent"),
    ("signed.gif", "signed", "absent", "absent"),
    ("edited.jpg", "signed", "absent", "absent"),
    ("edited-forged.jpg", "signed", "absent", "absent"),
    ("elsewhere.jpg", "claimed", "absent", "absent"),
    ("tampered.png", "broken", "absent", "absent"),
    ("tampered.jpg", "broken", "absent", "absent"),
    ("copied.png", "broken", "absent", "absent"),
    ("renamed.jpg", "broken", "absent", "absent"),
    ("stripped.png", "absent", "absent", "absent"),
    ("a1111.png", "absent", "claimed", "absent"),
    ("a1111.jpg", "absent", "claimed", "absent"),
    ("a1111-little.jpg", "absent", "claimed", "absent"),
    ("a1111-ascii.webp", "absent", "claimed", "absent"),
    ("a1111.avif", "absent", "claimed", "absent"),
    ("a1111.gif", "absent", "claimed", "absent"),
    ("turned.jpg", "absent", "claimed", "absent"),
    ("forged.png", "absent", "contradicted", "absent"),
    ("twice.png", "absent", "claimed", "absent"),
    ("endless.png", "absent", "unchecked", "absent"),
    ("spaces.png", "absent", "claimed", "absent"),
    ("noise.png", "absent", "claimed", "absent"),
    ("comfy.png", "absent", "claimed", "absent"),
    ("comfy.webp", "absent", "claimed", "absent"),
    ("comfy-prompt.png", "absent", "claimed", "absent"),
    ("comfy-drawn.png", "absent", "claimed", "absent"),
    ("comfy-drawn-forged.png", "absent", "contradicted", "absent"),
    ("comfy-scaled.png", "absent", "claimed", "absent"),
    ("comfy-odd.png", "absent", "claimed", "absent"),
    ("comfy-forged.png", "absent", "contradicted", "absent"),
    ("fooocus.png", "absent", "claimed", "absent"),
    ("fooocus.jpg", "absent", "claimed", "absent"),
    ("fooocus-forged.png", "absent", "contradicted", "absent"),
    ("invoke.png", "absent", "claimed", "absent"),
    ("invoke-forged.png", "absent", "contradicted", "absent"),
    ("novel.png", "absent", "claimed", "absent"),
    ("novel-forged.png", "absent", "contradicted", "absent"),
    ("stealthy.png", "absent", "claimed", "absent"),
    ("stealthy-novel.png", "absent", "claimed", "absent"),
    ("swarm.png", "absent", "claimed", "absent"),
    ("easy.png", "absent", "claimed", "absent"),
    ("draw.png", "absent", "claimed", "absent"),
    ("watermark-v1.png", "absent", "absent", "claimed"),
    ("watermark-xl.png", "absent", "absent", "claimed"),
    ("watermark-dark.png", "absent", "absent", "claimed"),
    ("watermark-xl-red.png", "absent", "absent", "claimed"),
    ("grid.png", "absent", "claimed", "absent"),
    ("controlled.png", "absent", "claimed", "absent"),
    ("controlled-forged.png", "absent", "contradicted", "absent"),
    ("quoted.png", "absent", "claimed", "absent"),
    ("comfy-turned.png", "absent", "claimed", "absent"),
    ("comfy-saved-forged.png", "absent", "contradicted", "absent"),
    ("comfy-wired.png", "absent", "claimed", "absent"),
    ("watermark-dark-v2.png", "absent", "absent", "claimed"),
    ("watermark.jpg", "absent", "absent", "absent"),
    ("ramp.png", "absent", "absent", "absent"),
]
PROMPTS = [
    ("a1111.png", "v1-5-pruned", "a red star on snow"),
    ("a1111-little.jpg", "v1-5-pruned", "a red star on snow"),
    ("comfy.png", "sd_xl_base_1.0.safetensors", "a blue ring"),
    ("comfy-odd.png", "ComfyUI", "a blue ring"),
    ("comfy-drawn.png", "flux1-dev", "a blue ring"),
    ("comfy-wired.png", "flux1-dev", "a blue ring"),
    ("twice.png", "v1-5-pruned", "a red star on snow"),
    ("controlled.png", "v1-5-pruned", "a red star on snow"),
    ("quoted.png", "a, b: c", "a red star on snow"),
    ("fooocus.png", "juggernaut", "a green tree"),
    ("invoke.png", "sdxl-base", "a grey owl"),
    ("novel.png", "NovelAI Diffusion V4", "a tall girl"),
    ("stealthy.png", "v1-5-pruned", "a red star on snow"),
    ("stealthy-novel.png", "NovelAI Diffusion V4", "a tall girl"),
    ("swarm.png", "sd_xl", "a black bee"),
    ("easy.png", "sd-v1-5", "a red apple"),
    ("draw.png", "sd_v1.5", "a ripe pear"),
]


def photographed(name: str) -> bool:
    """Tell whether a file shows scikit-image's astronaut in full size, which was resized once."""
    return name in ("plain.png", "grid.png") or name.startswith("watermark-")


@pytest.mark.parametrize(("name", "manifest", "parameters", "watermark"), TABLE)
def test_each_kind_is_told_apart(files, name, manifest, parameters, watermark):
    *found, traces = [*evidence.inspect(files / name), None][:4]
    assert [each.kind for each in found] == ["C2PA", "parameters", "watermark"]
    assert traces is None or (traces.kind, photographed(name)) == ("traces", True)
    assert [each.state for each in found] == [manifest, parameters, watermark]
    assert {each.state for each in found} <= set(evidence.STATES)


@pytest.mark.parametrize(("name", "source", "prompt"), PROMPTS)
def test_parameters_hold_the_prompt_and_the_model(files, name, source, prompt):
    found = evidence.inspect(files / name)[1]
    assert (found.source, found.prompt) == (source, prompt)


def test_no_text_is_taken_for_another_pictures(files):
    for _ in range(20):  # at the same place in memory
        assert evidence.parameters(files / "a1111.jpg").state == "claimed"
        assert evidence.parameters(files / "signed.webp").state == "absent"


def test_contradicted_and_unknown_texts_are_told(files):
    assert "512×512 pixels, the picture has 64×64" in evidence.inspect(files / "forged.png")[1].text
    assert "Other texts: “parameters”." in evidence.inspect(files / "noise.png")[1].text
    assert "more than 50,000 characters" in evidence.inspect(files / "endless.png")[1].text


def test_a_folder_is_a_frame_and_a_broken_file_is_a_row(files, tmp_path):
    for name in ("cut.png", "a1111.png", "signed.gif"):
        (tmp_path / name).symlink_to(files / name)
    table = evidence.frame(wb.images.find([tmp_path])).set_index("path")
    row = table.loc[str(tmp_path / "cut.png")]
    assert (row["kind"], row["state"]) == ("file", "unchecked")
    assert row["text"].startswith("It cannot be opened: the picture is damaged")
    assert len(table) == 3 + 1 + 3


def test_a_missing_library_is_told_with_the_way_to_install_it(files, monkeypatch):
    for name in ("c2pa", "sd_parsers", "imwatermark"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    found = evidence.inspect(files / "plain.png")[:3]
    assert [each.state for each in found] == ["unchecked"] * 3
    assert all("pip install 'attribution-workbench[evidence]'" in each.text for each in found)


def test_metadata_answers_the_prompt_of_the_file(files, store):
    wanted = [files / name for name in ("a1111.png", "plain.png")]
    images = wb.images.frame(wb.images.index(wanted, keep=store.put_picture))
    found = wb.invert(images, wb.load("metadata"), store)
    assert found["prompt"].tolist()[0] == "a red star on snow"
    assert found["failure"].tolist()[1] == (
        "no prompt could be read in the file: No parameters of a known front end."
    )
    with pytest.raises(ValueError, match="metadata reads files, and these are pictures"):
        wb.load("metadata")([Image.new("RGB", (8, 8))])
    found = wb.invert(images, wb.Metadata(wb.Empty()), store)
    assert found["prompt"].tolist() == ["a red star on snow", ""]


def test_it_stands_beside_the_ranking_escaped_and_changes_no_score(tiny, files, store, tmp_path):
    plain = tmp_path / "plain.png"
    Image.open(files / "a1111.png").save(plain)
    told = wb.attribute(files / "<b>.png", store=store)
    bare = wb.attribute(plain, store=store)
    columns = ["generator", "score", "rank"]
    assert told.rankings[columns].equals(bare.rankings[columns])
    (record,) = told.records()
    (found,) = record["evidence"]
    assert found["kind"] == "parameters"
    assert found["prompt"].startswith("<b>a red star")
    assert found["settings"]["seed"] == 42
    assert bare.records()[0]["evidence"] == []
    page = told.report(tmp_path / "report.html").read_text()
    assert "it has no part in the ranking" in page
    assert "&lt;b&gt;a red star" in page
    assert "<q><b>" not in page


def test_the_command_tells_each_file_and_fails_where_one_cannot_be_opened(files):
    run = CliRunner().invoke
    told = run(app, ["inspect", str(files / "forged.png"), str(files / "signed.png")])
    assert told.exit_code == 0
    words = " ".join(told.stdout.split())
    assert "parameters, contradicted:" in words
    assert "C2PA, signed:" in words
    found = run(app, ["inspect", "--json", str(files / "cut.png"), str(files / "a1111.png")])
    assert found.exit_code == 1
    cut, good = map(json.loads, found.stdout.splitlines())
    assert [each["state"] for each in cut["evidence"]] == ["unchecked"]
    assert [each["state"] for each in good["evidence"]] == ["absent", "claimed", "absent"]
    assert good["evidence"][0]["prompt"] is None


def test_each_file_tells_its_own_prompt_though_the_pixels_are_the_same(
    files, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path))
    names = ["a1111.png", "comfy.png", "stripped.png", "noise.png"]
    told = ["invert", "--json", "--inverter", "metadata", *(str(files / name) for name in names)]
    found = CliRunner().invoke(app, told)
    prompts = [json.loads(line)["prompt"] for line in found.stdout.splitlines()]
    assert prompts == ["a red star on snow", "a blue ring", None, None]
    assert found.exit_code == 1


COLOURS = {
    "wide.png": (
        lambda: bytes_of(small(), icc_profile=profile()),
        "Opened here, its colours were converted to sRGB from those that it tells (wide).",
    ),
    "gamma.png": (
        lambda: with_chunks(bytes_of(small()), chunk(b"gAMA", struct.pack(">I", 100_000))),
        "Opened here, its colours were converted to sRGB from those that it tells (gAMA).",
    ),
    "ink.jpg": (
        lambda: bytes_of(small().convert("CMYK"), "JPEG"),
        "Opened here, its inks (CMYK) were converted by the plain formula, without a profile.",
    ),
    "deep.png": (
        lambda: bytes_of(Image.fromarray(np.full((64, 64), 7000, np.uint16))),
        "Opened here, the upper 8 of the 16 bits of each channel were kept.",
    ),
}


@pytest.mark.parametrize("name", COLOURS)
def test_what_was_done_to_colours_is_a_row(name, tmp_path):
    made, text = COLOURS[name]
    (tmp_path / name).write_bytes(made())
    last = evidence.inspect(tmp_path / name)[-1]
    assert (last.kind, last.state, last.text) == ("colours", "done", text)
    said = CliRunner().invoke(app, ["inspect", str(tmp_path / name)])
    assert f"colours, done: {text}" in " ".join(said.stdout.split())
    table = wb.inspect(tmp_path / name)
    assert table["text"].tolist()[-1] == text
