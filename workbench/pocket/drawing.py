"""Drawing a scene: shapes as polygons, backgrounds as waves, four dialects.

A dialect is a way of drawing, named by a caption's medium or chosen by the corpus.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from workbench.pocket.world import COLOURS, SIDE, Corpus, Scene, Thing

Mask = np.ndarray  # (SIDE, SIDE) float32 in [0, 1]
Points = np.ndarray  # (n, 2)


def _arc(cx: float, cy: float, rx: float, ry: float | None = None, n: int = 40) -> Points:
    angle = np.linspace(0, 2 * math.pi, n, endpoint=False)
    return np.stack([cx + rx * np.cos(angle), cy + (rx if ry is None else ry) * np.sin(angle)], 1)


def _star(points: int, inner: float) -> Points:
    angle = np.arange(2 * points) * math.pi / points - math.pi / 2
    radius = np.where(np.arange(2 * points) % 2 == 0, 1.0, inner)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def _heart() -> Points:
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([np.sin(t) ** 3, -(y + 2.5) / 15], 1)


def _moon() -> Points:
    outer, inner = (
        np.linspace(0.9, 2 * math.pi - 0.9, 40),
        np.linspace(2 * math.pi - 1.25, 1.25, 30),
    )
    left = np.stack([np.cos(outer), np.sin(outer)], 1)
    right = np.stack([0.42 + 0.83 * np.cos(inner) * 0.7, 0.83 * np.sin(inner)], 1)
    return np.concatenate([left, right])


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


_a = 0.36
_PARTS: dict[str, list[tuple[Points, str]]] = {
    "circle": [(_arc(0, 0, 0.95), "own")],
    "square": [(_box(-0.85, -0.85, 0.85, 0.85), "own")],
    "triangle": [(np.array([(0, -0.95), (1, 0.85), (-1, 0.85)]), "own")],
    "star": [(_star(5, 0.45) * 1.08, "own")],
    "heart": [(_heart(), "own")],
    "ring": [(_arc(0, 0, 0.98), "own"), (_arc(0, 0, 0.5), "hole")],
    "moon": [(_moon(), "own")],
    "cross": [(np.array([(-_a, -1), (_a, -1), (_a, -_a), (1, -_a), (1, _a), (_a, _a), (_a, 1),
                         (-_a, 1), (-_a, _a), (-1, _a), (-1, -_a), (-_a, -_a)]), "own")],
    "tree": [(_box(-0.2, 0.3, 0.2, 1), "wood"),
             (np.array([(0, -1.05), (0.85, 0.45), (-0.85, 0.45)]), "own")],
    "house": [(_box(-0.75, -0.15, 0.75, 0.95), "own"),
              (np.array([(0, -1), (1.02, -0.1), (-1.02, -0.1)]), "dark"),
              (_box(-0.22, 0.35, 0.22, 0.95), "dark")],
    "fish": [(np.array([(0.35, 0), (1.05, -0.62), (1.05, 0.62)]), "own"),
             (_arc(-0.2, 0, 0.85, 0.56), "own"), (_arc(-0.6, -0.12, 0.13), "dark")],
    "flower": [*[(_arc(0.58 * math.cos(k), 0.58 * math.sin(k), 0.42), "own")
                 for k in np.arange(5) * 2 * math.pi / 5 - math.pi / 2],
               (_arc(0, 0, 0.34), "core")],
}  # fmt: skip


def _mask(points: Points, outline: float = 0.0) -> Mask:
    """Return the coverage of a polygon (pixel coordinates), or of its outline of a width."""
    image = Image.new("L", (SIDE * 4, SIDE * 4))
    corners = [(float(x), float(y)) for x, y in points * 4]
    if outline:
        ImageDraw.Draw(image).line([*corners, *corners[:2]], 255, round(outline * 4), "curve")
    else:
        ImageDraw.Draw(image).polygon(corners, 255)
    return np.asarray(image.reduce(4), np.float32) / 255


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Return smooth noise of mean 0, (SIDE, SIDE), about ``cells`` blotches along a side."""
    coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE


def _soft(value: np.ndarray, sharpness: float = 12) -> np.ndarray:
    return 1 / (1 + np.exp(-sharpness * value))


