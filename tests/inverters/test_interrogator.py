"""The interrogator: what is added, in which order, and when it stops."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from tests.support import toys
from workbench.inverters import Prompt
from workbench.inverters.interrogator import Interrogator, _read
from workbench.inverters.natural import Natural
from workbench.paths import data_folder
from workbench.plugin import identity
from workbench.pocket import world

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Counter:
    """Encode a text as the counts of three words, and a picture as its mean colour."""

    def layers(self, images, layers):
        rows = [np.asarray(image, float).mean(axis=(0, 1)) for image in images]
        return {layer: toys.unit(rows) for layer in layers}

    def text(self, texts):
        words = [re.findall(r"\w+", text) for text in texts]
        return toys.unit([[row.count(colour) for colour in COLOURS] for row in words])


@dataclass(frozen=True)
class Cut:
    """Caption every picture with a text that was cut short."""

    text: str = "red"

    def __call__(self, images):
        return [Prompt(self.text, -1.0, truncated=True) for _ in images]


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("blue\ngreen\n\n  red and {}  \ngreen\n")
    return str(path)


def picture(*rgb):
    return Image.new("RGB", (4, 4), rgb)


def ask(labels, *rgb, **fields):
    (found,) = Interrogator(Cut(), Counter(), labels, **fields)([picture(*rgb)])
    return found


def test_labels_are_added_while_the_cosine_rises(labels):
    # red 3, green 2: counts (1,0,0) → (1,1,0) → (2,1,0); blue would only turn away
    found = ask(labels, 180, 120, 0)
    aim = np.array([3, 2, 0]) / 13**0.5
    steps = [aim @ counts / np.linalg.norm(counts) for counts in ([1, 0, 0], [1, 1, 0], [2, 1, 0])]
    assert found.text == "red and red, green"
    assert found.trace == pytest.approx(steps, abs=1e-6)
    assert found.score == found.trace[-1]
    assert found.truncated


def test_a_caption_that_nothing_improves_stays(labels):
    found = ask(labels, 200, 0, 0)
    assert (found.text, found.trace) == ("red", (pytest.approx(1.0, abs=1e-6),))


def test_a_label_that_the_caption_holds_is_not_added(labels):
    (found,) = Interrogator(Cut("red green"), Counter(), labels)([picture(20, 200, 0)])
    assert found.text == "red green"
    (found,) = Interrogator(Cut("red evergreen"), Counter(), labels)([picture(20, 200, 0)])
    assert found.text == "red evergreen, green"


def test_the_labels_nearest_to_the_picture_are_tried_and_no_more_than_asked(labels):
    assert ask(labels, 180, 120, 0, most=1).text == "red, green"
    assert (
        ask(labels, 180, 120, 0, shortlist=1).text == "red"
    )  # "red and {}" alone, which adds nothing
    assert ask(labels, 60, 120, 120, most=2).text == "red, blue, green"  # a tie goes by the list


def test_an_empty_caption_becomes_the_label_alone(labels):
    (found,) = Interrogator(Natural(text=""), Counter(), labels)([picture(0, 99, 0)])
    assert found.text == "green"


def test_the_content_of_a_list_is_its_identity_and_its_path_is_not(labels, tmp_path):
    def stamp(path):
        return identity(Interrogator(Natural(text="x"), Counter(), str(path)))

    copy = tmp_path / "copy.txt"
    copy.write_text("blue\ngreen\nred and {}\n")
    assert stamp(copy) == stamp(labels)
    copy.write_text("blue\ngreen\n")
    assert stamp(copy) != stamp(labels)
    other = replace(Interrogator(Natural(text="x"), Counter(), labels), most=2)
    assert identity(other) != stamp(labels)
    assert stamp(labels)["caption"] is not None


def test_the_lists_we_ship_are_well_formed():
    for name in ("general", "pocket"):
        path = data_folder() / "catalogue" / "labels" / f"{name}.txt"
        lines = path.read_text(encoding="utf-8").splitlines()
        assert list(_read(name)) == lines
        assert all(line.count("{}") <= 1 and line.replace("{}", "").strip() for line in lines)
    assert len(_read("general")) >= 150


def test_the_pocket_list_is_the_media_and_backgrounds_of_the_grammar():
    media = [f"{phrase} {{}}" for phrase in world.MEDIA.values()]
    assert list(_read("pocket")) == media + [f"{{}} {x}" for x in world.BACKGROUNDS.values()]


def test_the_encoder_is_asked_once_for_the_labels(labels):
    asked = []

    @dataclass(frozen=True)
    class Counted(Counter):
        def text(self, texts):
            asked.extend(texts)
            return super().text(texts)

    tool = Interrogator(Cut(), Counted(), labels)
    tool([picture(200, 0, 0)])
    tool([picture(0, 200, 0)])
    assert asked.count("green") == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"shortlist": 0}, "an interrogator needs shortlist of at least 1; seen 0"),
        ({"most": 0}, "an interrogator needs most of at least 1; seen 0"),
        ({"encoder": len}, f"an interrogator needs an encoder with a text tower; seen {len!r}"),
    ],
)
def test_what_makes_no_sense_is_told(fields, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Interrogator(**{"caption": Cut(), "encoder": Counter()} | fields)


def test_a_list_that_is_missing_or_empty_is_told(tmp_path):
    sentence = (
        "no label list named 'pokcet'; there are: general, pocket, or give the path of a .txt file"
    )
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        Interrogator(Cut(), Counter(), "pokcet")([picture(0, 0, 0)])
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(LookupError, match=r"none.txt' is empty; it needs a label a line$"):
        Interrogator(Cut(), Counter(), str(tmp_path / "none.txt"))([picture(0, 0, 0)])
