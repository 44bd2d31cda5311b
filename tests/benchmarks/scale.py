"""Large tables and many pictures: what the tests of scale and the benchmark measure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench import evaluation, ranking

IMAGES, MODELS, GAMMA = 12_500, 8, 10


def million(images: int = IMAGES) -> tuple[pd.DataFrame, list[str], list[str], pd.DataFrame]:
    """Make similarities of 12,500 images, 8 models and γ = 10, a million; and their truth."""
    rng = np.random.default_rng(0)
    names = [f"model-{k}" for k in range(MODELS)]
    ids = [f"{i:064x}" for i in range(images)]
    true = rng.integers(MODELS, size=images)
    values = rng.normal(size=(images, MODELS, GAMMA))
    values[np.arange(images), true] += 1
    place = np.indices(values.shape).reshape(3, -1)
    table = pd.DataFrame(
        {
            "image_id": np.array(ids)[place[0]],
            "prompt_id": np.array(ids)[place[0]],
            "similarity": "scale",
            "generator": np.array(names)[place[1]],
            "index": place[2],
            "value": values.ravel(),
        }
    )
    truth = pd.DataFrame(
        {
            "image_id": ids,
            "truth": np.array(names)[true],
            "prompt": [f"scene {i // MODELS}" for i in range(images)],
        }
    )
    return table, ids, names, truth


def ranked_and_measured(table: Any, ids: list[str], names: list[str], truth: Any) -> Any:
    """Rank, decide and evaluate a table of similarities; return the evaluations."""
    ranked = ranking.rank(ranking.score(table, "scale", "mean", ids, names))
    outcomes = evaluation.outcomes(ranking.decide(ranked), ranked, truth)
    return evaluation.measure(outcomes)


PEAK = """
import sys
from dataclasses import dataclass
import pandas as pd
from tests.support import toys
from tests.support.memory import peak
from workbench import pipeline
from workbench.evaluation import benchmark
from workbench.attributors.regeneration import Regeneration
from workbench.similarities.cosine import Cosine
from workbench.store.store import Store

@dataclass(frozen=True)
class Large(toys.Toy):
    def __call__(self, prompts, seeds):
        return [x.resize((SIDE, SIDE)) for x in super().__call__(prompts, seeds)]

SIDE, n, log = int(sys.argv[2]), int(sys.argv[3]), []
store = Store(sys.argv[1])
zoo = {name: Large(tint, log=log) for name, tint in toys.TINTS.items()}
images, truth = pipeline.make_queries([f"scene {i}" for i in range(n // 8)], zoo, store)
queries = sum(len(batch) for batch in log)
found = benchmark.evaluate(
    [Regeneration(toys.Teller(), Cosine(toys.Mean()), "mean", 2, SIDE)],
    images, zoo, truth=truth, attacks=[toys.Stain(10)], store=store,
)
assert len(found["outcomes"]) == n, len(found["outcomes"])
made = sum(len(batch) for batch in log) - queries
print(round(peak()), made)
"""


def peak(n: int, side: int, folder: Path) -> tuple[int, int]:
    """Evaluate n pictures of toys in a new process; return its peak in MiB, and pictures made."""
    code = [sys.executable, "-c", PEAK, str(folder), str(side), str(n)]
    done = subprocess.run(code, capture_output=True, text=True, check=True, env=os.environ)
    memory, made = done.stdout.split()
    return int(memory), int(made)
