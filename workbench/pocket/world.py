"""The pocket world: captioned scenes of 64×64 pixels, drawn by code.

A scene is a handful of slots (medium, background, objects, relation). Its caption follows from the
slots by a grammar and can be read back, so the quality of an inverted prompt is measured exactly:
slot by slot. A corpus says how scenes are distributed and in which dialect (a way of drawing) a
scene appears whose caption names no medium; the corpora are what tells the pocket models apart, as
LAION, filtered web pictures and CC12M do for their large relatives.

Scenes are split once, by a hash of what they show, into train, calibration and evaluation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

SIDE = 64
"""Side of a picture in pixels."""

Split = Literal["train", "calibration", "evaluation"]

SHAPES = "circle square triangle star heart ring moon cross tree house fish flower".split()
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 130, 32),
    "yellow": (250, 212, 44),
    "green": (38, 150, 70),
    "blue": (38, 84, 200),
    "purple": (126, 54, 168),
    "pink": (246, 130, 176),
    "brown": (122, 74, 38),
    "black": (26, 26, 30),
    "white": (248, 248, 244),
}
BACKGROUNDS: dict[str, str] = {
    "sky": "in the sky",
    "grass": "on grass",
    "sand": "on sand",
    "night": "at night",
    "brick": "before a brick wall",
    "water": "on water",
    "snow": "on snow",
    "checkerboard": "on a checkerboard",
}
MEDIA: dict[str, str] = {
    "photo": "a photo of",
    "flat": "a flat print of",
    "ink": "an ink drawing of",
    "watercolour": "a watercolour of",
}
SIZES = ("small", "", "large")
RELATIONS = ("above", "left of")
LOW_CONTRAST = {
    ("grass", "green"), ("night", "black"), ("snow", "white"), ("water", "blue"),
    ("sand", "yellow"), ("sand", "orange"), ("brick", "red"), ("brick", "brown"), ("sky", "blue"),
}  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """One object of a scene: its shape, colour and size (``""`` is the middle size)."""

    shape: str
    colour: str
    size: str = ""

    def __str__(self) -> str:
        words = " ".join(filter(None, [self.size, self.colour, self.shape]))
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Scene:
    """The slots of one picture; ``str(scene)`` is its caption.

    >>> scene = Scene(("circle", ), "grass")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: a scene holds Thing objects, not 'circle'
    >>> scene = Scene((Thing("star", "red", "large"), Thing("house", "blue")), "grass", "left of")
    >>> str(replace(scene, medium="ink"))
    'an ink drawing of a large red star left of a blue house on grass'
    """

    things: tuple[Thing, ...]
    background: str
    relation: str = ""
    medium: str = ""

    def __post_init__(self) -> None:
        for thing in self.things:
            if not isinstance(thing, Thing):
                raise ValueError(f"a scene holds Thing objects, not {thing!r}")

    def __str__(self) -> str:
        words = [MEDIA[self.medium]] if self.medium else []
        if len(self.things) == 2:
            words += [str(self.things[0]), self.relation, str(self.things[1])]
        else:
            words.append(", ".join(map(str, self.things[:-1])))
            words += ["and"] * (len(self.things) > 1) + [str(self.things[-1])]
        return " ".join(word for word in [*words, BACKGROUNDS[self.background]] if word)

    @property
    def split(self) -> Split:
        """Train (80 %), calibration (10 %) or evaluation (10 %), by a hash of the content.

        The medium does not enter: a scene stays in its split whatever way it is drawn.
        """
        content = str(replace(self, medium="")).encode()
        percent = int.from_bytes(hashlib.sha256(content).digest()[:6], "big") % 100
        return "train" if percent < 80 else "calibration" if percent < 90 else "evaluation"


def parse(caption: str) -> Scene | None:
    """Return the scene of a caption; ``None`` when it does not follow the grammar.

    >>> parse("a small red star above a tree on snow") is None
    True
    >>> str(parse("a photo of a small red star above a green tree on snow"))
    'a photo of a small red star above a green tree on snow'
    """
    rest, medium, background = " ".join(caption.lower().split()), "", ""
    for name, words in MEDIA.items():
        if rest.startswith(words + " "):
            medium, rest = name, rest[len(words) + 1 :]
    for name, words in BACKGROUNDS.items():
        if rest.endswith(" " + words):
            background, rest = name, rest[: -len(words) - 1]
    relation = next((word for word in RELATIONS if f" {word} " in rest), "")
    parts = re.split(rf" {relation} " if relation else r", | and ", rest)
    pattern = (
        rf"an? (?:({'|'.join(filter(None, SIZES))}) )?({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
    )
    matches = [re.fullmatch(pattern, part) for part in parts]
    if not background or not 1 <= len(parts) <= 3 or not all(matches):
        return None
    things = tuple(Thing(m[3], m[2], m[1] or "") for m in matches if m)
    if (len(things) == 2) != bool(relation):
        return None
    return Scene(things, background, relation, medium)


@dataclass(frozen=True)
class Corpus:
    """How the pictures of one training set are distributed.

    ``dialects`` holds the share of each way of drawing among pictures whose caption names no
    medium; ``counts`` the shares of scenes with one, two and three objects; ``named`` the share of
    captions that name the medium; ``scale`` multiplies the size of objects and ``spread`` how far
    they wander from their place (fraction of the side). ``blur`` is the deviation, in pixels, of a
    Gaussian over the finished picture, as of a corpus whose pictures were enlarged.
    """

    dialects: Mapping[str, float]
    counts: tuple[float, float, float] = (0.55, 0.35, 0.10)
    named: float = 0.15
    scale: float = 1.0
    spread: float = 0.06
    blur: float = 0.0

    def dialect(self, scene: Scene, rng: np.random.Generator) -> str:
        """Return the dialect of ``scene``: its medium, else a draw from the mixture."""
        drawn = str(rng.choice(list(self.dialects), p=list(self.dialects.values())))
        return scene.medium or drawn


def mixture(**shares: float) -> dict[str, float]:
    """Return the shares of the dialects; those not named share the rest equally."""
    rest = (1 - sum(shares.values())) / max(1, len(MEDIA) - len(shares))
    return {name: shares.get(name, rest) for name in MEDIA}


CORPORA: dict[str, Corpus] = {
    "world": Corpus(mixture(), named=0.5, spread=0.09),
    "laion": Corpus(mixture(photo=0.96)),
    "laion400m": Corpus(mixture(photo=0.96), scale=0.88, spread=0.09, blur=1.3),
    "filtered": Corpus(mixture(flat=0.96), counts=(0.7, 0.25, 0.05), scale=1.2, spread=0.03),
    "cc12m": Corpus(mixture(watercolour=0.96), counts=(0.45, 0.4, 0.15), scale=0.95, spread=0.09),
    "laion2": Corpus(mixture(photo=0.9), spread=0.08),
    "sa1b": Corpus(mixture(photo=0.5, flat=0.46), counts=(0.35, 0.45, 0.2), scale=0.9),
}
"""``world``: every dialect alike (encoder, captioner, probe). ``laion``: pocket-sd. ``laion400m``:
pocket-ld, its older and softer sister, as LAION-400M is to LAION-5B. ``filtered``: pocket-glide.
``cc12m``: pocket-dalle. ``laion2``: pocket-sd2. ``sa1b``: pocket-pixart. How far apart they are is
the zoo's difficulty, which `workbench.pocket.dial` measures."""


