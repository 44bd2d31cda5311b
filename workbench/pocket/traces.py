"""``python -m workbench.pocket.traces``: thresholds and error rates of the traces of evidence.

Thresholds are chosen on pictures of the calibration split: each is `MARGIN` times the largest value
of a picture without the trace, rounded up. Error rates are counted on pictures of the evaluation
split. All pictures are ours but the photographs, which come with scikit-image, scikit-learn and
matplotlib, and are halved first, so that what their files went through is gone.

| pictures | what | split |
|---|---|---|
| drawings | scenes of the pocket world, 64×64, none of them ever compressed | by scene |
| generated | of every pocket model, 64×64 | by the scene of the prompt |
| leaves | discs over one another (Lee, Mumford & Huang 2001), noise, 256×256 | by seed |
| photographs | at most 512×512 of the halved picture | every other file |
"""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from workbench import catalogue
from workbench.evaluation.statistics import accuracy_interval
from workbench.evidence.quantisation import compressed, compressed_twice
from workbench.evidence.resampling import resampled
from workbench.evidence.traces import luminance_in, luminance_of
from workbench.keys import query_seed
from workbench.pocket.drawing import render
from workbench.pocket.world import CORPORA, parse

DATA = Path(__file__).parents[2] / "data"
SEED, DRAWINGS, GENERATED, LEAVES, MARGIN = 16, 150, 12, 80, 1.5
SPLITS = ("calibration", "evaluation")
PHOTOGRAPHS = {
    "skimage": (
        *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png"),
        *("grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png"),
        *("motorcycle_left.png", "retina.jpg", "rocket.jpg"),
    ),
    "sklearn": ("china.jpg", "flower.jpg"),
    "matplotlib": ("grace_hopper.jpg",),
}
FOLDERS = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
}


def prompts(split: str) -> list[str]:
    """List the prompts of a split."""
    with (DATA / "pocket" / "prompts.csv").open(encoding="utf-8") as file:
        return [row["prompt"] for row in csv.DictReader(file) if row["split"] == split]


def drawings(split: str, count: int = DRAWINGS) -> Iterator[Image.Image]:
    """Draw scenes of a split of the pocket world."""
    rng = np.random.default_rng([SEED, SPLITS.index(split)])
    for prompt in prompts(split)[:count]:
        scene = parse(prompt)
        if scene is None:
            raise ValueError(f"not a caption of the world: {prompt!r}")
        yield render(scene, CORPORA["world"], rng)


def generated(split: str, count: int = GENERATED) -> Iterator[Image.Image]:
    """Generate pictures of so many prompts of a split by every model of the pocket zoo."""
    texts = prompts(split)[-count:]
    for generator in catalogue.zoo("pocket").values():
        yield from generator(texts, [query_seed(SEED, text) for text in texts])


def leaves(split: str, count: int = LEAVES, side: int = 256) -> Iterator[Image.Image]:
    """Draw discs whose radii r are as frequent as 1/r³, blurred a little, with noise."""
    for number in range(count):
        rng = np.random.default_rng([SEED, SPLITS.index(split), number])
        drawing = Image.new("RGB", (side, side), tuple(map(int, rng.integers(0, 256, 3))))
        pen = ImageDraw.Draw(drawing)
        for _ in range(1500):
            radius = 2 / math.sqrt(1 - rng.random() * (1 - (2 / 80) ** 2))
            x, y = rng.random(2) * side
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, fill=tuple(map(int, rng.integers(0, 256, 3))))
        soft = np.asarray(drawing.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.2))), float)
        noisy = soft + rng.normal(0, rng.uniform(0.5, 4), soft.shape)
        yield Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def photographs(split: str) -> Iterator[Image.Image]:
    """Open every other photograph that comes with a library, halved, at most 512×512."""
    import importlib.util

    files = []
    for package, names in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise LookupError(f"the library {package} is not installed")
        files += [Path(spec.origin).parent / FOLDERS[package] / name for name in names]
    for path in files[SPLITS.index(split) :: 2]:
        with Image.open(path) as picture:
            half = picture.convert("RGB").reduce(2)
        yield half.crop((0, 0, min(half.width, 512), min(half.height, 512)))


SETS: dict[str, Callable[[str], Iterator[Image.Image]]] = {
    "drawings": drawings,
    "generated": generated,
    "leaves": leaves,
    "photographs": photographs,
}
LARGE = ("leaves", "photographs")
"""Pictures that are large enough for a period to be looked for."""