def _background(name: str, rng: np.random.Generator) -> np.ndarray:
    """Return the plain background, (SIDE, SIDE, 3) in 0 … 255."""
    shift = rng.random(2).astype(np.float32)
    if name == "brick":
        row = np.floor(_Y * 4 + shift[0])
        across = (_X * 3 + shift[1] + 0.5 * (row % 2)) % 1
        mortar = np.maximum(_soft(np.abs(across - 0.5) - 0.46, 40),
                            _soft(np.abs((_Y * 4 + shift[0]) % 1 - 0.5) - 0.42, 40))  # fmt: skip
        return _blend((176, 92, 74), (212, 196, 182), mortar)
    if name == "checkerboard":
        wave = np.sin(4 * math.pi * (_X + shift[0])) * np.sin(4 * math.pi * (_Y + shift[1]))
        return _blend((108, 110, 122), (196, 198, 206), _soft(wave, 14))
    if name == "water":
        wave = np.sin(
            2 * math.pi * (4 * _Y + shift[0] + 0.12 * np.sin(2 * math.pi * (2 * _X + shift[1])))
        )
        return _blend((64, 136, 190), (116, 184, 220), _soft(wave, 3))
    if name == "night":
        sky = _blend((22, 24, 66), (48, 44, 104), _Y)
        for x, y in rng.random((7, 2)) * SIDE:
            glow = np.exp(-((_X * SIDE - x) ** 2 + (_Y * SIDE - y) ** 2) / 1.6)[..., None]
            sky += glow * 150
        return np.minimum(sky, 255)
    if name == "grass":
        blades = _soft(
            np.sin(2 * math.pi * (7 * _X + 0.4 * np.sin(9 * _Y + 6 * shift[0]) + shift[1])), 2
        )
        return _blend((112, 178, 76), (138, 202, 96), blades * (0.4 + 0.6 * _Y))
    if name == "sand":
        ripple = np.sin(2 * math.pi * (3 * _Y + 0.25 * np.sin(5 * _X + 6 * shift[0]) + shift[1]))
        return _blend((222, 194, 142), (238, 216, 170), _soft(ripple, 2))
    if name == "snow":
        hill = _soft(_Y - 0.55 - 0.08 * np.sin(2 * math.pi * (_X + shift[0])), 30)
        return _blend((198, 216, 234), (236, 242, 248), hill)
    cloud = _soft(
        np.sin(2 * math.pi * (1.5 * _X + shift[0])) * np.sin(2 * math.pi * (1.5 * _Y + shift[1]))
        - 0.55,
        9,
    )
    return _blend((122, 186, 240), (236, 242, 250), 0.75 * cloud + 0.25 * _Y)


def _rgb(values: tuple[int, int, int]) -> np.ndarray:
    return np.array(values, np.float32)


def _blend(low: tuple[int, int, int], high: tuple[int, int, int], share: np.ndarray) -> np.ndarray:
    a, b = _rgb(low), _rgb(high)
    return a + (b - a) * np.asarray(share, np.float32)[..., None]


