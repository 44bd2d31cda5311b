"""Inverters that read the rows of the pictures before their pixels."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import workbench as wb
from tests.support import toys
from workbench import images, pipeline
from workbench.generators import Failure
from workbench.inverters import Prompt, RowInverter
from workbench.inverters.metadata import Metadata
from workbench.inverters.natural import Natural


@dataclass(frozen=True)
class BySize:
    """Say the name of a wide picture's file; let others look at a narrow one, and refuse a square.

    A notebook's own: it inherits from nothing.
    """

    other: object = field(default_factory=toys.Teller)

    def of_rows(self, rows):
        return [self.of_row(path) for path in rows["path"]]

    def of_row(self, path):
        with Image.open(path) as picture:
            width, height = picture.size
        if width == height:
            return Failure("squares are not for me")
        return Prompt(path.rpartition("/")[2], -0.5, True) if width > height else self.other

    def __call__(self, pictures):
        raise AssertionError("never asked for pixels")


@pytest.fixture
def table(tmp_path, store):
    for name, size in {"wide": (24, 16), "narrow": (16, 24), "square": (16, 16)}.items():
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    files = [tmp_path / f"{name}.png" for name in ("wide", "narrow", "square")]
    return images.frame(images.index(files, keep=store.put_picture))


def test_each_row_is_a_prompt_a_failure_or_for_another_inverter_to_look_at(table, store):
    prompts = pipeline.invert(table, BySize(), store)
    (seen,) = pipeline.invert(table[1:2], toys.Teller(), store)["prompt"]
    assert prompts["prompt"].fillna("").tolist() == ["wide.png", seen, ""]
    assert prompts["failure"].fillna("").tolist() == ["", "", "squares are not for me"]
    assert prompts["score"].tolist()[0] == -0.5
    assert prompts["truncated"].tolist() == [True, False, False]
    assert set(prompts["inverter"]) == {repr(BySize())}


def test_the_other_inverters_prompt_is_kept_under_its_own_key_and_nothing_else_is(table, store):
    log: list[str] = []
    pipeline.invert(table, BySize(toys.Teller(log)), store)
    asked = len(log)
    assert asked == 1
    pipeline.invert(table[1:2], toys.Teller(log), store)
    assert len(log) == asked


def test_progress_runs_on_from_the_rows_to_the_pixels(table, store):
    calls: list[tuple[str, int, int]] = []
    pipeline.invert(table, BySize(), store, lambda *call: calls.append(call))
    done = [count for _, count, _ in calls]
    assert done == sorted(done)
    assert calls[-1] == ("invert", 3, 3)


def test_too_few_answers_are_refused(table, store):
    @dataclass(frozen=True)
    class Short(BySize):
        def of_rows(self, rows):
            return [Prompt("one")]

    with pytest.raises(ValueError, match=r"gave 1 answers to 3 inputs$"):
        pipeline.invert(table, Short(), store)


def test_only_an_inverter_with_of_rows_is_asked_for_rows():
    assert isinstance(Natural(), RowInverter)
    assert isinstance(Metadata(), RowInverter)
    assert not isinstance(toys.Teller(), RowInverter)


NO_FILE = "it was not given as a file, and metadata reads files: give its path"
GIVEN = {
    "bytes": lambda path: path.read_bytes(),
    "a file object": lambda path: io.BytesIO(path.read_bytes()),
    "an array": lambda path: np.asarray(Image.open(path)),
    "a picture": lambda path: Image.open(io.BytesIO(path.read_bytes())),
}


@pytest.mark.parametrize("how", GIVEN)
def test_metadata_says_of_a_picture_without_a_file_that_it_reads_files(tmp_path, store, how):
    note = PngInfo()
    note.add_text("parameters", "a red star\nSteps: 4, Sampler: Euler, Seed: 1, Size: 16x16")
    path = tmp_path / "told.png"
    Image.new("RGB", (16, 16)).save(path, pnginfo=note)
    zoo = toys.zoo()
    run = functools.partial(wb.attribute, zoo=zoo, similarity="mse", store=store)
    (record,) = run(GIVEN[how](path), inverter="metadata").records()
    assert record["error"] == f"no prompt could be inverted: {NO_FILE}"
    (record,) = run(GIVEN[how](path), inverter=Metadata(Natural("a moon"))).records()
    assert record["prompt"] == "a moon"
    with Image.open(path) as opened:  # which knows its file
        (record,) = run(opened, inverter="metadata").records()
    assert record["prompt"] == "a red star"


def test_metadata_reads_the_path_of_a_row_and_hands_others_on(tmp_path):
    note = PngInfo()
    note.add_text("parameters", "a red star\nSteps: 4, Sampler: Euler, Seed: 1, Size: 16x16")
    Image.new("RGB", (16, 16)).save(tmp_path / "told.png", pnginfo=note)
    Image.new("RGB", (16, 16)).save(tmp_path / "bare.png")
    paths = [str(tmp_path / "told.png"), str(tmp_path / "bare.png"), None]
    rows = pd.DataFrame({"path": paths})
    prompt, bare, nowhere = Metadata().of_rows(rows)
    assert prompt == Prompt("a red star")
    assert bare.reason.startswith("no prompt could be read in the file: ")
    assert nowhere == Failure(NO_FILE)
    assert Metadata(Natural("x")).of_rows(rows) == [prompt, Natural("x"), Natural("x")]
