"""A plug-in of each role, defined in a cell of a notebook, works without being registered."""

from __future__ import annotations

import nbformat
import pytest

from tests.support.notebooks import execute

HEAD = """
from dataclasses import dataclass
import numpy as np
import pandas as pd
from PIL import Image
import workbench as wb
from workbench import experiments, frames, images
from workbench.evaluation import benchmark
from workbench.attributors import Stages
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue.presets import Preset
from workbench.generators import Failure
from workbench.inverters import Prompt
from workbench.similarities.cosine import Cosine
from workbench.store.store import Store
"""
ROLES = {
    "generator": """
@dataclass(frozen=True)
class Tinted:
    tint: tuple[int, int, int]

    def __call__(self, prompts, seeds):
        return [self.paint(text, seed) for text, seed in zip(prompts, seeds)]

    def paint(self, text, seed):
        noise = np.random.default_rng([seed, len(text)]).integers(-40, 40, (32, 32, 3))
        return Image.fromarray((np.array(self.tint) + noise).clip(0, 255).astype(np.uint8))
""",
    "inverter": """
@dataclass(frozen=True)
class Brightness:
    def __call__(self, pictures):
        return [Prompt("bright" if np.mean(x) > 127 else "dark") for x in pictures]
""",
    "encoder": """
@dataclass(frozen=True)
class MeanColour:
    def __call__(self, pictures):
        rows = np.array([np.asarray(x).mean(axis=(0, 1)) for x in pictures], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
""",
    "similarity": """
@dataclass(frozen=True)
class Closeness:
    def __call__(self, tests, candidates):
        means = [[np.asarray(x, float).mean(axis=(0, 1)) for x in side]
                 for side in (tests, candidates)]
        return np.array([[-np.abs(t - c).mean() for c in means[1]] for t in means[0]])
""",
    "calibration": """
@dataclass(frozen=True)
class Doubled:
    trained = False

    def __call__(self, scores):
        return scores.assign(score=2 * scores["score"])
""",
    "attack": """
@dataclass(frozen=True)
class Fade:
    intensity: float = 10

    def __call__(self, image, rng):
        return image.point(lambda value: round(value * (1 - self.intensity / 200)))
""",
    "attributor": """
@dataclass(frozen=True)
class Alphabet:
    def __call__(self, images, zoo, *, store, seed=0, progress=None):
        rows = [
            {"image_id": x, "attributor": repr(self), "generator": name, "score": -place}
            for x in images["image_id"] for place, name in enumerate(sorted(zoo))
        ]
        nothing = map(frames.empty, ("prompts", "candidates", "similarities"))
        return Stages(*nothing, frames.build("scores", rows))
""",
    "experiment": """
@dataclass(frozen=True)
class Share:
    def __call__(self, bench):
        pictures, truth = bench.pictures()
        method = bench.regeneration(calibration=Doubled())
        made = bench.run(
            {"ours": method, "a": Alphabet()}, pictures, truth, attacks=[Fade()]
        )
        rows = experiments.by_accuracy(
            made["outcomes"], {"ours": repr(method), "alphabet": repr(Alphabet())}, ("attack",)
        )
        return {"results": experiments.results(rows)}

    def draw(self, frames, figure):
        table = frames["results"]
        figure.subplots().bar(range(len(table)), table["value"])

    def answer(self, frames):
        return f"{frames['results']['value'].max():.0%} at best."
""",
}
USE = """
zoo = {"blue": Tinted((20, 20, 230)), "green": Tinted((20, 230, 20)), "red": Tinted((230, 20, 20))}
store = Store.temporary()
zoo["red"](["dark"], [5])[0].save(PICTURE)
for similarity in (Closeness(), Cosine(MeanColour())):
    own = Regeneration(Brightness(), similarity, "mean", 2, 32, calibration=Doubled())
    for options in (
        {"zoo": zoo, "inverter": Brightness(), "similarity": similarity, "gamma": 2},
        {"zoo": zoo, "attributor": own},
        {"zoo": zoo, "inverter": Brightness(), "similarity": similarity, "gamma": 2,
         "calibration": Doubled()},
    ):
        found = wb.attribute(PICTURE, store=store, **options)
        assert list(found.rankings["generator"])[0] == "red", found.rankings
found = wb.attribute(PICTURE, zoo=zoo, attributor=Alphabet(), store=store)
assert list(found.rankings["generator"]) == ["blue", "green", "red"]
"""
EXPERIMENT = """
preset = wb.preset("pocket")
setting = wb.settle(preset, zoo=zoo, inverter=Brightness(), similarity=Cosine(MeanColour()))
bench = experiments.Bench(setting, 4, store=store)
found = experiments.run(Share(), bench)
table = found.frames["results"].set_index(["attributor", "attack"])["value"]
assert table[("ours", "none")] == 1.0, table
assert table[("alphabet", "none")] < 0.5, table
assert table[("ours", "Fade()")] == 1.0, table
assert {path.name for path in found.save(OUT).iterdir()} >= {"share.png", "results.csv"}
assert found.answer == "100% at best."
confused = experiments.run("confusion", bench)
assert len(confused.frames["results"])
"""


@pytest.mark.slow
@pytest.mark.usefixtures("warm_kernels")
def test_a_plugin_of_each_role_in_one_cell_works_without_registration(tmp_path):
    where = f"PICTURE, OUT = {str(tmp_path / 'x.png')!r}, {str(tmp_path / 'out')!r}"
    cells = [HEAD, where, *ROLES.values(), USE, EXPERIMENT]
    execute(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]))
