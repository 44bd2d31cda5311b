"""Controls: what each looks at, in closed form, and that nothing else counts."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench.attributors.shortcut import Shortcut, traits


def picture(pixels) -> Image.Image:
    return Image.fromarray(np.asarray(pixels, dtype=np.uint8))


def test_bytes_are_those_of_the_files():
    shown = picture(np.random.default_rng(0).integers(0, 256, (8, 8, 3)))
    sizes = []
    for options in ({"format": "PNG"}, {"format": "JPEG", "quality": 90}):
        file = io.BytesIO()
        shown.save(file, **options)
        sizes.append(len(file.getvalue()))
    found = traits(shown, "bytes")
    assert found[1] == sizes[1]
    assert found[0] == pytest.approx(sizes[0], rel=0.2)  # our PNG may be packed harder
    assert (traits(picture(np.zeros((8, 8, 3))), "bytes") < found).all()


def test_colours_are_a_joint_histogram_that_knows_no_places():
    pixels = np.zeros((2, 2, 3))
    pixels[0, 0] = 255, 0, 128  # cells 3, 0 and 2 of four
    found = traits(picture(pixels), "colours")
    assert (found[0], found[3 * 16 + 2], found.sum()) == (0.75, 0.25, 1)
    assert np.array_equal(found, traits(picture(pixels[::-1]), "colours"))


def test_busyness_is_that_of_stripes():
    stripes = np.zeros((8, 8, 3))
    stripes[:, ::2] = 255
    across, down, deviation, bend, entropy = traits(picture(stripes), "busyness")
    assert (across, down, deviation, bend, entropy) == (255, 0, 127.5, 510, 1)


@pytest.mark.parametrize("looks", ["bytes", "colours", "busyness"])
def test_the_scores_are_those_of_a_forest_on_the_traits(looks, images, training, store):
    method = Shortcut(looks, trees=20, leaf=2, size=16)
    made = method.fit(training, toys.zoo(), store=store, seed=3)
    scores = made(images, toys.zoo(), store=store).scores
    assert np.allclose(scores.groupby("image_id")["score"].sum(), 1)
    order = training.sort_values("image_id")
    known = [traits(store.picture(name), looks) for name in order["image_id"]]
    forest = RandomForestClassifier(20, min_samples_leaf=2, random_state=3)
    forest.fit(known, order["source"])
    first = images["image_id"][0]
    expected = forest.predict_proba([traits(store.picture(first), looks)])[0]
    own = scores[scores["image_id"] == first].set_index("generator")["score"]
    assert np.allclose(own.loc[list(forest.classes_)], expected)


def test_colours_tell_tints_apart_and_bytes_do_not(images, training, store):
    found = {}
    for looks in ("colours", "bytes"):
        made = Shortcut(looks, trees=50, leaf=1, size=16).fit(training, toys.zoo(), store=store)
        found[looks] = accuracy(made(images, toys.zoo(), store=store).scores, images)
    assert found["colours"] > 0.7 > found["bytes"]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"^a shortcut looks at one of bytes, .*; seen 'shape'$"):
        Shortcut("shape")
    with pytest.raises(ValueError, match=r"^trees and leaf are at least 1; seen 0 and 5$"):
        Shortcut(trees=0)
