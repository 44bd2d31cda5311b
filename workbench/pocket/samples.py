"""``python -m workbench.pocket.samples``: prompts of the presets, sample and real pictures.

Prompts come from the calibration and the evaluation split: no model saw such a scene. Samples are
made with query seeds from evaluation prompts, three of each model, as lossless PNG without any
metadata, under names that do not tell the model; data/samples/samples.csv does. The real pictures
of data/world were drawn, not generated: no model made them.
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench import catalogue
from workbench.catalogue.presets import draw
from workbench.keys import query_seed
from workbench.pocket.drawing import render
from workbench.pocket.world import (
    BACKGROUNDS,
    COLOURS,
    CORPORA,
    MEDIA,
    RELATIONS,
    SHAPES,
    Corpus,
    Split,
    mixture,
    parse,
    prompts,
)

SEED, COUNT, EACH, REAL = 81, 1500, 3, 100
OPENED = 400
"""Evaluation prompts that development may look at."""
ASKED = Corpus(mixture(), named=0.1)
"""How prompts are asked for: every background and object alike, one in ten names a medium."""
DATA = Path(__file__).parents[2] / "data"


def write_prompts() -> None:
    """Write data/pocket/prompts.csv: COUNT different prompts of calibration and evaluation.

    Of the latter OPENED serve development, the others are marked as frozen for a release.
    """
    splits: tuple[Split, ...] = ("calibration", "evaluation")
    with (DATA / "pocket" / "prompts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["prompt", "split"])
        for split in splits:
            texts = prompts(split, COUNT, ASKED, SEED)
            opened = set(texts) if split == "calibration" else open_for_development(texts)
            rows = [[text, split if text in opened else "release"] for text in texts]
            writer.writerows(rows)


def open_for_development(texts: list[str]) -> set[str]:
    """Choose OPENED prompts, whole scenes at a time, in the order in which seed 0 draws them."""
    scenes: dict[str, list[str]] = {}
    for text in draw(texts, len(texts), seed=0):
        shown = parse(text)
        if shown is None:
            raise ValueError(f"not a caption of the world: {text!r}")
        scenes.setdefault(str(replace(shown, medium="")), []).append(text)
    opened: set[str] = set()
    for same in scenes.values():
        if len(opened) + len(same) <= OPENED:
            opened.update(same)
    return opened


def write_slots() -> None:
    """Write data/pocket/slots.toml: the values of each slot."""
    slots = {
        "object": SHAPES,
        "colour": list(COLOURS),
        "background": list(BACKGROUNDS.values()),
        "relation": list(RELATIONS),
        "medium": list(MEDIA.values()),
    }
    lines = [f"{name} = {json.dumps(values)}" for name, values in slots.items()]
    (DATA / "pocket" / "slots.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_samples() -> None:
    """Write data/samples: EACH pictures of every pocket model, and the table of their source."""
    folder = DATA / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    texts = prompts("evaluation", EACH * 4, ASKED, SEED + 1)
    rows = []
    for number, (name, generator) in enumerate(catalogue.zoo("pocket").items()):
        chosen = texts[number::4]
        seeds = [query_seed(SEED, text) for text in chosen]
        pictures: list[Any] = list(generator(chosen, seeds))
        for index, (text, seed, picture) in enumerate(zip(chosen, seeds, pictures, strict=True)):
            stem = f"sample-{index * 4 + number + 1:02d}.png"
            picture.save(folder / stem)
            rows.append([stem, name, text, seed])
    with (folder / "samples.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "generator", "prompt", "seed"])
        writer.writerows(sorted(rows))


def write_world() -> None:
    """Write data/world: REAL pictures of evaluation prompts, drawn by the world's own code."""
    folder = DATA / "world"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    for number, text in enumerate(prompts("evaluation", REAL, ASKED, SEED + 2), 1):
        scene = parse(text)
        if scene is None:
            raise ValueError(f"not a caption of the world: {text!r}")
        render(scene, CORPORA["world"], rng).save(folder / f"world-{number:03d}.png")


def main(arguments: list[str]) -> int:
    """Write prompts, samples, or both."""
    if "samples" in arguments or not arguments:
        write_samples()
    if "world" in arguments or not arguments:
        write_world()
    if "prompts" in arguments or not arguments:
        write_prompts()
        write_slots()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
