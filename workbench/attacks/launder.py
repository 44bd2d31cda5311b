"""Laundering: the picture painted anew by a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import checkpoints
from workbench.attacks import check_intensity
from workbench.checkpoints import Checkpoint, Named
from workbench.generators.diffusers import Diffusers

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

PAINTERS = {
    "StableDiffusionPipeline": "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLImg2ImgPipeline",
}
"""Classes of generators, and those of diffusers that paint anew with the same weights."""

SWITCHES = {"requires_safety_checker", "force_zeros_for_empty_prompt"}
"""Settings of a pipeline that its painter takes over."""

MULTIPLE = 8
"""Sides go to a multiple of this many pixels."""


@dataclass(frozen=True, repr=False)
class Launder(Named):
    """Paint a picture anew with a candidate model: img2img at strength = intensity / 100.

    SDEdit (Meng et al. 2022, arXiv:2108.01073): the latents are noised to the part `strength` of
    the way and denoised from there, in that part of the row's steps, at least one. Even the weakest
    laundering goes through the model's autoencoder; at 100 little but the prompt is left. With the
    empty prompt there is no guidance, else the row's. A picture goes to the model's native size
    first (shorter side, bicubic), and stays there.

    >>> Launder(Checkpoint("pocket-sd", "generator", "", "/weights",
    ...                    class_name="diffusers.StableDiffusionPipeline"), intensity=30)
    Launder("pocket-sd", intensity=30)
    """

    checkpoint: Checkpoint
    intensity: float = 50
    prompt: str = ""
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_intensity(self)
        if self._kind() not in PAINTERS:
            raise ValueError(
                f"{self.checkpoint.name!r}, a {self._kind() or 'model of no named class'}, does "
                f"not paint pictures anew; rows of these classes do: {', '.join(PAINTERS)}"
            )

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Answer the RGB image at the model's native size; the seed is drawn from `rng`.

        Raises LookupError for missing weights, ValueError where no picture comes out.
        """
        import numpy as np
        import torch
        from PIL import Image
        from PIL.Image import Resampling

        if self.intensity == 0:
            return image
        pipe = self._painter()
        seed = int(rng.integers(2**48, 2**63))  # candidates and queries have 48 bits

        def paint(some: list[Image.Image]) -> list[tuple[Any, bool]]:
            output = pipe(
                prompt=[self.prompt],
                image=some,
                generator=[torch.Generator("cpu").manual_seed(seed)],
                output_type="np",
                **self._settings(),
            )
            flags = getattr(output, "nsfw_content_detected", None) or [False]
            return list(zip(output.images, map(bool, flags), strict=True))

        scale = self.checkpoint.size / min(image.size)
        width, height = (round(side * scale / MULTIPLE) * MULTIPLE for side in image.size)
        native = image.resize((width, height), Resampling.BICUBIC)
        ((array, flagged),) = checkpoints.in_fixed_shape(paint, [native], self.checkpoint, batch=1)
        if flagged:
            raise ValueError("the model's safety checker blacked the picture")
        if not np.isfinite(array).all():
            raise ValueError("the picture holds values that are not numbers")
        return Image.fromarray((array * 255).round().clip(0, 255).astype(np.uint8))

    def _kind(self) -> str:
        return self.checkpoint.class_name.rpartition(".")[2]

    def _settings(self) -> dict[str, Any]:
        """Choose strength and steps, so that at least one is taken, and guidance."""
        strength = max(self.intensity / 100, 0.001)  # one of the thousand steps of the training
        steps = max(self.checkpoint.option("steps", 50), min(int(1 / strength) + 1, 1000))
        guidance = self.checkpoint.option("guidance") if self.prompt else 1.0
        settings = {"strength": strength, "num_inference_steps": steps, "guidance_scale": guidance}
        return {name: value for name, value in settings.items() if value is not None}

    def _painter(self) -> Any:
        """Make the img2img pipeline of the loaded weights, with a scheduler of its own."""
        (pipe,) = Diffusers(self.checkpoint).loaded()
        parts = dict(pipe.components)
        parts["scheduler"] = type(pipe.scheduler).from_config(pipe.scheduler.config)
        kind: Any = checkpoints.resolve_class(f"diffusers.{PAINTERS[self._kind()]}")
        painter = kind(**parts, **{name: pipe.config[name] for name in SWITCHES & {*pipe.config}})
        if hasattr(painter, "watermark"):  # an installed extra must not change pictures
            painter.watermark = None
        painter.set_progress_bar_config(disable=True)
        return painter
