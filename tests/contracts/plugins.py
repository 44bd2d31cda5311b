"""Find every plug-in of a role, and make one of it small enough to test.

A file dropped into a plug-in folder is found here without a new line. One that needs weights needs
a tiny model as well: one of `tests/support/models` that names its class, and stands among the
SAMPLES of `tiny.py`.
"""

from __future__ import annotations

import csv
import dataclasses
import inspect
import os
import pkgutil
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tests.support import toys
from tests.support.images_endpoint import KEY, Endpoint
from tests.support.models import tiny
from workbench import catalogue, frames, pipeline
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE
from workbench.store.store import Store

FOLDERS = (
    "inverters",
    "generators",
    "encoders",
    "similarities",
    "attacks",
    "calibrations",
    "attributors",
)
PROMPTS = ("a red circle on grass", "a blue star at night")


def stems(folder: str) -> list[str]:
    """List the plug-in files of a folder."""
    package = import_module(f"workbench.{folder}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_")


def everything() -> list[tuple[str, str]]:
    """List (folder, stem) of every plug-in."""
    return [(folder, stem) for folder in FOLDERS for stem in stems(folder)]


def classes(folder: str, stem: str) -> list[type]:
    """List the public dataclasses that a plug-in file defines."""
    module = import_module(f"workbench.{folder}.{stem}")
    return [
        thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing)
        and dataclasses.is_dataclass(thing)
        and thing.__module__ == module.__name__
        and not name.startswith("_")
    ]


@cache
def samples(folder: str, stem: str) -> tuple[Any, ...]:
    """Make the plug-in over each tiny model that names it, or over small stand-ins."""
    (kind,) = classes(folder, stem)
    if kind.__name__ in EXAMPLES:
        made = EXAMPLES[kind.__name__](kind)
        return made if isinstance(made, tuple) else (made,)
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    needed = [f for f in fields if f.default is missing and f.default_factory is missing]
    if not needed:
        return (kind(),)
    if [field.type for field in needed] == ["Encoder"]:
        return tuple(kind(encoder) for encoder in samples("encoders", "open_clip"))
    path = f"workbench.{folder}.{stem}.{kind.__name__}"
    names = [name for name in tiny.SAMPLES if tiny.MODELS[name].plugin == path]
    if [field.type for field in needed] != ["Checkpoint"] or not names:
        raise LookupError(
            f"no tiny model for {path}; add one to tests/support/models/tiny.py that names it"
        )
    return tuple(kind(tiny.checkpoint(name)) for name in names)


def missing(folder: str, stem: str) -> str:
    """Tell why a plug-in cannot run here, "" where it can."""
    path = f"workbench.{folder}.{stem}."
    models = [model for model in tiny.MODELS.values() if model.plugin.startswith(path)]
    return next((model.missing for model in models), "")


