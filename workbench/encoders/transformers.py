"""Any vision tower of transformers, any layer: DINOv2, DINOv3, SigLIP, CLIP …"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.encoders import Layered, check_layers, in_layers
from workbench.weights import device, loading
from workbench.weights.checkpoint import Checkpoint, locate, resolve_class
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Transformers(Layered):
    """Encode with a vision tower of transformers, such as DINOv2 (Oquab et al. 2023,
    arXiv:2304.07193).

    `layer=None` is the model's own pooled output (DINOv2: the CLS token after the final norm);
    `layer=l` in 1 … L is taken after block l, before the final norm: the CLS token, or with
    `pooling="mean"` the mean of the patch tokens, registers left out. It has no text tower.

    >>> Transformers(Checkpoint("dinov2-base", "encoder", "", "/weights"), layer=4)
    Transformers("dinov2-base", layer=4)
    """

    checkpoint: Checkpoint
    layer: int | None = None
    pooling: str = "cls"
    revision: ClassVar[int] = 1

    def depth(self) -> int:
        """Count the blocks L of the tower."""
        return int(loading.load_weights(self.checkpoint, _load)[0].config.num_hidden_layers)

    def layers(
        self, images: Sequence[Image], layers: Sequence[int | None]
    ) -> dict[int | None, np.ndarray]:
        """Return {layer: (N, D) float32 unit rows} from one pass, pooled as this encoder pools."""
        tower, processor = loading.load_weights(self.checkpoint, _load)
        check_layers(self.checkpoint, layers, self.depth())

        def forward(chunk: list[Image], wanted: list[int | None]) -> dict[int | None, Any]:
            pixels = processor(images=chunk, return_tensors="pt")["pixel_values"]
            pixels = pixels.to(device.kind(), device.dtype(self.checkpoint))
            output = tower(pixels, output_hidden_states=True)
            return {x: self._read(output, x, tower) for x in wanted}

        return in_layers(forward, images, layers, self.checkpoint, alone=True)

    def _read(self, output: Any, layer: int | None, tower: Any) -> Any:
        """Reduce the tokens (B, T, D) of a block to (B, D)."""
        if layer is None:
            return output.pooler_output
        tokens, first = output.hidden_states[layer], _before_patches(tower)
        if self.pooling == "mean":
            return tokens[:, first:].mean(dim=1)
        if not first:
            raise ValueError(f'{self.checkpoint.name!r} has no CLS token; use pooling="mean"')
        return tokens[:, 0]


def _before_patches(tower: Any) -> int:
    """Count the tokens before the patches: CLS, distillation, registers; 0 without a CLS."""
    own = any(hasattr(tower.embeddings, name) for name in ("cls_token", "class_embedding"))
    others = int(getattr(tower.config, "num_register_tokens", 0))
    others += hasattr(tower.embeddings, "distillation_token")
    return 1 + others if own else 0


def _load(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Load the tower, ready to infer, and its processor of images."""
    from transformers import AutoImageProcessor

    source, arguments = locate(checkpoint), safe_loader_kwargs(checkpoint)
    kind: Any = resolve_class(checkpoint.class_name or "transformers.AutoModel")
    model = kind.from_pretrained(source, dtype=device.dtype(checkpoint), **arguments)
    arguments.pop("use_safetensors")
    processor = AutoImageProcessor.from_pretrained(source, **arguments)
    model = getattr(model, "vision_model", model)  # of a model that reads captions too
    return model.to(device.kind()).eval(), processor
