"""Pictures that were generated elsewhere."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from workbench.checkpoints import identity
from workbench.generators import Failure
from workbench.generators.archive import Archive


@pytest.fixture
def folder(tmp_path):
    for grey in range(4):
        Image.new("RGB", (4, 4), (grey, grey, grey)).save(tmp_path / f"{grey}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "generations.csv").write_text(
        "file,prompt,generator,seed\n"
        "0.png,a fish,one,9\n"
        "1.png,a fish,one,10\n"
        "2.png,a fish,two,1\n"
        '3.png,"a fish, and more",one,1\n'
        "broken.png,a moon,one,1\n"
    )
    return tmp_path


def _grey(image):
    return image.getpixel((0, 0))[0]


def test_pictures_stand_in_the_order_of_their_seeds(folder):
    archive = Archive(str(folder), generator="one")
    prompts = ["a fish", "a fish, and more", "a fish"]
    assert [_grey(image) for image in archive(prompts, [1, 0, 0])] == [1, 3, 0]
    every = Archive(str(folder / "generations.csv"))
    assert [_grey(image) for image in every(["a fish"] * 3, [0, 1, 2])] == [2, 0, 1]


def test_what_is_not_there_is_a_failure_with_a_reason(folder):
    missing, beyond, broken = Archive(str(folder), generator="one")(
        ["A fish", "a fish", "a moon"], [0, 2, 0]
    )
    assert missing == Failure("the archive holds no picture of the prompt 'A fish'")
    assert beyond == Failure(
        "the archive holds 2 pictures of the prompt 'a fish'; number 2 was asked for"
    )
    assert isinstance(broken, Failure)
    assert broken.reason.startswith("broken.png: ")


def test_an_archive_is_known_by_its_pictures_and_not_by_its_path(folder, tmp_path_factory):
    import shutil

    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(folder, elsewhere)
    before = identity(Archive(str(folder)))
    assert identity(Archive(str(elsewhere))) == before
    assert identity(Archive(str(folder), generator="one")) != before
    Image.new("RGB", (4, 4), "red").save(elsewhere / "0.png")
    assert identity(Archive(str(elsewhere))) != before


def test_a_table_that_is_missing_or_lacks_columns_is_told(tmp_path):
    with pytest.raises(LookupError, match=f"^no archive at {tmp_path}; expected a CSV table, or a"):
        Archive(str(tmp_path))(["x"], [0])
    (tmp_path / "generations.csv").write_text("file,text\n")
    sentence = f"the archive {tmp_path} lacks the column 'prompt'; it has: file, text"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Archive(str(tmp_path))(["x"], [0])