def draw_scene(corpus: Corpus, rng: np.random.Generator) -> Scene:
    """Return a random scene, its colours always different from the background's."""
    background = str(rng.choice(list(BACKGROUNDS)))
    colours = [colour for colour in COLOURS if (background, colour) not in LOW_CONTRAST]
    count = int(rng.choice(3, p=corpus.counts)) + 1
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        pair = (str(rng.choice(SHAPES)), str(rng.choice(colours)))
        if pair not in pairs:
            pairs.append(pair)
    sizes = [str(rng.choice(SIZES, p=(0.25, 0.5, 0.25))) if count < 3 else "" for _ in pairs]
    things = tuple(
        Thing(shape, colour, size) for (shape, colour), size in zip(pairs, sizes, strict=True)
    )
    relation = str(rng.choice(RELATIONS)) if count == 2 else ""
    medium = str(rng.choice(list(MEDIA))) if rng.random() < corpus.named else ""
    return Scene(things, background, relation, medium)


def scenes(split: Split, corpus: Corpus, seed: int) -> Iterator[Scene]:
    """Yield scenes of one split without end, the same for the same seed."""
    rng = np.random.default_rng([seed, 1])
    while True:
        scene = draw_scene(corpus, rng)
        if scene.split == split:
            yield scene


def prompts(split: Split, count: int, corpus: Corpus, seed: int) -> list[str]:
    """Return ``count`` different captions of a split."""
    captions: dict[str, None] = {}
    for scene in scenes(split, corpus, seed):
        captions[str(scene)] = None
        if len(captions) == count:
            return list(captions)
    raise AssertionError("scenes() has no end")