def pictures(count: int = 6, side: int = 40) -> list[Image.Image]:
    """Draw smooth random pictures, the same ones every time."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return [Image.fromarray(x).resize((side, side), Image.Resampling.BICUBIC) for x in coarse]


def scored(count: int = 24, models: tuple[str, ...] = ("x", "y", "z"), seed: int = 7):
    """Make scores of pictures of known source, some of them missing: a scores frame and `truth`."""
    rng = np.random.default_rng(seed)
    rows, truths = [], []
    for image in range(count):
        truth = models[image % len(models)]
        for place, name in enumerate(models):
            score = rng.normal(place + 2 * (name == truth), 0.5 + place)
            lost = image == 4 or (image == 5 and place == 0)
            row = {"image_id": f"picture {image}", "attributor": "a", "generator": name}
            rows.append({**row, "score": None if lost else score})
            truths.append(truth)
    return frames.build("scores", rows).assign(truth=pd.Series(truths, dtype="str"))


def _hybrid(kind: type) -> Any:
    parts = (*samples("similarities", "ssim"), samples("similarities", "cosine")[0])
    return kind(parts, weights=(0.25, 0.75), means=(0.1, 0.5), deviations=(0.2, 0.1))


def _archive(kind: type) -> Any:
    folder = Path(tempfile.mkdtemp(dir=tiny.folder()))
    with (folder / "generations.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "prompt", "seed"])
        for number, picture in enumerate(pictures(8, tiny.SIZE)):
            picture.save(folder / f"{number}.png")
            table.writerow([f"{number}.png", PROMPTS[number % 2], 100 - number])
    return kind(str(folder))


def _hosted(kind: type) -> Any:
    place = {"OPENAI_BASE_URL": Endpoint().address, "OPENAI_API_KEY": KEY}
    os.environ.update(place | {"WORKBENCH_BUDGET": "1000"})
    return kind(catalogue.checkpoint("gpt-image-2-5-flare"), price=0.01)


@dataclasses.dataclass(frozen=True)
class Bench:
    """What an attributor is tried on: pictures of four toys and a lost file; and to learn from."""

    store: Store
    zoo: dict[str, Any]
    images: pd.DataFrame
    training: pd.DataFrame


@cache
def bench() -> Bench:
    """Make the pictures once a process."""
    store, zoo = Store.temporary(), toys.coders()
    lost = frames.build("images", [{"image_id": "path:0", "failure": "there is no such file"}])
    tests = pipeline.make_queries(["one", "two"], zoo, store)[0]
    training = pipeline.make_queries(["three", "four", "five"], zoo, store)[0]
    return Bench(store, zoo, pd.concat([tests, lost], ignore_index=True), training)


@cache
def ready(attributor: Any) -> Any:
    """Fit what can be fitted."""
    if not hasattr(attributor, "fit"):
        return attributor
    return attributor.fit(bench().training, bench().zoo, store=bench().store)


def _banks(kind: type) -> tuple[Any, ...]:
    inverter, captions = toys.Teller(), tuple(f"caption {i}" for i in range(12))
    shared = {"size": 16, "prompts": captions}
    return (
        kind(inverter, Cosine(toys.Mean()), gamma=2, bank=8, **shared),
        kind(inverter, NegativeMSE(), gamma=3, matched=False, **shared),
    )


def _fusions(kind: type) -> tuple[Any, ...]:
    (regeneration,), (knn,) = samples("attributors", "regeneration"), samples("attributors", "knn")
    (aedr,) = samples("attributors", "aedr")
    return (
        kind((regeneration, knn), weights=(0.7, 0.3)),
        kind((knn, aedr), tune=True, confident=True),
    )


def _clip() -> Any:
    return samples("encoders", "open_clip")[0]


EXAMPLES = {
    "Natural": lambda kind: kind(text="a red circle"),
    "Metadata": lambda kind: kind(samples("inverters", "blip")[0]),
    "Archive": _archive,
    "Hosted": _hosted,
    "Adaptive": lambda kind: kind(
        toys.Teller(), Cosine(toys.Mean()), gamma=4, size=16, step=2, delta=0.5
    ),
    "Regeneration": lambda kind: kind(toys.Teller(), Cosine(toys.Mean()), gamma=2, size=16),
    "ReferenceBank": _banks,
    "KNN": lambda kind: kind(toys.Mean(), k=3, size=16),
    "Probe": lambda kind: kind(toys.Mean(), size=16),
    "DeFake": lambda kind: kind(toys.Teller(), toys.Mean(), size=16, epochs=3, batch=5),
    "Prototype": lambda kind: kind(toys.Mean(), size=16),
    "Spectrum": lambda kind: kind(size=16),
    "Family": lambda kind: kind(toys.Mean(), families={"red": "warm", "grey": "warm"}, size=16),
    "Layers": lambda kind: kind(toys.Teller(), toys.Mean(), gamma=2, size=16),
    "Fusion": _fusions,
    "Hybrid": _hybrid,
    "Launder": lambda kind: kind(tiny.checkpoint("tiny-sd")),
    "Pez": lambda kind: kind(_clip(), tokens=3, steps=12, patience=6, restarts=2),
    "Interrogator": lambda kind: kind(samples("inverters", "blip")[0], _clip(), labels="pocket"),
}
