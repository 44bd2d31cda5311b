"""GLIDE as a candidate model, by OpenAI's own package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.generators import Failure, make_pictures, tensors, to_picture
from workbench.plugin import Plugin, call_options
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint, locate

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGE = "git+https://github.com/openai/glide-text2im@69b530740eb6cef69442d6180579ef5ba9ef063e"
DEFAULTS: dict[str, Any] = {"steps": (100, "fast27"), "guidance": 3.0, "temperature": 0.997}
"""The settings of the package's notebook text2im."""


@dataclass(frozen=True, repr=False)
class Glide(Plugin):
    """Make pictures with GLIDE (filtered) (Nichol et al. 2021, arXiv:2112.10741), 64 → 256 px.

    `steps` are those of the base model and of the upsampler, numbers or the package's names of
    spacings; `guidance` is the base model's, without a classifier; `temperature` scales the noise
    the upsampler starts from. Left None they are the catalogue row's options, else `DEFAULTS`. The
    folder holds base and upsample (see `tensors`), and may hold a config.json whose tables of these
    names change the package's sizes of the models.

    >>> Glide(Checkpoint("glide", "generator", "", "/weights"), steps=(50, "fast27"))
    Glide("glide", steps=(50, 'fast27'))
    """

    checkpoint: Checkpoint
    steps: tuple[int | str, int | str] | None = None
    guidance: float | None = None
    temperature: float | None = None
    revision: ClassVar[int] = 1

    @staticmethod
    def packages(row: Checkpoint) -> dict[str, str]:
        """Return the module that is needed besides, and what pip calls it."""
        return {"glide_text2im": PACKAGE}

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return one RGB image of the upsampler's size, or a Failure, for each (prompt, seed).

        Each picture draws from a generator of its own, on the device, what the package's loops draw
        from the global one. On the CPU one picture goes a call, bit for bit; on a GPU, several.
        Raises ValueError for lengths that differ, an option of the row that is none or steps the
        package cannot space, LookupError when the package or the weights are missing.
        """
        fields = {"steps": self.steps, "guidance": self.guidance, "temperature": self.temperature}
        settings = DEFAULTS | call_options(self.checkpoint, **fields)
        steps = settings["steps"]
        if not isinstance(steps, tuple) or len(steps) != 2:
            raise ValueError(
                f"steps of Glide are a pair, such as {DEFAULTS['steps']}; seen {steps}"
            )
        stages = loading.load_weights(self.checkpoint, _load)
        spaced = list(map(_diffusion, _options(self.checkpoint), steps))

        def make(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
            return _pictures(stages, spaced, settings, chunk)

        batch = 1 if device.kind() == "cpu" else None
        return make_pictures(make, prompts, seeds, self.checkpoint, batch)


def _pictures(
    stages: list[Any], spaced: list[Any], settings: dict[str, Any], chunk: list[tuple[str, int]]
) -> list[Image | Failure]:
    """Sample a picture for each of N (prompt, seed) pairs, all in the same calls of the models."""
    import torch

    prompts = [prompt for prompt, _ in chunk]
    own = [torch.Generator(device.kind()).manual_seed(seed) for _, seed in chunk]
    small = _base(stages[0], spaced[0], prompts, own, settings["guidance"])
    large = _upsampled(stages[1], spaced[1], prompts, own, small, settings["temperature"])
    return [to_picture(x.permute(1, 2, 0).cpu().numpy() / 255) for x in _grey_levels(large)]


def _base(model: Any, diffusion: Any, prompts: list[str], own: list[Any], guidance: float) -> Any:
    """Sample (N, 3, H, W) values in [-1, 1] by DDPM, guided by ε = ε∅ + guidance · (ε - ε∅).

    The package's loop draws noise for the row without text, too, of which nothing is used; it is
    drawn here likewise, so that a seed keeps its picture.
    """
    import torch

    def guided(noisy: Any, times: Any, **given: Any) -> Any:
        answer = model(noisy.repeat(2, 1, 1, 1), times.repeat(2), **given)
        noise, spread = (part.chunk(2) for part in answer.split(3, dim=1))
        return torch.cat([noise[1] + guidance * (noise[0] - noise[1]), spread[0]], dim=1)

    def drawn() -> Any:
        return _noise(own, (2, 3, model.image_size, model.image_size))[::2]

    words = _words(model, *prompts, *[""] * len(prompts))
    noisy = drawn()
    for step in reversed(range(diffusion.num_timesteps)):
        times = torch.full((len(prompts),), step, device=device.kind())
        answer = diffusion.p_mean_variance(guided, noisy, times, model_kwargs=words)
        spread = (step > 0) * torch.exp(0.5 * answer["log_variance"])
        noisy = answer["mean"] + spread * drawn()
    return noisy


def _upsampled(
    model: Any, diffusion: Any, prompts: list[str], own: list[Any], small: Any, temperature: float
) -> Any:
    """Sample (N, 3, H, W) values in [-1, 1] by DDIM, given the small pictures in grey levels.

    What the package's loop draws itself, it multiplies by DDIM's η, which is 0.
    """
    noise = _noise(own, (1, 3, model.image_size, model.image_size)) * temperature
    given = {"low_res": _grey_levels(small) / 127.5 - 1, **_words(model, *prompts)}
    with inference.seeded(0):
        return diffusion.ddim_sample_loop(
            model, noise.shape, noise=noise, device=device.kind(), model_kwargs=given
        )


def _noise(own: list[Any], shape: tuple[int, ...]) -> Any:
    """Draw noise of a shape by each picture's generator; join it along the first dimension."""
    import torch

    return torch.cat([torch.randn(shape, generator=x, device=x.device) for x in own])


