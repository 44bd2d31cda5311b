"""Pipelines of diffusers as candidate models: the traps of each class."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.generators.conftest import PROMPTS, SEEDS, digests, smooth
from tests.support.models import tiny
from workbench.generators import Failure
from workbench.generators import diffusers as module
from workbench.generators.diffusers import Diffusers
from workbench.weights import device, inference, loading


def _with(name, **options):
    row = tiny.checkpoint(name)
    return dataclasses.replace(row, options=dict(row.options) | options)


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-xl", "tiny-lcm"])
def test_equals_the_plain_library_call(name):
    import diffusers

    row = tiny.checkpoint(name)
    kind = getattr(diffusers, row.class_name.split(".")[1])
    pipe = kind.from_pretrained(row.source, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    with inference.fixed_threads(row.threads):
        plain = pipe(
            [*PROMPTS, *PROMPTS],
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in SEEDS * 2],
            num_inference_steps=2,
            guidance_scale=3.0,
            height=row.size,
            width=row.size,
        ).images
    assert digests(Diffusers(row, guidance=3.0)(PROMPTS * 2, SEEDS * 2)) == digests(plain)


def test_steps_and_guidance_override_the_row_s():
    row = tiny.checkpoint("tiny-sd")
    base = digests(Diffusers(row)(PROMPTS, SEEDS))
    assert digests(Diffusers(row, steps=2, guidance=3.0)(PROMPTS, SEEDS)) == base
    assert digests(Diffusers(row, steps=3)(PROMPTS, SEEDS)) != base
    assert digests(Diffusers(row, guidance=9.0)(PROMPTS, SEEDS)) != base


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-ld"])
def test_a_bucket_has_sides_of_its_own(name):
    model = Diffusers(tiny.checkpoint(name))
    wide, tall = (model.shaped(sides)(PROMPTS[:1], SEEDS[:1])[0] for sides in ((10, 6), (6, 10)))
    assert (wide.size, tall.size) == ((40, 24), (24, 40))
    assert digests(model.shaped((8, 8))(PROMPTS, SEEDS)) == digests(model(PROMPTS, SEEDS))
    assert model.shaped((9, 7)) is None, "32 pixels have no such sides in eights"
    assert repr(model.shaped((10, 6))) == f'Diffusers("{name}", bucket=(10, 6))'


def test_a_class_that_takes_no_sides_draws_squares_alone():
    row = tiny.checkpoint("tiny-if")  # a cascade
    assert Diffusers(row).shaped((10, 6)) is None
    plain = dataclasses.replace(row, stages=(), class_name="diffusers.UnCLIPPipeline")
    assert Diffusers(plain).shaped((10, 6)) is None


def test_a_cascade_takes_one_number_a_stage():
    row = tiny.checkpoint("tiny-if")
    base = digests(Diffusers(row)(PROMPTS, SEEDS))
    assert digests(Diffusers(row, steps=(2, 2), guidance=(3.0, 3.0))(PROMPTS, SEEDS)) == base
    assert digests(Diffusers(row, steps=(2, 3))(PROMPTS, SEEDS)) != base
    assert digests(Diffusers(row, steps=(3, 2))(PROMPTS, SEEDS)) != base
    assert digests(Diffusers(_with("tiny-if", noise_level=50))(PROMPTS, SEEDS)) != base


COMBINED = {
    "tiny-kandinsky": "KandinskyCombinedPipeline",
    "tiny-kandinsky-2-2": "KandinskyV22CombinedPipeline",
    "tiny-cascade": "StableCascadeCombinedPipeline",
    "tiny-wuerstchen": "WuerstchenCombinedPipeline",
}


@pytest.mark.parametrize("name", COMBINED)
def test_a_prior_and_its_decoder_equal_the_library_s_combined_call(name):
    import diffusers

    row = dataclasses.replace(_with(name, steps=(3, 2), guidance=(4.0, 3.0)), batch=2)
    prompts, seeds = PROMPTS, SEEDS
    if name == "tiny-wuerstchen":  # the library fails with two
        prompts, seeds = PROMPTS[:1], SEEDS[:1]
    prior, decoder = Diffusers(row).loaded()
    parts = {f"prior_{part}": value for part, value in prior.components.items()}
    kind = getattr(diffusers, COMBINED[name])
    pipe = kind(**decoder.components, **parts)
    pipe.prior_pipe, pipe.decoder_pipe = prior, decoder  # with their settings
    pipe.set_progress_bar_config(disable=True)
    guidance = "guidance_scale" if "kandinsky" in name else "decoder_guidance_scale"
    with inference.fixed_threads(row.threads):
        plain = pipe(
            prompts,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            prior_num_inference_steps=3,
            num_inference_steps=2,
            prior_guidance_scale=4.0,
            height=row.size,
            width=row.size,
            **{guidance: 3.0},
        ).images
    assert digests(Diffusers(row)(prompts, seeds)) == digests(plain)


@pytest.mark.parametrize(
    ("name", "kind", "needs"),
    [
        ("tiny-kandinsky-2-2", "KandinskyV22Pipeline", "image_embeds, negative_image_embeds"),
        ("tiny-cascade", "StableCascadeDecoderPipeline", "image_embeddings"),
    ],
)
def test_a_decoder_without_its_prior_is_told(name, kind, needs):
    row = dataclasses.replace(
        tiny.checkpoint(name), stages=("decoder",), class_name=f"diffusers.{kind}"
    )
    sentence = (
        f"'{name}' cannot run by itself: {kind} needs {needs}; name the folder or id of what makes "
        "them, then its own, as stages of the row"
    )
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Diffusers(row)(PROMPTS, SEEDS)


def test_unclip_is_a_cascade_in_one_and_takes_a_number_for_each_part():
    row = dataclasses.replace(tiny.checkpoint("tiny-karlo"), batch=1)

    def numbers(**fields):
        (settings,) = (Diffusers(row, **fields)._settings(p, 0) for p in Diffusers(row).loaded())
        return {name.removesuffix("_num_inference_steps"): x for name, x in settings.items()}

    assert numbers(steps=(4, 3, 2), guidance=(4.0, 8.0)) == {
        "prior": 4,
        "decoder": 3,
        "super_res": 2,
        "prior_guidance_scale": 4.0,
        "decoder_guidance_scale": 8.0,
    }
    assert numbers(steps=5) == dict.fromkeys(("prior", "decoder", "super_res"), 5)
    sentence = r"the steps of 'tiny-karlo' should be one number, or 3; seen \(4, 3\)"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Diffusers(row, steps=(4, 3))(PROMPTS, SEEDS)
    base = digests(Diffusers(row, steps=(2, 2, 2))(PROMPTS[:1], [3]))
    assert all(
        digests(Diffusers(row, steps=steps)(PROMPTS[:1], [3])) != base
        for steps in [(3, 2, 2), (2, 3, 2), (2, 2, 3)]
    )


def test_an_unknown_option_is_told():
    with pytest.raises(ValueError, match=r"^'tiny-sd' has no option 'stepz'; there are: .*, steps"):
        Diffusers(_with("tiny-sd", stepz=2))(PROMPTS, SEEDS)


def test_the_latent_diffusion_pipeline_keeps_eta_at_zero():
    sentence = (
        "eta must be 0 for 'tiny-ld', whose pipeline draws further noise from no seed; it is 0.5"
    )
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Diffusers(_with("tiny-ld", eta=0.5))(PROMPTS, SEEDS)
    assert Diffusers(_with("tiny-ld", eta=0.0))(PROMPTS, SEEDS)


def test_guidance_reaches_a_class_that_has_another_word_for_it():
    row = tiny.checkpoint("tiny-qwen-image")
    base = digests(Diffusers(row)(PROMPTS, SEEDS))
    assert digests(Diffusers(row, guidance=3.0)(PROMPTS, SEEDS)) == base
    assert digests(Diffusers(row, guidance=9.0)(PROMPTS, SEEDS)) != base


def test_a_negative_prompt_of_the_row_is_heard():
    base = digests(Diffusers(tiny.checkpoint("tiny-sd"))(PROMPTS, SEEDS))
    found = digests(Diffusers(_with("tiny-sd", negative_prompt="ugly"))(PROMPTS, SEEDS))
    assert not set(found) & set(base)


def test_a_class_of_no_row_runs_by_its_name():
    row = dataclasses.replace(
        _with("tiny-sd", pag_scale=3.0), class_name="diffusers.StableDiffusionPAGPipeline"
    )
    together = digests(Diffusers(row)(PROMPTS, SEEDS))
    assert digests(Diffusers(row)(PROMPTS[1:], SEEDS[1:])) == together[1:]
    assert together != digests(Diffusers(tiny.checkpoint("tiny-sd"))(PROMPTS, SEEDS))


@pytest.mark.parametrize(
    "name", ["tiny-cogview-4", "tiny-kandinsky-3", "tiny-lumina-2", "tiny-qwen-image"]
)
def test_a_class_that_pads_prompts_to_the_longest_runs_one_a_call(name):
    row = tiny.checkpoint(name)
    (pipe,) = Diffusers(row).loaded()
    settings = Diffusers(row)._settings(pipe, 0) | {"num_inference_steps": 6}
    settings |= {"prompt": ["a star", "a star that is nine times as long"], "output_type": "np"}
    if name == "tiny-qwen-image":
        settings["negative_prompt"] = [" "] * 2
    with inference.fixed_threads(2), torch.inference_mode():
        company = pipe(**settings, generator=[torch.Generator().manual_seed(3) for _ in "ab"])
        settings["prompt"] = settings["prompt"][:1] * 2
        alone = pipe(**settings, generator=[torch.Generator().manual_seed(3) for _ in "ab"])
    assert (company.images[0] != alone.images[0]).any()  # what the library does
    assert module._runs_alone(pipe)


def test_a_watermark_is_never_added(monkeypatch):
    from diffusers.pipelines.stable_diffusion_xl import pipeline_stable_diffusion_xl as xl

    class Watermarker:
        def apply_watermark(self, images):
            return images * 0

    monkeypatch.setattr(xl, "is_invisible_watermark_available", lambda: True)
    monkeypatch.setattr(xl, "StableDiffusionXLWatermarker", Watermarker, raising=False)
    (pipe,) = module._load(tiny.checkpoint("tiny-xl"))
    assert pipe.watermark is None


def test_a_picture_blacked_by_the_safety_checker_is_a_failure(monkeypatch):
    pipes = module._load(tiny.checkpoint("tiny-sd"))

    def check(image, device, dtype):
        flags = [True, False, False, False]
        return image * (1 - torch.tensor(flags, dtype=image.dtype))[:, None, None, None], flags

    monkeypatch.setattr(pipes[0], "run_safety_checker", check)
    monkeypatch.setattr(loading, "load_weights", lambda *_: pipes)
    blacked, fine = Diffusers(tiny.checkpoint("tiny-sd"))(PROMPTS, SEEDS)
    assert blacked == Failure("the model's safety checker blacked the picture")
    assert fine.size == (tiny.SIZE, tiny.SIZE)


def test_memory_that_runs_out_in_a_cast_autoencoder_leaves_it_as_it_was(monkeypatch):
    """SDXL decodes in float32 and casts back afterwards, but not after an error."""
    row = tiny.checkpoint("tiny-xl")
    monkeypatch.setattr(device, "dtype", lambda row: torch.float16)
    pipes = module._load(row)
    monkeypatch.setattr(loading, "load_weights", lambda *_: pipes)
    (vae,) = (pipe.vae for pipe in pipes)
    assert (vae.dtype, bool(vae.config.force_upcast)) == (torch.float16, True)

    def full(*_, **__):
        assert vae.dtype == torch.float32
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(vae, "decode", full)
        with pytest.raises(MemoryError, match=r"^the memory ran out in a call of"):
            Diffusers(row)(PROMPTS[:1], SEEDS[:1])
    assert vae.dtype == torch.float16
    (picture,) = Diffusers(row)(PROMPTS[:1], SEEDS[:1])
    assert picture.size == (tiny.SIZE, tiny.SIZE)


@pytest.mark.parametrize("fails", [False, True])
def test_parts_that_take_turns_leave_the_gpu_after_every_call(monkeypatch, fails):
    row = tiny.checkpoint("tiny-sd")
    pipes, freed = module._load(row), []
    monkeypatch.setattr(loading, "load_weights", lambda *_: pipes)
    monkeypatch.setattr(pipes[0], "maybe_free_model_hooks", lambda: freed.append(1))
    if fails:
        monkeypatch.setattr(pipes[0].vae, "decode", lambda *_, **__: 1 / 0)
    made = Diffusers(row)(PROMPTS[:1], SEEDS[:1])
    assert isinstance(made[0], Failure) == fails
    assert freed
    freed.clear()
    if not fails:
        Diffusers(row).reconstruct(made)
        assert freed


def test_pixels_go_where_a_pipeline_runs_and_not_where_its_parts_wait(monkeypatch):
    row = tiny.checkpoint("tiny-sd")
    (pipe,) = pipes = module._load(row)
    monkeypatch.setattr(loading, "load_weights", lambda *_: pipes)
    kind = type("Elsewhere", (type(pipe),), {"_execution_device": torch.device("meta")})
    monkeypatch.setattr(pipe, "__class__", kind)
    seen = []

    def encode(pixels):
        seen.append(pixels.device.type)
        raise ValueError("seen")

    monkeypatch.setattr(pipe.vae, "encode", encode)
    with pytest.raises(ValueError, match=r"^seen$"):
        Diffusers(row).reconstruct(smooth(1, tiny.SIZE))
    assert seen == ["meta"]


def test_a_second_stage_takes_the_words_of_the_first():
    """Its own T5, as DeepFloyd publishes it, is the first's once more."""
    row = tiny.checkpoint("tiny-if")
    first, second = module._load(row)
    assert first.text_encoder is not None
    assert second.text_encoder is None
