"""Plug-ins of a few lines that need no weights: a notebook's own objects, unregistered.

A toy model paints the prompt's digest as a pattern in its own tint, so that the true model is
nearest; `noise` drowns the tint. Calls are written into `log`, to see what was made and how often.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workbench import images
from workbench.generators import Failure
from workbench.inverters import Prompt

SIDE = 16


def pattern(text: str) -> np.ndarray:
    """Paint a text as (SIDE, SIDE, 3) values in [0, 1]."""
    seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    small = np.random.default_rng(seed).random((4, 4, 3))
    return np.kron(small, np.ones((SIDE // 4, SIDE // 4, 1)))


@dataclass(frozen=True)
class Toy:
    """Make pictures in a tint; prompts that hold `refuses` are failures."""

    tint: tuple[float, float, float]
    noise: float = 0.05
    refuses: str = "forbidden"
    log: Any = field(default=None, repr=False, compare=False)
    wait: float = field(default=0.0, repr=False, compare=False)

    def __call__(self, prompts, seeds):
        time.sleep(self.wait)
        pairs = list(zip(prompts, seeds, strict=True))
        note(self.log, [f"make {self.tint} {prompt} {seed}" for prompt, seed in pairs])
        return [self._paint(*pair) for pair in pairs]

    def _paint(self, prompt: str, seed: int):
        if self.refuses in prompt:
            return Failure("this toy refuses the prompt")
        rng = np.random.default_rng(seed)
        value = 0.5 * pattern(prompt) + 0.5 * np.array(self.tint)
        value = value + self.noise * rng.standard_normal((SIDE, SIDE, 3))
        return Image.fromarray((value.clip(0, 1) * 255).astype(np.uint8))


@dataclass(frozen=True)
class Coder(Toy):
    """A toy with an autoencoder, which bends a picture into what its tint allows and blurs it."""

    def reconstruct(self, pictures):
        note(self.log, [f"reconstruct {images.digest(picture)}" for picture in pictures])
        return [self._bend(images.array(images.fit(picture, SIDE))) for picture in pictures]

    def _bend(self, value: np.ndarray):
        least = 0.5 * np.array(self.tint)
        value = value.clip(least, least + 0.5)
        value = 0.75 * value + 0.125 * (np.roll(value, 1, axis=0) + np.roll(value, 1, axis=1))
        return Image.fromarray((value * 255).round().astype(np.uint8))


@dataclass(frozen=True)
class Teller:
    """Invert to one of eight words by the picture's brightness."""

    log: Any = field(default=None, repr=False, compare=False)

    def __call__(self, pictures):
        note(self.log, [f"invert {images.digest(picture)}" for picture in pictures])
        words = "one two three four five six seven eight".split()
        return [Prompt(words[int(images.array(x).mean() * 7.99)], score=-1.0) for x in pictures]


@dataclass(frozen=True)
class Mean:
    """Encode as the mean colour, and captions by their pattern's."""

    layer: int | None = None
    log: Any = field(default=None, repr=False, compare=False)

    def at(self, layer):
        return Mean(layer, self.log)

    def depth(self):
        return 2

    def __call__(self, pictures):
        return self.layers(pictures, [self.layer])[self.layer]

    def layers(self, pictures, layers):
        note(self.log, [f"encode {images.digest(picture)}" for picture in pictures])
        return {
            layer: unit([images.array(x).mean(axis=(0, 1)) ** (layer or 3) for x in pictures])
            for layer in layers
        }

    def text(self, texts):
        return unit([pattern(text).mean(axis=(0, 1)) for text in texts])


@dataclass(frozen=True)
class Stain:
    """Attack by a square of a drawn grey; intensity / 100 is its side. Some pictures it refuses."""

    intensity: float = 50
    refuses: tuple[str, ...] = ()
    log: Any = field(default=None, repr=False, compare=False)

    def __call__(self, image, rng):
        note(self.log, [f"attack {images.digest(image)} {self.intensity}"])
        if images.digest(image) in self.refuses:
            raise ValueError("this toy refuses the picture")
        pixels = np.array(image)
        side = round(len(pixels) * self.intensity / 100)
        pixels[:side, :side] = rng.integers(256)
        return Image.fromarray(pixels)


@dataclass(frozen=True)
class Black:
    """Attack that leaves nothing."""

    intensity: float = 50

    def __call__(self, image, rng):
        return Image.new("RGB", image.size)


def unit(rows) -> np.ndarray:
    """Scale rows to length 1."""
    matrix = np.asarray(rows, dtype=np.float32).reshape(len(rows), -1)
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)


def note(log: Any, lines: list[str]) -> None:
    """Write calls into a list, or a file that other processes share."""
    if isinstance(log, list):
        log.append(list(lines))
    elif log is not None:
        with Path(log).open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))


TINTS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (0.5, 0.5, 0.5)}


def zoo(log: Any = None, **fields: Any) -> dict[str, Toy]:
    """Gather four toy models."""
    return {name: Toy(tint, log=log, **fields) for name, tint in TINTS.items()}


def coders(log: Any = None) -> dict[str, Toy]:
    """Gather the four toy models, all but the grey one with an autoencoder."""
    kinds = {name: Toy if name == "grey" else Coder for name in TINTS}
    return {name: kinds[name](tint, log=log) for name, tint in TINTS.items()}
