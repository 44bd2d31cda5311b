"""Any vision transformer or convolutional network of timm, any layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.encoders import Layered, check_layers, count_blocks, in_layers
from workbench.weights import device, loading
from workbench.weights.checkpoint import Checkpoint, locate
from workbench.weights.repository import PICKLES, digest_of
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True, repr=False)
class Timm(Layered):
    """Encode with a network of timm (Wightman 2019, doi:10.5281/zenodo.4414861).

    `layer=None` is the pooled feature before the classifier. Of a vision transformer `layer=l` in
    1 … L is taken after block l, before the final norm; of a convolutional network after stage l
    (its `blocks`, `stages`, or `layer1` … `layer4`). `pooling`: "cls" is the CLS token; "mean" the
    mean over the patch tokens, or over the positions of a feature map; "moments" that mean and the
    standard deviation, side by side, (N, 2·D): the statistics of style of Huang & Belongie 2017
    (arXiv:1703.06868).

    The row's source is a folder or a hub id with config.json and model.safetensors; or a folder
    with one pickle, which the row allows and pins by the option sha256, whose tensors stand in the
    order and shapes of the option `architecture`. The options `input_size` (pixels a side) and
    `crop_pct` replace those that timm knows of the weights.

    >>> Timm(Checkpoint("vit-base", "encoder", "", "/weights"), pooling="mean")
    Timm("vit-base", pooling="mean")
    """

    checkpoint: Checkpoint
    layer: int | None = None
    pooling: str = "cls"
    revision: ClassVar[int] = 1
    POOLINGS: ClassVar[tuple[str, ...]] = ("cls", "mean", "moments")

    def depth(self) -> int:
        """Count the blocks or stages L of the model."""
        model = loading.load_weights(self.checkpoint, _load)[0]
        return len(_stages(model)) or count_blocks(model, self.checkpoint)

    def layers(
        self, images: Sequence[Image], layers: Sequence[int | None]
    ) -> dict[int | None, np.ndarray]:
        """Return {layer: (N, D) float32 unit rows} from one pass, pooled as this encoder pools."""
        import torch

        model, preprocess = loading.load_weights(self.checkpoint, _load)
        check_layers(self.checkpoint, layers, self.depth())

        def forward(chunk: list[Image], wanted: list[int | None]) -> dict[int | None, Any]:
            pixels = torch.stack([preprocess(image) for image in chunk])
            pixels = pixels.to(device.kind(), device.dtype(self.checkpoint))
            blocks = [layer for layer in wanted if layer is not None]
            walk = _maps if _stages(model) else _tokens
            last, outputs = walk(model, pixels, blocks)
            read = {block: self._read(*outputs[block]) for block in blocks}
            head = {None: model.forward_head(last, pre_logits=True)}
            return read | (head if None in wanted else {})

        return in_layers(forward, images, layers, self.checkpoint, alone=True)

    def _read(self, patches: Any, before: Any) -> Any:
        """Reduce what stands at T positions (B, T, D), and the tokens before them, to (B, D)."""
        import torch

        if self.pooling == "mean":
            return patches.mean(dim=1)
        if self.pooling == "moments":
            patches = patches.float()
            deviation = patches.std(dim=1, correction=0)
            return torch.cat([patches.mean(dim=1), deviation], dim=1)
        if before is None or not before.shape[1]:
            raise ValueError(f'{self.checkpoint.name!r} has no CLS token; use pooling="mean"')
        return before[:, 0]


def _stages(model: Any) -> list[Any]:
    """Return the stages of a convolutional network; [] of a vision transformer or anything else."""
    if hasattr(model, "num_prefix_tokens"):
        return []
    for name in ("blocks", "stages"):
        if hasattr(model, name):
            return list(getattr(model, name))
    layers = [f"layer{i}" for i in range(1, 5)]
    return [getattr(model, x) for x in layers] if all(hasattr(model, x) for x in layers) else []


def _maps(model: Any, pixels: Any, stages: list[int]) -> tuple[Any, dict[int, Any]]:
    """Run a convolutional network: its last map, and those after stages, each (B, T, D)."""
    outputs: dict[int, Any] = {}

    def keep(stage: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            outputs[stage] = output.flatten(2).transpose(1, 2), None

        return hook

    modules = _stages(model)
    hooks = [modules[stage - 1].register_forward_hook(keep(stage)) for stage in stages]
    try:
        return model.forward_features(pixels), outputs
    finally:
        for hook in hooks:
            hook.remove()


def _tokens(model: Any, pixels: Any, blocks: list[int]) -> tuple[Any, dict[int, Any]]:
    """Run a vision transformer: its last tokens, and the patch and prefix tokens after blocks."""
    last, outputs = model.forward_intermediates(
        pixels,
        indices=[block - 1 for block in blocks] or [0],
        return_prefix_tokens=True,
        output_fmt="NLC",
    )
    order = sorted(blocks)  # timm answers in the order of the model
    return last, {block: outputs[order.index(block)] for block in blocks}


def _load(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Load the model, ready to infer, and its own preprocessing of one image."""
    import timm
    from timm import data

    safe_loader_kwargs(checkpoint)
    folder = Path(locate(checkpoint))
    absent = [name for name in FILES if not (folder / name).is_file()]
    if checkpoint.option("architecture") and len(absent) == len(FILES):
        model = _in_order(checkpoint, folder)
    elif absent:
        raise LookupError(f"no {absent[0]} in the folder {folder} of {checkpoint.name!r}")
    else:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    settings = data.resolve_model_data_config(model)
    if side := checkpoint.option("input_size"):
        settings["input_size"] = (3, side, side)
    settings["crop_pct"] = checkpoint.option("crop_pct", settings["crop_pct"])
    preprocess = data.create_transform(**settings, is_training=False)
    model = model.to(device.kind(), device.dtype(checkpoint)).eval()
    return model, preprocess


def _in_order(checkpoint: Checkpoint, folder: Path) -> Any:
    """Build the row's architecture, and fill it with tensors of other names in the same order.

    Raises ValueError where the file is not the one that the row pins, or a tensor does not fit.
    """
    import timm
    import torch

    files = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
    pinned = checkpoint.option("sha256")
    if [digest_of(path, "") for path in files] != [pinned]:
        raise ValueError(f"the folder does not hold the one file of sha256 {pinned}")
    tensors = torch.load(files[0], map_location="cpu", weights_only=True)
    with torch.device("meta"):  # no weights are drawn, only to be replaced
        model = timm.create_model(checkpoint.option("architecture"), pretrained=False)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if list(shapes.values()) != [tensor.shape for tensor in tensors.values()]:
        raise ValueError(f"the tensors of {files[0].name} are not those of the architecture")
    model.load_state_dict(dict(zip(shapes, tensors.values(), strict=True)), assign=True)
    return model
