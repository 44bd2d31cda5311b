"""Traces of past compression are observed, at the error rate that is told."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.evidence.making import bytes_of
from tests.evidence.test_watermark import unmarked
from workbench import evidence
from workbench.evidence.traces import LEAST, quantisation, read_traces
from workbench.paths import data_folder


@pytest.fixture(scope="module")
def ours() -> list[Image.Image]:
    """Open the pictures that come with the project, none of which was ever compressed."""
    files = sorted(
        path for name in ("samples", "world") for path in (data_folder() / name).iterdir()
    )
    return [Image.open(path).convert("RGB") for path in files if path.suffix == ".png"]


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(bytes_of(picture, "JPEG", quality=quality))).convert("RGB")


def test_no_picture_that_was_never_compressed_seems_so(ours):
    assert len(ours) == 112
    plain = [quantisation(picture)[0] for picture in ours]
    larger = [quantisation(picture.resize((150, 150)))[0] for picture in ours]
    patterns = [quantisation(picture)[0] for picture in unmarked(60)]
    assert max(*plain, *larger, *patterns) < LEAST


@pytest.mark.parametrize("quality", [50, 75, 85, 95])
def test_every_picture_that_was_compressed_is_seen_with_its_quality(ours, quality):
    found = [quantisation(compressed(picture, quality)) for picture in ours]
    assert min(strength for strength, _ in found) >= LEAST
    assert {abs(guess - quality) <= 2 for _, guess in found} == {True}


def test_what_repeats_itself_is_no_trace():
    wave = np.sin(np.arange(320) / 3.7) * 90 + 128
    stripes = np.broadcast_to(wave[:, None], (256, 320, 3)[1:]).astype(np.uint8)
    assert quantisation(Image.fromarray(np.broadcast_to(stripes, (256, 320, 3)).copy()))[0] < LEAST
    assert quantisation(Image.new("RGB", (64, 64), "teal"))[0] == 0
    assert quantisation(Image.new("RGB", (5, 5)))[0] == 0


def test_the_steps_are_lost_off_the_grid_and_when_resized(ours):
    seen = [compressed(picture, 75) for picture in ours[:20]]
    moved = [quantisation(picture.crop((3, 3, 64, 64)))[0] for picture in seen]
    resized = [quantisation(picture.resize((80, 80)))[0] for picture in seen]
    assert max(*moved, *resized) < LEAST


def test_only_a_file_without_a_loss_is_said_to_have_been_compressed_before(ours, tmp_path):
    picture = compressed(ours[0], 75)
    assert read_traces(picture, "JPEG") is None
    picture.save(tmp_path / "it.png")
    *_, found = evidence.inspect(tmp_path / "it.png")
    assert (found.kind, found.state, found.source) == ("traces", "observed", None)
    assert found.text.startswith("The pixels bear traces of JPEG, of a quality of about 7")
    assert "fewer than 1 in 200" in found.text
    ours[0].save(tmp_path / "it.png")
    kinds = [each.kind for each in evidence.inspect(tmp_path / "it.png")]
    assert kinds == ["C2PA", "parameters", "watermark"]
