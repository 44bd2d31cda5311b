"""Galleries: what is read, who stands beside whom, and what colour and size alone see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workbench.evaluation import gallery

PROMPTS = ("a red fish", "a blue fish", "an old castle", "a castle at night")


@pytest.fixture
def folder(tmp_path):
    """Write four pictures of two models for four prompts, and what no gallery should hold."""
    rng = np.random.default_rng(0)
    for prompt in PROMPTS:
        place = tmp_path / prompt.replace(" ", "-")
        place.mkdir()
        for model in ("one", "two"):
            for n in range(1, 5):
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{model}-{n}.png")
    return tmp_path


def test_a_folder_of_folders_is_read_with_its_faults_told(folder):
    first = folder / "a-red-fish"
    (first / "one-9.png").write_bytes((first / "one-1.png").read_bytes())
    (first / "one-8.png").write_bytes(b"\x89PNG")
    (first / "notes.txt").write_text("no picture")
    found = gallery.read(str(folder))
    assert found.models == ["one", "two"]
    assert len(found.pictures) == 32
    assert found.left_out[0] == "1 pictures are there twice"
    assert found.left_out[1].startswith("1 cannot be opened, the first: one-8.png: ")
    row = found.pictures.iloc[0]
    assert (row["prompt"], row["generator"], row["width"], row["format"]) == (
        "a-blue-fish", "one", 8, ".png",
    )  # fmt: skip
    assert found.load(row["image_id"]).size == (8, 8)


def test_a_clone_of_the_public_gallery_is_read_by_its_layout(tmp_path):
    """PROMPT is a slug, at times with a number behind it; beside the renders lie other pictures."""
    rng = np.random.default_rng(0)
    for prompt in ("panda-riding-bicycle", "aerial-criminals-lair-68125277", "definition-beauty"):
        place = tmp_path / "output" / "renders" / prompt
        place.mkdir(parents=True)
        for model in ("dmin", "ldif", "glid3", "midj"):
            for n in (3, 14):
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{model}-{n}.png")
    other = tmp_path / "output" / "dalle-2"
    other.mkdir()
    Image.new("RGB", (8, 8)).save(other / "DALL·E 2022-07-26 21.28.23 - An invention.jpg")
    found = gallery.read(str(tmp_path), "imagen")
    assert found.models == ["dmin", "glid3", "ldif", "midj"]
    assert len(found.of(found.models).pictures) == 24
    assert found.left_out == ()


def test_the_digest_is_of_the_list_and_not_of_its_place_or_order(folder, tmp_path_factory):
    import shutil

    other = tmp_path_factory.mktemp("other") / "b"
    shutil.copytree(folder, other)
    one, two = gallery.read(str(folder)), gallery.read(str(other))
    assert one.digest() == two.digest()
    turned = gallery.Gallery(one.pictures.iloc[::-1], one.load)
    assert turned.digest() == one.digest()
    (other / "a-red-fish" / "one-1.png").unlink()
    assert gallery.read(str(other)).digest() != one.digest()


def test_prompts_that_a_model_did_not_draw_twice_are_left(folder):
    for n in (1, 2, 3):
        (folder / "a-red-fish" / f"two-{n}.png").unlink()
    found = gallery.read(str(folder)).of(["one", "two"])
    assert sorted(set(found.pictures["prompt"])) == [
        "a-blue-fish", "a-castle-at-night", "an-old-castle",
    ]  # fmt: skip
    (folder / "a-blue-fish" / "two-1.png").unlink()
    for n in (2, 3):
        (folder / "a-blue-fish" / f"two-{n}.png").unlink()
    with pytest.raises(ValueError, match=r"there are 2 models \(one, two\) and 2 such prompts$"):
        gallery.read(str(folder)).of(["one", "two"])


def test_pictures_without_a_model_are_one_sentence(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    (tmp_path / "generations.csv").write_text("file,prompt\n0.png,a fish\n")
    with pytest.raises(ValueError, match=r"names its model; expected PROMPT/MODEL-N\.png"):
        gallery.read(str(tmp_path))


def test_candidates_are_others_equally_many_and_extend_one_another(folder):
    (folder / "a-red-fish" / "two-4.png").unlink()
    table = gallery.read(str(folder)).pictures
    chosen = gallery.choose(table, ["one", "two"], 4)
    for i, row in enumerate(table.itertuples()):
        there = chosen[i] >= 0
        assert i not in chosen[i]
        left = 2 if (row.prompt, row.generator) == ("a-red-fish", "two") else 3
        assert there.sum(axis=1).tolist() == [left, left], "as many as the one with fewest"
        for k, model in enumerate(["one", "two"]):
            some = table.iloc[chosen[i, k][there[k]]]
            assert set(some["generator"]) == {model}
            assert set(some["prompt"]) == {row.prompt}
            assert len(set(some["image_id"])) == len(some)
    fewer = gallery.choose(table, ["one", "two"], 2)
    assert (fewer == chosen[:, :, :2]).all()
    assert not (gallery.choose(table, ["one", "two"], 2, seed=1) == fewer).all()


def test_the_controls_take_other_prompts_and_the_nearest_caption_first(folder):
    table = gallery.read(str(folder)).pictures
    for among, count in (("other prompts", 4), ("caption", 1)):
        chosen = gallery.choose(table, ["one", "two"], count, among=among)
        own = table["prompt"].to_numpy()
        assert (chosen >= 0).all()
        assert (own[chosen] != own[:, None, None]).all()
    near = own[chosen[:, 0, 0]]
    pairs = set(zip(own, near, strict=True))
    assert pairs == {
        ("a-red-fish", "a-blue-fish"), ("a-blue-fish", "a-red-fish"),
        ("an-old-castle", "a-castle-at-night"), ("a-castle-at-night", "an-old-castle"),
    }  # fmt: skip
    two = gallery.choose(table, ["one", "two"], 2, among="caption")
    assert all(len(set(own[row])) == 2 for row in two[:, 0]), "a picture of each caption"
    with pytest.raises(ValueError, match="no references 'x'; there are: same prompt, caption"):
        gallery.choose(table, ["one", "two"], 2, among="x")


def test_a_cube_is_the_cosine_and_empty_where_nobody_stands():
    pool = np.eye(3)
    found = gallery.cube(pool[:1], pool, np.array([[[0, 1], [2, -1]]]))
    assert np.array_equal(found, [[[1, 0], [0, np.nan]]], equal_nan=True)


def test_size_and_format_alone_are_equal_or_at_right_angles():
    table = pd.DataFrame(
        {"width": [8, 8, 9], "height": [8, 8, 8], "format": [".png", ".png", ".png"]}
    )
    rows = gallery.shapes(table)
    assert (rows @ rows.T).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
