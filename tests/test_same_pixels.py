"""Same seed, same pixels: alone or in company, in any order, after a reload, in any process.

The real pocket zoo where its weights are here, and the tiny models of the same classes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from workbench import catalogue, checkpoints, images, running

ROOT = Path(__file__).parent.parent
PATH = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
PROMPTS = ["a red circle on grass", "a blue star at night", "a photo of a green fish"]
PAIRS = [(PROMPTS[i % 3], 2**40 + i // 2) for i in range(8)]
SHUFFLED = [5, 2, 7, 0, 3, 6, 1, 4]

SCRIPT = """
import json, sys, threading
from pathlib import Path
from tests import tiny
from tests.test_same_pixels import PAIRS, digests, pocket

folder, answers = Path(sys.argv[1]), {}

def work():  # not the main thread, whose count of threads is another
    for name in sys.argv[2:]:
        row = tiny.row(name, folder) if name in tiny.ROWS else pocket()[name]
        answers[name] = digests(row, PAIRS[:5])

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps(answers))
"""


def pocket():
    """List the catalogue's own generators whose weights are here."""
    try:
        rows = catalogue.rows("generator")
    except LookupError:
        return {}
    return {name: row for name, row in rows.items() if row.folder and row.folder.is_dir()}


def models():
    """List the pocket zoo, and the tiny models of the classes it lacks."""
    real = pocket()
    classes = {row.class_name for row in real.values()}
    return [
        *real,
        *(x for x, row in tiny.ROWS.items() if row[0] == "generator" and row[2] not in classes),
    ]


MODELS = models()


def _row(name):
    return tiny.checkpoint(name) if name in tiny.ROWS else pocket()[name]


def digests(row, pairs):
    """Generate with the row's plug-in, and answer the digest of each picture."""
    generator = checkpoints.resolve_class(row.plugin)(row)
    prompts, seeds = map(list, zip(*pairs, strict=True))
    return [images.digest(picture) for picture in generator(prompts, seeds)]


@pytest.fixture(scope="module")
def expected():
    """Remember for each model what eight at once gave."""
    seen = {}

    def ask(name):
        if name not in seen:
            seen[name] = digests(_row(name), PAIRS)
            assert len(set(seen[name])) == 8
        return seen[name]

    return ask


@pytest.mark.parametrize("name", MODELS)
def test_one_at_a_time(name, expected):
    some = [0, 3, 7]
    assert [digests(_row(name), [PAIRS[i]])[0] for i in some] == [expected(name)[i] for i in some]


@pytest.mark.parametrize("name", MODELS)
def test_shuffled(name, expected):
    found = digests(_row(name), [PAIRS[i] for i in SHUFFLED])
    assert found == [expected(name)[i] for i in SHUFFLED]


@pytest.mark.parametrize("name", MODELS)
def test_after_a_reload(name, expected):
    before = expected(name)
    running.clear_weights()
    assert digests(_row(name), PAIRS[::-1]) == before[::-1]


@pytest.mark.parametrize("name", MODELS)
def test_whatever_torch_was_set_to(name, expected):
    import torch

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        torch.manual_seed(3)
        assert digests(_row(name), PAIRS[:3]) == expected(name)[:3]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_from_two_processes_at_once_with_one_and_two_threads(expected):
    before = {name: expected(name)[:5] for name in MODELS}
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
