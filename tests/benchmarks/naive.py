"""The loop one writes first: one call per candidate image, one encoding per image, no store."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from workbench import images, ranking
from workbench.catalogue.setting import settle
from workbench.keys import candidate_seed
from workbench.weights.checkpoint import Checkpoint


def attribute(
    paths: Iterable[Path], preset: str = "pocket", seed: int = 0, gamma: int | None = None
) -> list[list[str]]:
    """Rank the candidate models of each picture, best first, as `workbench.attribute` does.

    The same models, steps, seeds, similarity and aggregation; every model is called with one input
    at a time, on all cores. Models stay loaded from call to call.
    """
    setting = settle(preset, gamma=gamma)
    method = alone(setting.attributor)
    zoo = {name: alone(generator) for name, generator in setting.zoo.items()}
    found = []
    for path in paths:
        picture = images.open_image(path)
        prompt = method.inverter([picture])[0].text
        seen = encode(method, picture)
        rows = []
        for generator in zoo.values():
            row = []
            for index in range(method.gamma):
                (made,) = generator([prompt], [candidate_seed(seed, prompt, index)])
                row.append(compare(method, seen, encode(method, made)))
            rows.append(row)
        scores = ranking.AGGREGATIONS[method.aggregate](np.array([rows]))[0]
        found.append([list(zoo)[place] for place in np.argsort(-scores, kind="stable")])
    return found


def alone(plugin: Any) -> Any:
    """Make a plug-in, and what it holds, take one input a call on all cores."""
    if isinstance(plugin, Checkpoint):
        return dataclasses.replace(plugin, batch=1, threads=os.cpu_count() or 1)
    parts = {field.name: getattr(plugin, field.name) for field in dataclasses.fields(plugin)}
    inner = {name: alone(part) for name, part in parts.items() if dataclasses.is_dataclass(part)}
    return dataclasses.replace(plugin, **inner)


def encode(method: Any, picture: Any) -> Any:
    """Bring one picture to what the similarity compares."""
    fitted = images.fit(picture, method.size)
    encoder = getattr(method.similarity, "encoder", None)
    return [fitted] if encoder is None else encoder([fitted])


def compare(method: Any, seen: Any, made: Any) -> float:
    """Compare the test image with one candidate image."""
    similarity = method.similarity
    call = similarity.compare if hasattr(similarity, "encoder") else similarity
    return float(call(seen, made)[0, 0])
