"""Pipelines of diffusers as candidate models: the traps of each class."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLQwenImage, ImagePipelineOutput, VQModel
from diffusers.pipelines.kandinsky5.pipeline_output import KandinskyImagePipelineOutput
from PIL import Image
from safetensors.torch import load_file

from tests.support.models import tiny
from workbench import images
from workbench.generators import Failure, reconstruct
from workbench.generators import diffusers as module
from workbench.generators.diffusers import Diffusers
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint, locate, resolve_class

PROMPTS, SEEDS = ["a red circle", "a blue star"], [3, 4]


def _with(name, **options):
    row = tiny.checkpoint(name)
    return dataclasses.replace(row, options=dict(row.options) | options)


def _digests(answers):
    return [images.digest(answer) for answer in answers]


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
    assert _digests(Diffusers(row, guidance=3.0)(PROMPTS * 2, SEEDS * 2)) == _digests(plain)


def test_steps_and_guidance_override_the_row_s():
    row = tiny.checkpoint("tiny-sd")
    base = _digests(Diffusers(row)(PROMPTS, SEEDS))
    assert _digests(Diffusers(row, steps=2, guidance=3.0)(PROMPTS, SEEDS)) == base
    assert _digests(Diffusers(row, steps=3)(PROMPTS, SEEDS)) != base
    assert _digests(Diffusers(row, guidance=9.0)(PROMPTS, SEEDS)) != base


def test_a_cascade_takes_one_number_a_stage():
    row = tiny.checkpoint("tiny-if")
    base = _digests(Diffusers(row)(PROMPTS, SEEDS))
    assert _digests(Diffusers(row, steps=(2, 2), guidance=(3.0, 3.0))(PROMPTS, SEEDS)) == base
    assert _digests(Diffusers(row, steps=(2, 3))(PROMPTS, SEEDS)) != base
    assert _digests(Diffusers(row, steps=(3, 2))(PROMPTS, SEEDS)) != base
    assert _digests(Diffusers(_with("tiny-if", noise_level=50))(PROMPTS, SEEDS)) != base


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
    assert _digests(Diffusers(row)(prompts, seeds)) == _digests(plain)


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
    base = _digests(Diffusers(row, steps=(2, 2, 2))(PROMPTS[:1], [3]))
    assert all(
        _digests(Diffusers(row, steps=steps)(PROMPTS[:1], [3])) != base
        for steps in [(3, 2, 2), (2, 3, 2), (2, 2, 3)]
    )


MOVED = {
    "tiny-karlo": "text_proj",
    "tiny-vq": "learned_classifier_free_sampling_embeddings",
    "tiny-cascade": "vqgan",
    "tiny-wuerstchen": "decoder",
}


@pytest.mark.parametrize("name", MOVED)
def test_parts_that_the_library_has_moved_keep_their_weights(name):
    from diffusers import DiffusionPipeline

    row = tiny.checkpoint(name)
    folder = locate(row, row.stages[-1] if row.stages else "")
    with pytest.raises(ValueError, match=r" is not one of the libraries Diffusers can load "):
        DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    part = getattr(Diffusers(row).loaded()[-1], MOVED[name])
    (file,) = (Path(folder) / MOVED[name]).glob("*.safetensors")
    stored = load_file(file)
    assert stored.keys() == part.state_dict().keys()
    assert all(torch.equal(x, stored[key].to(x.dtype)) for key, x in part.state_dict().items())


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
    base = _digests(Diffusers(row)(PROMPTS, SEEDS))
    assert _digests(Diffusers(row, guidance=3.0)(PROMPTS, SEEDS)) == base
    assert _digests(Diffusers(row, guidance=9.0)(PROMPTS, SEEDS)) != base


def test_a_negative_prompt_of_the_row_is_heard():
    base = _digests(Diffusers(tiny.checkpoint("tiny-sd"))(PROMPTS, SEEDS))
    found = _digests(Diffusers(_with("tiny-sd", negative_prompt="ugly"))(PROMPTS, SEEDS))
    assert not set(found) & set(base)


def test_a_class_of_no_row_runs_by_its_name():
    row = dataclasses.replace(
        _with("tiny-sd", pag_scale=3.0), class_name="diffusers.StableDiffusionPAGPipeline"
    )
    together = _digests(Diffusers(row)(PROMPTS, SEEDS))
    assert _digests(Diffusers(row)(PROMPTS[1:], SEEDS[1:])) == together[1:]
    assert together != _digests(Diffusers(tiny.checkpoint("tiny-sd"))(PROMPTS, SEEDS))


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
        Diffusers(row).reconstruct(_smooth(1, tiny.SIZE))
    assert seen == ["meta"]


def test_a_second_stage_takes_the_words_of_the_first():
    """Its own T5, as DeepFloyd publishes it, is the first's once more."""
    row = tiny.checkpoint("tiny-if")
    first, second = module._load(row)
    assert first.text_encoder is not None
    assert second.text_encoder is None


