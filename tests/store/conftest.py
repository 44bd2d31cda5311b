"""What the tests of the store write into it."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
from PIL import Image

from workbench.store.store import Store

META = {"role": "generator", "repr": "Noise()"}
fork = multiprocessing.get_context("fork")


def key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def noise(seed: int, side: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def file_of(held: Store, digest: str) -> Path:
    return held.path / "pictures" / digest[:2] / f"{digest[2:]}.png"
