"""Laundering: the picture painted anew by a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.attacks import GradedAttack
from workbench.generators.diffusers import Diffusers
from workbench.weights import inference
from workbench.weights.checkpoint import Checkpoint, resolve_class

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
class Launder(GradedAttack):
    """Paint a picture anew with a candidate model: img2img at strength = intensity / 100.

    SDEdit (Meng et al. 2022, arXiv:2108.01073): the latents are noised to the part `strength` of
    the way and denoised from there, in as many steps as the row takes for a whole picture, so that
    few steps do not make the strength coarse. Even the weakest laundering goes through the model's
    autoencoder; at 100 little but the prompt is left. With the empty prompt there is no guidance,
    else the row's. A picture goes to the model's native size first (shorter side, bicubic), and
    stays there.

    >>> Launder(Checkpoint("pocket-sd", "generator", "", "/weights",
    ...                    class_name="diffusers.StableDiffusionPipeline"), intensity=30)
    Launder("pocket-sd", intensity=30)
    """

    checkpoint: Checkpoint
    intensity: float = 50
    prompt: str = ""
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._kind() not in PAINTERS:
            raise ValueError(
                f"{self.checkpoint.name!r}, a {self._kind() or 'model of no named class'}, does "
                f"not paint pictures anew; rows of these classes do: {', '.join(PAINTERS)}"
            )

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the RGB image at the model's native size; the seed is drawn from `rng`.

        Raises LookupError for missing weights, ValueError where no picture comes out.
        """
        import numpy as np
        import torch
        from PIL import Image
        from PIL.Image import Resampling

        pipe = self._painter()
        seed = int(rng.integers(2**48, 2**63))  # candidates and queries have 48 bits

        def paint(some: list[Image.Image]) -> list[tuple[Any, bool]]:
            output = pipe(
                prompt=[self.prompt],
                image=some,
                generator=[torch.Generator("cpu").manual_seed(seed)],
                output_type="np",
                **self._settings(pipe.scheduler.config.num_train_timesteps),
            )
            flags = getattr(output, "nsfw_content_detected", None) or [False]
            return list(zip(output.images, map(bool, flags), strict=True))

        scale = self.checkpoint.size / min(image.size)
        width, height = (round(side * scale / MULTIPLE) * MULTIPLE for side in image.size)
        native = image.resize((width, height), Resampling.BICUBIC)
        ((array, flagged),) = inference.run_batched(paint, [native], self.checkpoint, batch=1)
        if flagged:
            raise ValueError("the model's safety checker blacked the picture")
        if not np.isfinite(array).all():
            raise ValueError("the picture holds values that are not numbers")
        return Image.fromarray((array * 255).round().clip(0, 255).astype(np.uint8))

    def _kind(self) -> str:
        return self.checkpoint.class_name.rpartition(".")[2]

    def _settings(self, finest: int = 1000) -> dict[str, Any]:
        """Choose the arguments of the call; the whole way has at most `finest` steps.

        diffusers takes ⌊steps · strength⌋ of the steps: the half keeps that from one too few.
        """
        steps, strength = self.checkpoint.option("steps", 50), self.intensity / 100
        whole = min(round(steps / strength), finest)
        taken = max(min(steps, round(whole * strength)), 1)
        guidance = self.checkpoint.option("guidance") if self.prompt else 1.0
        settings = {"guidance_scale": guidance} if guidance is not None else {}
        return settings | {
            "strength": min((taken + 0.5) / whole, 1.0),
            "num_inference_steps": whole,
        }

    def _painter(self) -> Any:
        """Return the img2img pipeline of the loaded weights, with a scheduler of its own."""
        (pipe,) = Diffusers(self.checkpoint).loaded()
        parts = dict(pipe.components)
        parts["scheduler"] = type(pipe.scheduler).from_config(pipe.scheduler.config)
        kind: Any = resolve_class(f"diffusers.{PAINTERS[self._kind()]}")
        painter = kind(**parts, **{name: pipe.config[name] for name in SWITCHES & {*pipe.config}})
        if hasattr(painter, "watermark"):  # an installed extra must not change pictures
            painter.watermark = None
        painter.set_progress_bar_config(disable=True)
        return painter