@dataclass(frozen=True)
class Case:
    """One thing done to pictures, in several ways: whether that leaves the trace, and how."""

    trace: str
    text: str
    present: bool
    ways: tuple[Callable[[Image.Image, int], Any], ...]
    pictures: tuple[str, ...] = tuple(SETS)


def jpeg(picture: Image.Image, *qualities: int, cut: int | None = None) -> bytes:
    """Save as JPEG, once for each quality; cut off the first one's grid in between, or after."""
    data = b""
    for place, quality in enumerate(qualities):
        if place:
            with Image.open(io.BytesIO(data)) as opened:
                picture = opened.convert("RGB")
            picture = off_grid(picture, cut)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        data = buffer.getvalue()
    return data


def off_grid(picture: Image.Image, number: int | None) -> Image.Image:
    """Cut 1 to 7 columns and 0 to 7 rows off the left and the top; nothing for None."""
    if number is None:
        return picture
    return picture.crop((1 + number * 3 % 7, number * 5 % 8, *picture.size))


def decoded(data: bytes) -> Image.Image:
    """Decode a picture as RGB."""
    with Image.open(io.BytesIO(data)) as opened:
        return opened.convert("RGB")


def webp(picture: Image.Image) -> Image.Image:
    """Save as WebP of quality 80, and decode that."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80)
    return decoded(buffer.getvalue())


def sized(picture: Image.Image, factor: float, kernel: str) -> Image.Image:
    """Resize by a factor."""
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, Image.Resampling[kernel])


def as_it_is(_: None, picture: Image.Image, number: int) -> Image.Image:
    """Leave the picture."""
    return picture


def as_webp(_: None, picture: Image.Image, number: int) -> Image.Image:
    """Save as WebP, and decode that."""
    return webp(picture)


def once(quality: int, picture: Image.Image, number: int) -> bytes:
    """Save as JPEG."""
    return jpeg(picture, quality)


def again(qualities: tuple[int, ...], picture: Image.Image, number: int) -> bytes:
    """Save as JPEG several times."""
    return jpeg(picture, *qualities)


def cut_between(quality: int, picture: Image.Image, number: int) -> bytes:
    """Save as JPEG of quality 75, cut, and save again."""
    return jpeg(picture, 75, quality, cut=number)


def cut_after(quality: int, picture: Image.Image, number: int) -> Image.Image:
    """Save as JPEG, and cut what is decoded."""
    return off_grid(decoded(jpeg(picture, quality)), number)


def resized_after(quality: int, picture: Image.Image, number: int) -> Image.Image:
    """Save as JPEG, and enlarge what is decoded."""
    return sized(decoded(jpeg(picture, quality)), 1.3, "BICUBIC")


def resized(how: tuple[float, str], picture: Image.Image, number: int) -> Image.Image:
    """Resize by a factor with a filter."""
    return sized(picture, *how)


def resized_before(how: tuple[float, str], picture: Image.Image, number: int) -> Image.Image:
    """Resize, and save as JPEG of quality 90."""
    return decoded(jpeg(sized(picture, *how), 90))


def ways(make: Callable[..., Any], *settings: Any) -> tuple[Callable[..., Any], ...]:
    """Return the ways to do a thing with each of these settings."""
    return tuple(partial(make, each) for each in settings)


KERNELS = ("BILINEAR", "BICUBIC", "LANCZOS")
ENLARGED = tuple((factor, kernel) for factor in (1.2, 1.5, 1.9, 2.5) for kernel in KERNELS)
CASES = (
    Case("compressed", "never compressed", False, ways(as_it_is, None)),
    Case("compressed", "saved as WebP before", False, ways(as_webp, None)),
    Case(
        "compressed",
        "compressed at a quality of 50 to 97, and cut at any place",
        True,
        ways(cut_after, 50, 75, 90, 97),
    ),
    Case("compressed", "compressed at 75 and resized since", True, ways(resized_after, 75)),
    Case("cropped", "compressed once, at 70 to 98", False, ways(once, 70, 80, 90, 95, 98)),
    Case("cropped", "compressed at 75, cut, and compressed at 98", True, ways(cut_between, 98)),
    Case("cropped", "compressed at 75, cut, and compressed at 95", True, ways(cut_between, 95)),
    Case("cropped", "compressed at 75, cut, and compressed at 90", True, ways(cut_between, 90)),
    Case("twice", "compressed once, at 60 to 98", False, ways(once, 60, 70, 80, 90, 95, 98)),
    Case(
        "twice",
        "compressed at 60 to 85 and then at 90 or 95",
        True,
        ways(again, (60, 90), (75, 90), (75, 95), (85, 95)),
    ),
    Case(
        "twice",
        "compressed at 90 or 95 and then at 75",
        True,
        ways(again, (90, 75), (95, 75)),
    ),
    Case("resampled", "never resized", False, ways(as_it_is, None), LARGE),
    Case(
        "resampled",
        "never resized, compressed at 90",
        False,
        ways(resized_before, (1, "BOX")),
        LARGE,
    ),
    Case("resampled", "enlarged 1.2 to 2.5 times", True, ways(resized, *ENLARGED), LARGE),
    Case(
        "resampled",
        "enlarged so and compressed at 90",
        True,
        ways(resized_before, *ENLARGED),
        LARGE,
    ),
    Case(
        "resampled",
        "made smaller, to 0.7 of the size",
        True,
        ways(resized, (0.7, "BICUBIC")),
        LARGE,
    ),
)


def strength(trace: str, subject: Any) -> float:
    """Return how strong a trace is in a picture, or in the bytes of a JPEG."""
    if trace == "compressed":
        return compressed(luminance_in(subject))[0]
    if trace == "resampled":
        return resampled(luminance_in(subject))[0]
    with Image.open(io.BytesIO(subject)) as file:
        luminance, table = luminance_of(file)
    if trace == "cropped":
        return compressed(luminance, elsewhere=True)[0]
    return compressed_twice(luminance, table)[0]


def strengths(case: Case, split: str, sets: dict[str, list[Image.Image]]) -> dict[str, Any]:
    """Return the strengths of a case, (pictures, ways), by set."""
    return {
        name: np.array(
            [[strength(case.trace, way(p, i)) for way in case.ways] for i, p in enumerate(some)]
        )
        for name, some in sets.items()
        if name in case.pictures
    }


def thresholds() -> dict[str, int]:
    """Choose the thresholds on pictures of the calibration split that lack each trace."""
    sets = {name: list(draw("calibration")) for name, draw in SETS.items()}
    largest: dict[str, float] = {}
    for case in CASES:
        if not case.present:
            by_set = strengths(case, "calibration", sets)
            most = max(float(each.max()) for each in by_set.values())
            largest[case.trace] = max(most, largest.get(case.trace, 0.0))
            print(case.trace, case.text, f"at most {most:.2f}", flush=True)
    return {trace: math.ceil(MARGIN * value) for trace, value in largest.items()}


def measure(least: dict[str, int]) -> list[dict[str, Any]]:
    """Count on pictures of the evaluation split how many look so, by set and over all.

    Intervals know that a picture is looked at in several ways.
    """
    sets = {name: list(draw("evaluation")) for name, draw in SETS.items()}
    rows = []
    for case in CASES:
        looked = {
            name: values >= least[case.trace]
            for name, values in strengths(case, "evaluation", sets).items()
        }
        groups = {**{name: [name] for name in looked}, "all": list(looked)}
        for pictures, names in groups.items():
            seen = np.concatenate([looked[name].ravel() for name in names])
            which = [f"{n}{i}" for n in names for i, row in enumerate(looked[n]) for _ in row]
            alone = len(set(which)) == len(which)
            interval = accuracy_interval(seen, None if alone else which)
            rows.append(
                {
                    "trace": case.trace,
                    "present": case.present,
                    "case": case.text,
                    "pictures": pictures,
                    "n": int(interval.n),
                    "seen": int(seen.sum()),
                    "low": round(float(interval.low), 6),
                    "high": round(float(interval.high), 6),
                }
            )
        print(rows[-1], flush=True)
    return rows


def main() -> int:
    """Choose, measure, and write data/reference/traces/traces.toml."""
    import tomlkit

    least = thresholds()
    document = tomlkit.document()
    document["command"] = "python -m workbench.pocket.traces"
    document["date"] = time.strftime("%Y-%m-%d")
    document["seed"] = SEED
    document["versions"] = {name: version(name) for name in ("numpy", "scipy", "pillow")}
    document["margin"] = MARGIN
    document["threshold"] = least
    rows = tomlkit.aot()
    for row in measure(least):
        rows.append(tomlkit.item(row))
    document["rate"] = rows
    path = DATA / "reference" / "traces" / "traces.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
