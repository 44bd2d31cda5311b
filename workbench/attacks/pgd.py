"""Projected gradient descent against an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import images
from workbench.attacks import GradedAttack
from workbench.encoders import Encoder
from workbench.weights import inference

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

LEVELS = 16
"""Grey levels of 255 that every value may change by at intensity 100."""


@dataclass(frozen=True, repr=False)
class PGD(GradedAttack):
    """Push a picture's features away from its own, unseen: PGD, Madry et al. (arXiv:1706.06083).

    Untargeted and white-box: maximise ‖φ(x + δ) − φ(x)‖² over ‖δ‖∞ ≤ ε = intensity / 100 · 16/255
    by `steps` steps δ ← Π(δ + α · sign ∇), α = 2.5 ε / steps, from a start drawn evenly from the
    ball. x + δ is held within 0 … 1 and rounded to 8 bits inside the ball, so that below intensity
    6.25, where ε is less than a grey level, nothing changes. The intensities 25, 50 and 100 are the
    ε of 4, 8 and 16 grey levels of the literature.

    `encoder` needs `differentiable(pixels)`, as OpenClip has. The picture is attacked at its own
    size, through the encoder's own preprocessing. Evaluate with another layer or encoder to see
    whether the attack transfers.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> PGD(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4), intensity=25)
    PGD(OpenClip("pocket-clip", layer=4), intensity=25)
    """

    encoder: Encoder
    intensity: float = 50
    steps: int = 10
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise ValueError(f"PGD takes at least 1 step; seen {self.steps}")
        if not hasattr(self.encoder, "differentiable"):
            raise ValueError(
                "PGD needs gradients, so an encoder with differentiable(pixels), as OpenClip has; "
                f"{self.encoder!r} has none"
            )

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the attacked RGB image, of the same size; the start is drawn from `rng`.

        Raises what the encoder raises: LookupError for missing weights, ValueError for a layer the
        model lacks.
        """
        import numpy as np
        from PIL import Image

        levels = self.intensity / 100 * LEVELS
        start = rng.uniform(-levels, levels, (image.height, image.width, 3)) / 255
        delta = self._ascend(images.array(image), start.astype(np.float32), levels / 255)
        change = (delta * 255).round().clip(-int(levels), int(levels))
        pixels = np.asarray(image, np.float32) + change
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    def _ascend(self, clean: np.ndarray, start: np.ndarray, epsilon: float) -> np.ndarray:
        """Return δ, (H, W, 3) float32, after all steps, in a fixed number of threads."""
        import torch

        encode: Any = self.encoder.differentiable  # type: ignore[attr-defined]
        threads = getattr(getattr(self.encoder, "checkpoint", None), "threads", 2)
        with (
            inference.fixed_threads(threads),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            x, delta = (torch.tensor(a).permute(2, 0, 1)[None] for a in (clean, start))
            features = encode(x).detach()
            for _ in range(self.steps):
                delta = ((x + delta).clamp(0, 1) - x).requires_grad_()
                distance = (encode(x + delta) - features).square().sum()
                (gradient,) = torch.autograd.grad(distance, delta)
                delta = delta.detach() + 2.5 * epsilon / self.steps * gradient.sign()
                delta = delta.clamp(-epsilon, epsilon)
            return delta[0].permute(1, 2, 0).numpy()