def _pickled(tmp_path, *parts):
    """Copy tiny-ld, and write the weights of some parts as the pickles the hub has of them."""
    row = tiny.checkpoint("tiny-ld")
    folder = tmp_path / "tiny-ld"
    shutil.copytree(row.source, folder)
    for part in parts:
        (weights,) = (folder / part).glob("*.safetensors")
        name = "pytorch_model.bin" if part == "bert" else "diffusion_pytorch_model.bin"
        torch.save(load_file(weights), folder / part / name)
        weights.unlink()
    return dataclasses.replace(row, source=str(folder))


@pytest.mark.parametrize("parts", [("unet",), ("bert",), ("unet", "bert", "vqvae")])
def test_pickles_are_read_only_where_the_row_allows_them(tmp_path, parts):
    row = _pickled(tmp_path, *parts)
    with pytest.raises(LookupError, match=r"^the weights of 'tiny-ld' "):
        Diffusers(row)(PROMPTS, SEEDS)
    allowed = Diffusers(dataclasses.replace(row, allow_pickle=True))
    plain = Diffusers(tiny.checkpoint("tiny-ld"))
    assert _digests(allowed(PROMPTS, SEEDS)) == _digests(plain(PROMPTS, SEEDS))


class Touch:
    """Touch a file as soon as a pickle of it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("part", ["unet", "bert"])
def test_nothing_in_a_pickle_runs(tmp_path, part):
    row = dataclasses.replace(_pickled(tmp_path, part), allow_pickle=True)
    (weights,) = (Path(row.source) / part).glob("*.bin")
    touched = tmp_path / "touched"
    torch.save(torch.load(weights) | {"more": Touch(touched)}, weights)
    sentence = (
        "the weights of 'tiny-ld' cannot be loaded: a pickle holds more than tensors, or is "
        "damaged; restore them or choose another model"
    )
    with pytest.raises(LookupError, match=f"^{sentence}$"):
        Diffusers(row)(PROMPTS, SEEDS)
    assert not touched.exists()
    torch.load(weights, weights_only=False)
    assert touched.exists()  # so the file was harmful


def test_a_variant_of_the_weights_is_loaded_where_the_row_names_it(tmp_path):
    row = tiny.checkpoint("tiny-sd")
    folder = tmp_path / "tiny-sd"
    shutil.copytree(row.source, folder)
    for weights in folder.glob("*/*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    row = dataclasses.replace(row, source=str(folder))
    sentence = (
        "^the weights of 'tiny-sd' cannot be loaded: of a part there is a variant alone; write "
        'variant = "fp16" into the options of the row; restore them or choose another model$'
    )
    with pytest.raises(LookupError, match=sentence):
        Diffusers(row)(PROMPTS, SEEDS)
    options = dict(row.options) | {"variant": "fp16"}
    named = Diffusers(dataclasses.replace(row, options=options))
    plain = Diffusers(tiny.checkpoint("tiny-sd"))
    assert _digests(named(PROMPTS, SEEDS)) == _digests(plain(PROMPTS, SEEDS))


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
    first, second = _digests(using(pipe)(["a fish", "a bird"], [2**40, 7]))
    assert pipe.calls == [("a fish", 8, False, 2**40), ("a bird", 8, False, 7)]
    assert _digests(using(pipe)(["a bird"], [7])) == [second] != [first]


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
    with pytest.raises(ValueError, match=r"^'mine' has no option 'use_pe'; there are: variant$"):
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
    together = _digests(plugin(["a", "b", "c"], [1, 2, 1]))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert chunks == [1, 1, 1]
    assert together[0] == together[2] != together[1]
    assert _digests(plugin(["b"], [2])) == [together[1]]


def _smooth(count: int, side: int) -> list[Image.Image]:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [Image.fromarray(x).resize((side, side)) for x in coarse]


@pytest.mark.parametrize(
    ("name", "part"),
    [("tiny-sd", "vae"), ("tiny-ld", "vqvae"), ("tiny-dalle", "vqvae"), ("tiny-qwen-image", "vae")],
)
def test_a_reconstruction_is_what_the_autoencoder_of_the_plain_library_says(name, part):
    row = tiny.checkpoint(name)
    kind = {"tiny-dalle": VQModel, "tiny-qwen-image": AutoencoderKLQwenImage}.get(
        name, AutoencoderKL
    )
    model = kind.from_pretrained(f"{row.source}/{part}", torch_dtype=torch.float32).eval()
    generator = resolve_class(row.plugin)(row)
    pictures = _smooth(3, 50)
    found = generator.reconstruct(pictures)
    for picture, ours in zip(pictures, found, strict=True):
        pixels = np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC)) / 127.5 - 1
        values = torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]
        values = values[:, :, None] if name == "tiny-qwen-image" else values
        with torch.no_grad():
            code = model.encode(values)
            code = code.latents if name == "tiny-dalle" else code.latent_dist.mean
            theirs = model.decode(code).sample[0].reshape(3, 32, 32).permute(1, 2, 0)
        expected = (127.5 * (theirs.clamp(-1, 1) + 1)).numpy()
        assert ours.size == (32, 32)
        assert np.abs(np.asarray(ours, float) - expected).max() < 0.6


def test_an_autoencoder_of_four_channels_gets_pictures_opaque_and_answers_over_white():
    blocks = ["DownEncoderBlock2D"], ["UpDecoderBlock2D"]
    model = AutoencoderKL(4, 4, *blocks, block_out_channels=(4,), norm_num_groups=2).eval()
    row = Checkpoint("mine", "generator", "", "/weights", size=8)
    (picture,) = _smooth(1, 8)
    (ours,) = reconstruct([SimpleNamespace(vae=model)], [picture], row)
    opaque = np.asarray(picture.convert("RGBA")) / 127.5 - 1
    with torch.no_grad():
        values = torch.tensor(opaque, dtype=torch.float32).permute(2, 0, 1)[None]
        theirs = model.decode(model.encode(values).latent_dist.mode()).sample[0] / 2 + 0.5
    colours, alpha = theirs.clamp(0, 1).split([3, 1])
    expected = (255 * (colours * alpha + 1 - alpha)).permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(ours, float) - expected).max() < 0.6


def test_the_latents_of_a_movq_are_not_quantised():
    row = tiny.checkpoint("tiny-kandinsky-2-2")
    model = Diffusers(row).loaded()[-1].movq
    (picture,) = _smooth(1, row.size)
    values = torch.tensor(np.asarray(picture) / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)
    with torch.no_grad():
        code = model.encode(values[None]).latents
        both = [model.decode(code, force_not_quantize=x).sample[0] for x in (True, False)]
    expected, other = (127.5 * (x.clamp(-1, 1).permute(1, 2, 0).numpy() + 1) for x in both)
    (ours,) = Diffusers(row).reconstruct([picture])
    assert np.abs(np.asarray(ours, float) - expected).max() < 0.6
    assert np.abs(np.asarray(ours, float) - other).max() > 0.6


def test_an_autoencoder_too_narrow_in_half_precision_runs_in_full():
    generator, pictures = Diffusers(tiny.checkpoint("tiny-xl")), _smooth(2, 32)
    expected = [images.digest(x) for x in generator.reconstruct(pictures)]
    (pipe,) = generator.loaded()
    assert pipe.vae.config.force_upcast
    pipe.vae.half()  # as it was saved: nothing is lost
    try:
        assert [images.digest(x) for x in generator.reconstruct(pictures)] == expected
        assert pipe.vae.dtype == torch.float16
    finally:
        pipe.vae.float()


def test_a_reconstruction_does_not_depend_on_its_company():
    generator = Diffusers(tiny.checkpoint("tiny-sd"))
    pictures = _smooth(6, 32)
    together = [images.digest(x) for x in generator.reconstruct(pictures)]
    assert [images.digest(generator.reconstruct([x])[0]) for x in pictures] == together
    assert len(set(together)) == 6
    assert generator.reconstruct([]) == []


def test_a_model_on_pixels_reconstructs_nothing():
    found = Diffusers(tiny.checkpoint("tiny-if")).reconstruct(_smooth(2, 32))
    assert found == [Failure("tiny-if has no autoencoder that reads and writes pictures")] * 2
