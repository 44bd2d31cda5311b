"""What a pipeline does not read of a prompt is what changes nothing in its picture."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.models import tiny
from workbench import pipeline
from workbench.generators import _limits
from workbench.generators.diffusers import Diffusers
from workbench.keys import prompt_id
from workbench.store.store import Store

LONG = " ".join(["a red circle above a blue star in the night"] * 60)


@pytest.mark.parametrize(
    "name", ["tiny-sd", "tiny-xl", "tiny-sd3", "tiny-flux", "tiny-pixart", "tiny-ld", "tiny-karlo"]
)
def test_what_is_unread_changes_no_picture_and_what_is_read_does(name, capfd):
    model = Diffusers(tiny.checkpoint(name))
    model.loaded()
    capfd.readouterr()
    words = LONG.split()
    counts = model.unread([" ".join(words[:n]) for n in range(len(words) + 1)])
    assert counts == sorted(counts)
    assert counts[1] == 0 < counts[-1]
    last = counts.index(next(filter(None, counts))) - 1  # the most words that are read whole
    whole, cut = " ".join(words[:last]), " ".join([*words[:last], "star", "star"])
    pictures = model([LONG, f"{LONG} star", whole, " ".join(words[: last - 2])], [7] * 4)
    digests = [picture.tobytes() for picture in pictures]
    assert digests[0] == digests[1], "both end behind the limit"
    assert digests[2] != digests[3], "and these before"
    assert model.unread([cut])[0] > 0
    assert capfd.readouterr().err == "", "the library shows nothing of it"


def test_a_row_may_say_how_much_is_read():
    row = tiny.checkpoint("tiny-pixart")
    short = dataclasses.replace(row, options=dict(row.options) | {"max_sequence_length": 16})
    more, less = Diffusers(row).unread([LONG])[0], Diffusers(short).unread([LONG])[0]
    assert less > more


def test_what_is_not_known_is_not_guessed(tmp_path):
    assert Diffusers(tiny.checkpoint("tiny-lumina-2")).unread(["a"]) == [None]
    away = dataclasses.replace(tiny.checkpoint("tiny-sd"), source=str(tmp_path / "gone"))
    assert Diffusers(away).unread(["a", "b"]) == [None, None]
    assert _limits.unread(away, []) == []


def test_a_cut_prompt_is_a_column_and_a_warning(tmp_path, caplog):
    import pandas as pd

    texts = ["a red circle", LONG]
    prompts = pd.DataFrame({"prompt_id": [*map(prompt_id, texts)], "prompt": texts})
    zoo = {"sd": Diffusers(tiny.checkpoint("tiny-sd"))}
    made = pipeline.generate(prompts, zoo, 1, 0, Store(tmp_path))
    (none, some) = made["unread"]
    assert none == 0 < some
    assert caplog.messages == [
        f"sd reads less than the whole of 1 of 2 prompts (up to {some:.0f} tokens are cut)"
    ]
