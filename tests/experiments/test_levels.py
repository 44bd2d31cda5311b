"""Robustness is measured at levels that do change a picture of the preset's size."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import toys
from workbench import experiments
from workbench.catalogue.presets import Preset, preset
from workbench.catalogue.registry import load
from workbench.catalogue.setting import settle
from workbench.experiments import Bench
from workbench.experiments.robustness import OTHERS, REFPRINT, TREATED
from workbench.images import digest, open_image
from workbench.paths import data_folder
from workbench.similarities.cosine import Cosine

LEVELS = [(name, level) for name, found in (REFPRINT | OTHERS).items() for level in found]


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_a_level_changes_every_picture(name, level):
    options = {"side": preset("pocket").size} if name == "blur" else {}
    attack = load(name, "attack", intensity=level, **options)
    for place, path in enumerate(sorted((data_folder() / "world").glob("*.png"))[:5]):
        image = open_image(path)
        assert digest(attack(image, np.random.default_rng(place))) != digest(image)


def test_with_alike_the_presets_setting_stands_beside_itself(shared_store, tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,split\n" + "".join(f"scene {i},evaluation\n" for i in range(4)))
    row = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(path))
    setting = settle(row, zoo=toys.zoo(), inverter=toys.Teller(), similarity=Cosine(toys.Mean()))
    bench = Bench(setting, 2, store=shared_store)
    found = experiments.run("robustness", bench, attacks=("jpeg",), alike=True)
    table = found.frames["results"]
    own = table[table["metric"] == "accuracy"]
    assert own["attributor"].value_counts().to_dict() == {"preset": 4, TREATED: 4}
    gains = table[table["metric"] == "gain of treating alike"]
    assert gains["intensity"].tolist() == [10, 20, 30]
    assert found.provenance["experiment"] == "Robustness(attacks=('jpeg',), alike=True)"
    assert found.provenance["command"].endswith(" --attacks jpeg --treat-alike")
    found.save(tmp_path / "out")