def _places(
    scene: Scene, corpus: Corpus, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Return the centre and radius of every thing in pixels."""
    radius = {"small": 0.20, "": 0.27, "large": 0.36}
    if len(scene.things) == 1:
        centres, shrink = [(0.5, 0.5)], 1.0
    elif len(scene.things) == 2:
        centres = (
            [(0.5, 0.27), (0.5, 0.73)] if scene.relation == "above" else [(0.27, 0.5), (0.73, 0.5)]
        )
        shrink = 0.72
    else:
        centres, shrink = [(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)], 0.58
    places = []
    for (x, y), thing in zip(centres, scene.things, strict=True):
        jitter = rng.uniform(-corpus.spread, corpus.spread, 2) * (1.5 if len(centres) == 1 else 0.7)
        size = radius[thing.size] * shrink * corpus.scale * rng.uniform(0.95, 1.05)
        centre = np.clip([x + jitter[0], y + jitter[1]], size + 0.02, 0.98 - size)
        places.append((float(centre[0]) * SIDE, float(centre[1]) * SIDE, size * SIDE))
    return places


def render(scene: Scene, corpus: Corpus, rng: np.random.Generator) -> Image.Image:
    """Return ``scene`` as an RGB picture of SIDE×SIDE pixels."""
    return draw(scene, corpus, rng)[0]


def draw(scene: Scene, corpus: Corpus, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """Return ``scene`` as a picture, and which thing (1, 2, 3; 0 for none) each pixel shows.

    The dialect is the scene's medium or a draw from the corpus: ``photo`` (light from above, soft
    shadow, grain), ``flat`` (even colours), ``ink`` (dark outlines, pale fill on paper) or
    ``watercolour`` (blotches, dark wet edges, paper showing).
    """
    dialect = corpus.dialect(scene, rng)
    canvas: np.ndarray = _background(scene.background, rng).astype(np.float32)
    paper = _rgb((250, 246, 236))
    if dialect == "flat":
        canvas = canvas * 0.35 + canvas.mean((0, 1)) * 0.65
    elif dialect == "ink":
        canvas = canvas * 0.45 + paper * 0.55
    elif dialect == "watercolour":
        wash = 0.6 + 0.18 * _noise(rng, 7)[..., None]
        canvas = canvas * wash + paper * (1 - wash)
    places = _places(scene, corpus, rng)
    shown = np.zeros((SIDE, SIDE), np.uint8)
    for number, (thing, (x, y, radius)) in enumerate(zip(scene.things, places, strict=True), 1):
        canvas, silhouette = _draw_thing(canvas, thing, (x, y), radius, dialect, paper, rng)
        shown[silhouette > 0.5] = number
    if dialect == "photo":
        canvas = canvas * (1.06 - 0.14 * _Y[..., None]) + rng.normal(0, 2, (SIDE, SIDE, 1))
    picture = Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(corpus.blur)), shown


def _draw_thing(
    canvas: np.ndarray,
    thing: Thing,
    centre: tuple[float, float],
    radius: float,
    dialect: str,
    paper: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Mask]:
    own = _rgb(COLOURS[thing.colour])
    core = _rgb((150, 84, 30) if thing.colour == "yellow" else (252, 226, 110))
    tones: dict[str, np.ndarray] = {"own": own, "dark": own * 0.45, "wood": _rgb((112, 72, 40)),
             "core": core}  # fmt: skip
    angle = rng.uniform(-0.12, 0.12)
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    parts = [(points @ turn * radius + centre, tone) for points, tone in _PARTS[thing.shape]]
    hole = sum(
        (_mask(points) for points, tone in parts if tone == "hole"),
        np.zeros((SIDE, SIDE), np.float32),
    )
    parts = [(points, tone) for points, tone in parts if tone != "hole"]
    masks = [(_mask(points) * (1 - hole), tones[tone]) for points, tone in parts]
    silhouette = np.max([mask for mask, _ in masks], 0)
    if dialect == "photo":
        shadow = Image.fromarray(np.roll(silhouette, (3, 2), (0, 1)))
        soft = np.asarray(shadow.reduce(4).resize((SIDE, SIDE), Image.Resampling.BICUBIC))[
            ..., None
        ]
        canvas = canvas * (1 - 0.4 * np.clip(soft, 0, 1))
    for mask, tone in masks:
        if dialect == "photo":
            light = np.clip(1.28 - 0.5 * ((_Y * SIDE - centre[1]) / radius + 1) / 2, 0.7, 1.3)
            fill = np.minimum(tone * light[..., None] + 18 * (light[..., None] > 1.2), 255)
        elif dialect == "ink":
            fill = tone * 0.72 + paper * 0.28
        elif dialect == "watercolour":
            wet = np.clip(0.78 + 0.2 * _noise(rng, 10), 0.35, 1)[..., None]
            fill = tone * wet + paper * (1 - wet)
        else:
            fill = np.broadcast_to(tone, canvas.shape)
        canvas = canvas + (fill - canvas) * mask[..., None]
    if dialect in ("ink", "watercolour"):
        edge = np.max([_mask(points, 1.6) for points, _ in parts], 0)
        if hole.any():
            rims = [
                points @ turn * radius + centre
                for points, tone in _PARTS[thing.shape]
                if tone == "hole"
            ]
            edge = np.maximum(edge, np.max([_mask(points, 1.6) for points in rims], 0))
        strength, colour = (0.95, _rgb((30, 28, 40))) if dialect == "ink" else (0.45, own * 0.55)
        canvas = canvas + (colour - canvas) * (edge * strength)[..., None]
    return canvas, silhouette
