"""``python -m workbench.pocket.probe``: how well the zoo's pictures show what their prompts say.

A linear probe on pocket-clip's features learns object, colour and background from world pictures
with one object (train split), and then judges what the generators make of calibration prompts. The
captioner is judged by its captions' slots on world pictures. Both go into the manifest, with n, and
with the probe's own accuracy on fresh world pictures as the ceiling.
"""

from __future__ import annotations

import logging
import sys
import time
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from workbench import catalogue
from workbench.keys import query_seed
from workbench.pocket import manifest
from workbench.pocket.drawing import render
from workbench.pocket.world import CORPORA, Scene, Split, parse, scenes

log = logging.getLogger("workbench.pocket.probe")

SEED, LEARN, JUDGE = 71, 6000, 200
SLOTS = ("object", "colour", "background")


def single(split: Split, count: int, seed: int) -> list[Scene]:
    """Return scenes with one object."""
    matching = (scene for scene in scenes(split, CORPORA["world"], seed) if len(scene.things) == 1)
    return list(islice(matching, count))


def slots(scene: Scene) -> tuple[str, str, str]:
    """Return object, colour and background of a scene with one object."""
    return scene.things[0].shape, scene.things[0].colour, scene.background


def features(images: list[Image.Image]) -> np.ndarray:
    """Return CLS and mean patch tokens of three layers side by side, (N, D)."""
    encoder: Any = catalogue.load("pocket-clip")
    pooled: Any = catalogue.load("pocket-clip", pooling="mean")
    layers = [2, 4, 6]
    parts = [*encoder.layers(images, layers).values(), *pooled.layers(images, layers).values()]
    return np.concatenate(parts, axis=1) * 8


class Probe:
    """One logistic regression a slot."""

    def __init__(self) -> None:
        from sklearn.linear_model import LogisticRegression

        rng = np.random.default_rng(SEED)
        learnt = single("train", LEARN, SEED)
        pictures = [render(scene, CORPORA["world"], rng) for scene in learnt]
        seen, truth = features(pictures), np.array([slots(scene) for scene in learnt])
        self.models = [
            LogisticRegression(C=10.0, max_iter=300).fit(seen, truth[:, i]) for i in range(3)
        ]

    def judge(self, images: list[Image.Image], truth: list[Scene]) -> dict[str, float]:
        """Return the share of pictures whose slot is right, slot by slot and all three together."""
        seen, expected = features(images), np.array([slots(scene) for scene in truth])
        right = np.stack(
            [model.predict(seen) == expected[:, i] for i, model in enumerate(self.models)]
        )
        shares = {slot: round(float(row.mean()), 3) for slot, row in zip(SLOTS, right, strict=True)}
        return {**shares, "all": round(float(right.all(0).mean()), 3), "n": len(images)}


def captioner() -> dict[str, float]:
    """Return the share of slots right in pocket-blip's captions of unseen world pictures."""
    rng, inverter = np.random.default_rng(SEED + 1), catalogue.load("pocket-blip")
    truth = list(islice(scenes("calibration", CORPORA["world"], SEED), JUDGE))
    captions = inverter([render(scene, CORPORA["world"], rng) for scene in truth])
    read = [parse(caption.text) for caption in captions]
    whole = [
        r is not None
        and (r.things, r.relation, r.background) == (t.things, t.relation, t.background)
        for r, t in zip(read, truth, strict=True)
    ]
    background = [
        r is not None and r.background == t.background for r, t in zip(read, truth, strict=True)
    ]
    first = [r is not None and r.things[0] == t.things[0] for r, t in zip(read, truth, strict=True)]
    shares = {
        "grammatical": [r is not None for r in read],
        "background": background,
        "first object": first,
        "whole caption": whole,
    }
    return {
        **{name: round(float(np.mean(values)), 3) for name, values in shares.items()},
        "n": JUDGE,
    }


def main() -> int:
    """Measure every generator and the captioner, or those named, and record it in the manifests."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    probe, rng = Probe(), np.random.default_rng(SEED + 2)
    truth = single("calibration", JUDGE, SEED + 2)
    prompts = [str(scene) for scene in truth]
    ceiling = probe.judge([render(scene, CORPORA["world"], rng) for scene in truth], truth)
    log.info("the probe itself, on world pictures: %s", ceiling)
    more = [f"pocket-{name}" for name in manifest.MORE]
    for name in sys.argv[1:] or [*catalogue.zoo("pocket"), *more, "pocket-blip"]:
        entry: dict[str, Any] = {"slot_accuracy_ceiling": ceiling}
        if name == "pocket-blip":
            entry = {"slot_accuracy": captioner()}
        else:
            generator, began = catalogue.load(name, "generator"), time.perf_counter()
            pictures = list(generator(prompts, [query_seed(SEED, prompt) for prompt in prompts]))
            entry["seconds_per_picture"] = round((time.perf_counter() - began) / len(pictures), 3)
            entry["slot_accuracy"] = probe.judge(pictures, truth)
        log.info("%s: %s", name, entry)
        folder = manifest.home(name.removeprefix("pocket-")).parent
        entries = manifest.read(folder)
        entries[name] |= entry
        manifest.write(folder, entries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
