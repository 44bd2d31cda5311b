"""Same seed, same pixels: alone or in company, in any order, after a reload, in any process.

The real pocket zoo where its weights are here, and tiny models of what it lacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.models import tiny
from workbench import catalogue, images
from workbench.weights import loading
from workbench.weights.checkpoint import resolve_class

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
PROMPTS = ["a red circle on grass", "a blue star at night", "a photo of a green fish"]
PAIRS = [(PROMPTS[i % 3], 2**40 + i // 2) for i in range(5)]
SHUFFLED = [3, 2, 4, 0, 1]
TINY = ["tiny-xl", "tiny-if", "tiny-cascade", "tiny-qwen-image", "tiny-amused"]
"""One of each treatment that the pocket zoo lacks: a cascade in pixels, a prior and its decoder, a
class that takes one prompt a call, one that draws from the global generator."""

SCRIPT = """
import json, sys, threading
from pathlib import Path
from tests.support.models import tiny
from tests.system.test_same_pixels import PAIRS, TINY, digests, pocket

folder, answers = Path(sys.argv[1]), {}

def work():  # not the main thread, whose count of threads is another
    for name in sys.argv[2:]:
        row = tiny.row(name, folder) if name in TINY else pocket()[name]
        answers[name] = digests(row, PAIRS[:3])

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps(answers))
"""


def pocket():
    """List the catalogue's own generators whose weights are here."""
    try:
        rows = catalogue.rows_of("generator")
    except LookupError:
        return {}
    return {name: row for name, row in rows.items() if row.folder and row.folder.is_dir()}


MODELS = [*pocket(), *TINY]


def _row(name):
    return tiny.checkpoint(name) if name in TINY else pocket()[name]


def digests(row, pairs):
    """Generate with the row's plug-in, and return the digest of each picture."""
    generator = resolve_class(row.plugin)(row)
    prompts, seeds = map(list, zip(*pairs, strict=True))
    return [images.digest(picture) for picture in generator(prompts, seeds)]


@pytest.fixture(scope="module")
def expected():
    """Remember for each model what five at once gave."""
    seen = {}

    def ask(name):
        if name not in seen:
            seen[name] = digests(_row(name), PAIRS)
            assert len(set(seen[name])) == 5
        return seen[name]

    return ask


@pytest.mark.parametrize("name", MODELS)
def test_alone(name, expected):
    assert digests(_row(name), PAIRS[4:]) == expected(name)[4:]


@pytest.mark.parametrize("name", MODELS)
def test_shuffled_after_a_reload_whatever_torch_was_set_to(name, expected):
    import torch

    before, threads = expected(name), torch.get_num_threads()
    loading.clear_weights()
    try:
        torch.set_num_threads(3)
        torch.manual_seed(3)
        assert digests(_row(name), [PAIRS[i] for i in SHUFFLED]) == [before[i] for i in SHUFFLED]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_from_two_processes_at_once_with_one_and_two_threads(expected):
    before = {name: expected(name)[:3] for name in MODELS}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tiny.folder()), *MODELS],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": threads, "PYTHONPATH": PATH},
        )
        for threads in ("1", "2")
    ]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert [json.loads(output.splitlines()[-1]) for output in outputs] == [before, before]
