"""Every plug-in of every role obeys its laws; one dropped in as a file is caught."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module, invalidate_caches

import pytest

from tests.contracts import plugins
from tests.contracts.laws import LAWS, OF_ALL
from tests.support.models import tiny
from workbench import catalogue
from workbench.catalogue import registry, rows

CASES = [
    pytest.param(
        folder,
        stem,
        law,
        id=f"{folder}-{stem}-{law.__name__}",
        marks=pytest.mark.skipif(bool(why) and law not in OF_ALL, reason=why or "it can run"),
    )
    for folder, stem in plugins.everything()
    for why in [plugins.missing(folder, stem)]
    for law in LAWS[folder]
]
HEAVY = set("torch pandas diffusers transformers open_clip skimage sklearn matplotlib".split())


@pytest.fixture(autouse=True)
def _tiny_rows(monkeypatch):
    """Let the catalogue know the tiny models by name."""
    known = catalogue.rows_of

    def with_tiny(role):
        names = [name for name in tiny.SAMPLES if tiny.MODELS[name].role == role]
        return known(role) | {name: tiny.checkpoint(name) for name in names}

    for module in (rows, registry):
        monkeypatch.setattr(module, "rows_of", with_tiny)


@pytest.mark.parametrize(("folder", "stem", "law"), CASES)
def test_a_plugin_obeys_its_role(folder, stem, law):
    for plugin in plugins.samples(folder, stem):
        law(plugin)


IMPORT_EACH = """
import importlib, json, sys
heavy, came = set(sys.argv[1].split()), {}
for name in sys.argv[2:]:
    before = set(sys.modules)
    importlib.import_module(name)
    came[name] = sorted(heavy & (set(sys.modules) - before))
print(json.dumps(came))
"""


@pytest.fixture(scope="module")
def imported():
    """Import every plug-in file in one fresh process, and tell which heavy libraries each brought.

    Of two that bring the same library the first is told; the other is once that one is mended.
    """
    names = [f"workbench.{folder}.{stem}" for folder, stem in plugins.everything()]
    command = [sys.executable, "-c", IMPORT_EACH, " ".join(HEAVY), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("folder", "stem"), plugins.everything())
def test_a_file_defines_one_plugin_and_imports_nothing_heavy(folder, stem, imported):
    assert len(plugins.classes(folder, stem)) == 1
    assert imported[f"workbench.{folder}.{stem}"] == []


FAULTY = {
    # folder: (body of __call__ and more, the law that catches it)
    "inverters": (
        "def __call__(self, images):\n        return [Prompt(str(len(images))) for _ in images]",
        "answers_prompts_in_any_company",
    ),
    "generators": (
        "def __call__(self, prompts, seeds):\n"
        "        return [Image.new('RGB', (32, 32), (i, 0, 0)) for i, _ in enumerate(prompts)]",
        "answers_pictures_in_any_company",
    ),
    "encoders": (
        "def __call__(self, images):\n        return np.ones((len(images), 4), np.float32)",
        "answers_unit_rows_in_any_company",
    ),
    "similarities": (
        "def __call__(self, tests, candidates):\n"
        "        return np.arange(len(tests) * len(candidates), dtype=float).reshape(\n"
        "            len(tests), len(candidates))",
        "finds_a_picture_closest_to_itself",
    ),
    "attributors": (
        "def __call__(self, images, zoo, *, store, seed=0, progress=None):\n"
        "        rows = [\n"
        "            {'image_id': x, 'attributor': repr(self), 'generator': name, 'score': place}\n"
        "            for place, x in enumerate(images['image_id']) for name in zoo]\n"
        "        empty = map(frames.empty, ('prompts', 'candidates', 'similarities'))\n"
        "        return Stages(*empty, frames.build('scores', rows))",
        "answers_images_in_any_company",
    ),
    "calibrations": (
        "trained: ClassVar[bool] = False\n"
        "    def __call__(self, scores):\n"
        "        found = scores['score'] - scores['score'].mean()\n"
        "        return scores.drop(columns='truth', errors='ignore').assign(score=found)",
        "answers_scores_in_any_company",
    ),
    "attacks": (
        "intensity: float = 50\n"
        "    def __call__(self, image, rng):\n"
        "        if not self.intensity:\n"
        "            return image\n"
        "        noise = self.intensity * np.random.random((*image.size, 3))\n"
        "        return Image.fromarray((image + noise).clip(0, 255).astype(np.uint8))",
        "draws_from_its_rng_alone",
    ),
}


@pytest.mark.parametrize("folder", FAULTY)
def test_a_faulty_plugin_dropped_in_is_caught(folder, tmp_path, monkeypatch):
    body, law = FAULTY[folder]
    stem = f"dropped_{folder}"
    (tmp_path / f"{stem}.py").write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "import numpy as np\nfrom PIL import Image\nfrom workbench import frames\n"
        "from workbench.attributors import Stages\nfrom workbench.inverters import Prompt\n"
        "@dataclass(frozen=True)\nclass Dropped:\n"
        f'    """Return wrongly."""\n    revision: ClassVar[int] = 1\n    {body}\n'
    )
    package = import_module(f"workbench.{folder}")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    invalidate_caches()
    assert (folder, stem) in plugins.everything()
    (plugin,) = plugins.samples(folder, stem)
    caught = {x.__name__ for x in LAWS[folder] if _breaks(x, plugin)}
    assert {law, "shows_an_example"} <= caught
    assert "is_a_frozen_value" not in caught


def _breaks(law, plugin):
    try:
        law(plugin)
    except (Exception, pytest.fail.Exception):
        return True
    return False


def test_a_plugin_with_weights_needs_a_tiny_model(tmp_path, monkeypatch):
    (tmp_path / "weighty.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from workbench.weights.checkpoint import Checkpoint\n"
        "@dataclass(frozen=True)\nclass Weighty:\n    checkpoint: Checkpoint\n"
    )
    package = import_module("workbench.inverters")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    invalidate_caches()
    sentence = (
        "no tiny model for workbench.inverters.weighty.Weighty; "
        "add one to tests/support/models/tiny.py that names it"
    )
    with pytest.raises(LookupError, match=f"^{sentence}$"):
        plugins.samples("inverters", "weighty")