def _grey_levels(values: Any) -> Any:
    """Return values in [-1, 1] as whole grey levels 0 to 255."""
    return ((values + 1) * 127.5).round().clamp(0, 255)


def _words(model: Any, *texts: str) -> dict[str, Any]:
    """Return texts as (B, length) tokens and mask."""
    import torch

    reader = model.tokenizer
    rows = [reader.padded_tokens_and_mask(reader.encode(text), model.text_ctx) for text in texts]
    return {
        name: torch.tensor(values, device=device.kind())
        for name, values in zip(("tokens", "mask"), zip(*rows, strict=True), strict=True)
    }


def _options(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the sizes of base model and upsampler: the package's own, changed by config.json."""
    package = _package()
    config = Path(locate(checkpoint)) / "config.json"
    changes = json.loads(config.read_text("utf-8")) if config.is_file() else {}
    return [
        package.model_and_diffusion_defaults() | changes.get("base", {}),
        package.model_and_diffusion_defaults_upsampler() | changes.get("upsample", {}),
    ]


def _diffusion(options: dict[str, Any], spacing: int | str) -> Any:
    """Return a diffusion with its steps respaced."""
    return _package().create_gaussian_diffusion(
        options["diffusion_steps"], options["noise_schedule"], str(spacing)
    )


def _load(checkpoint: Checkpoint) -> list[Any]:
    """Load base model and upsampler from their files; the package's own loaders would download."""
    import torch

    stages = []
    for options, stem in zip(_options(checkpoint), ("base", "upsample"), strict=True):
        half = device.dtype(checkpoint) == torch.float16
        with torch.device("meta"):
            model, _ = _package().create_model_and_diffusion(**options | {"use_fp16": half})
        model.load_state_dict(tensors(checkpoint, stem), assign=True)
        model.float().eval().requires_grad_(False)
        if half:
            model.convert_to_fp16()
        model.image_size = options["image_size"]
        stages.append(model.to(device.kind()))
    return stages


def _package() -> Any:
    """Import the package's makers of models."""
    try:
        from glide_text2im import model_creation
    except ModuleNotFoundError as error:
        raise LookupError(
            f"GLIDE needs OpenAI's package, which is not on PyPI: pip install {PACKAGE}"
        ) from error
    return model_creation
