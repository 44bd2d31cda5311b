"""Pipelines that answer strangely, fail or run out of memory, and classes of no row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import ImagePipelineOutput
from diffusers.pipelines.kandinsky5.pipeline_output import KandinskyImagePipelineOutput

from tests.generators.conftest import digests
from workbench.generators import Failure
from workbench.generators import diffusers as module
from workbench.generators.diffusers import Diffusers
from workbench.weights import loading
from workbench.weights.checkpoint import Checkpoint


class Pipe:
    """A pipeline that fails as it is told, or draws from the global generator."""

    def __init__(self, work):
        self.work = work

    def maybe_free_model_hooks(self): ...

    def __call__(self, prompt, generator=None, output_type="np"):
        return ImagePipelineOutput(images=self.work(prompt, generator))


class Stranger:
    """A pipeline that the adapter has not heard of: one prompt, its own word for pictures."""

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    def maybe_free_model_hooks(self): ...

    def __call__(self, prompt, height=8, width=8, use_pe=True, generator=None, output_type="np"):
        self.calls.append((prompt, height, use_pe, generator.initial_seed()))
        return KandinskyImagePipelineOutput(image=self.answer())


class Unconditional:
    """A pipeline that paints no prompt."""

    def __call__(self, batch_size=1, generator=None, output_type="np"): ...


def _flat(values):
    return np.ones((len(values), 8, 8, 3)) * np.asarray(values).reshape(-1, 1, 1, 1)


@pytest.fixture
def using(monkeypatch, tmp_path):
    def ask(pipe):
        monkeypatch.setattr(loading, "load_weights", lambda *_: [pipe])
        monkeypatch.setattr(module, "IN_COMPANY", ("Pipe",))
        row = Checkpoint("mine", "generator", "", str(tmp_path), size=8)
        return Diffusers(row)

    return ask


def test_a_stranger_paints_one_prompt_a_call_which_nothing_rewrites(using):
    pipe = Stranger(lambda: torch.rand(1, 8, 8, 3).numpy())  # from the global generator
    first, second = digests(using(pipe)(["a fish", "a bird"], [2**40, 7]))
    assert pipe.calls == [("a fish", 8, False, 2**40), ("a bird", 8, False, 7)]
    assert digests(using(pipe)(["a bird"], [7])) == [second] != [first]


OTHER = "the model answers {} values, which is no picture of the row's size"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: np.ones((1, 4, 8, 3)), OTHER.format("4 x 8 x 3")),
        (lambda: np.ones((1, 9, 8, 8, 3)), OTHER.format("9 x 8 x 8 x 3")),
        (lambda: np.ones((1, 8, 8)), OTHER.format("8 x 8")),
        (lambda: {}["head"], "mine failed: Stranger stopped at KeyError('head')"),
    ],
)
def test_what_is_no_picture_is_a_failure_that_says_so(using, answer, reason):
    assert using(Stranger(answer))(["x"], [1]) == [Failure(reason)]


def test_what_shines_through_lies_over_white(using):
    half = np.full((1, 8, 8, 4), (1.0, 0.0, 0.0, 0.5))
    (picture,) = using(Stranger(lambda: half))(["x"], [1])
    assert (picture.mode, picture.getpixel((0, 0))) == ("RGB", (255, 128, 128))


def test_what_a_class_cannot_be_told_is_one_sentence(using):
    plugin = using(Stranger(None))
    sentence = "^'mine' takes no guidance: Stranger has no guidance_scale$"
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(plugin, guidance=3.0)(["x"], [1])
    told = dataclasses.replace(plugin.checkpoint, options={"use_pe": True})
    sentence = (
        "^'mine' has no option 'use_pe'; there are: compile, quantise, safety_checker, variant$"
    )
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(plugin, checkpoint=told)(["x"], [1])
    with pytest.raises(
        ValueError, match=r"^'mine' cannot paint a prompt: Unconditional takes none$"
    ):
        using(Unconditional())(["x"], [1])


class Scheduled:
    """A pipeline whose guidance is a number or one a step."""

    def __call__(self, prompt, guidance_scale=None, guidance_schedule=(7.0, 3.0)): ...


def test_a_guidance_stands_in_for_a_schedule(using):
    plugin = using(Scheduled())
    assert plugin._settings(Scheduled(), 0) == {}
    guided = dataclasses.replace(plugin, guidance=4.0)._settings(Scheduled(), 0)
    assert guided == {"guidance_scale": 4.0, "guidance_schedule": None}


def test_a_bad_prompt_harms_no_other(using):
    def work(prompts, generators):
        if "bad" in prompts:
            raise ValueError("this prompt is bad\nand here is why")
        return _flat([0.5] * len(prompts))

    good, bad, other = using(Pipe(work))(["good", "bad", "other"], [1, 2, 3])
    assert bad == Failure("mine failed: this prompt is bad")
    assert good.size == other.size == (8, 8)


def test_what_may_pass_is_raised(using):
    def work(prompts, generators):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    with pytest.raises(MemoryError, match=r"^the memory ran out in a call of 4 of 'mine'"):
        using(Pipe(work))(["x"], [1])


def test_values_that_are_no_numbers_are_a_failure(using):
    answer = using(Pipe(lambda prompts, _: _flat([np.nan] * len(prompts))))(["x"], [1])
    assert answer == [Failure("the picture holds values that are not numbers")]


def test_a_class_without_generator_lists_runs_alone_under_the_global_seed(using):
    chunks = []

    class VQDiffusionPipeline(Pipe):
        pass

    def work(prompts, generator):
        chunks.append(len(prompts))
        assert generator is None
        return _flat(torch.rand(len(prompts)).tolist())

    plugin = using(VQDiffusionPipeline(work))
    before = torch.random.get_rng_state()
    together = digests(plugin(["a", "b", "c"], [1, 2, 1]))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert chunks == [1, 1, 1]
    assert together[0] == together[2] != together[1]
    assert digests(plugin(["b"], [2])) == [together[1]]
