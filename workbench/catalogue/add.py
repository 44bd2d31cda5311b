"""Derive the catalogue row of a new checkpoint from its own configs.

Of a hub id its small files are asked for, and only because a user gave the command.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.catalogue import download, hub
from workbench.paths import from_home
from workbench.weights import memory
from workbench.weights.checkpoint import check_parts, pipeline_class
from workbench.weights.repository import (
    INDEX,
    SAFE,
    VARIANTS,
    File,
    Repository,
    components,
    files_to_load,
    variant_for,
    variant_of,
)

WITH_A_PICTURE = "SuperResolution|Upscale|Img2Img|Inpaint"
"""In the names of classes that start from a picture, though their call has a default for it."""
PLUGINS = {
    # a class that a config of transformers names: its role and plug-in
    "BlipForConditionalGeneration": ("inverter", "workbench.inverters.blip.Blip"),
    "Blip2ForConditionalGeneration": ("inverter", "workbench.inverters.captioner.Captioner"),
    "GitForCausalLM": ("inverter", "workbench.inverters.captioner.Captioner"),
    "Kosmos2ForConditionalGeneration": ("inverter", "workbench.inverters.captioner.Captioner"),
    "Florence2ForConditionalGeneration": ("inverter", "workbench.inverters.captioner.Captioner"),
    "Dinov2Model": ("encoder", "workbench.encoders.transformers.Transformers"),
    "Dinov2WithRegistersModel": ("encoder", "workbench.encoders.transformers.Transformers"),
}
NUMBERS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What safetensors call the dtypes of a row."""
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
BYTES |= {name: BYTES[kind] for kind, name in NUMBERS.items()}
DIFFUSERS = "workbench.generators.diffusers.Diffusers"
TIMM = "workbench.encoders.timm.Timm"
OPEN_CLIP = "workbench.encoders.open_clip.OpenClip"
CHAT = "workbench.inverters.chat.Chat"
OPEN_CLIP_FILES = (
    *("open_clip_model.safetensors", "open_clip_config.json"),
    *("*token*", "vocab*", "merges*"),
)


@dataclass(frozen=True)
class _Source:
    """A folder or a repository that becomes a row, or a stage of one, and its configs by name."""

    name: str
    read: Mapping[str, Any]
    place: Repository | None = None


def row_of(*sources: str, **given: Any) -> tuple[str, dict[str, Any]]:
    """Return the row of a new checkpoint, its role and its fields, derived from its configs.

    Args:
        *sources: a folder, or a hub id (org/name), whose small files are asked for; of a cascade
            all that make a picture one after the other, in order. A prior that a decoder's card
            names need not be.
        **given: fields that go before what is found: ``size``, ``dtype``, ``options`` …

    Raises:
        LookupError: there is no such folder or repository.
        ValueError: no class of ours reads it, its native size is not told by its configs, or it is
            part of a cascade.
    """
    parts = [_source(name) for name in sources]
    if len(parts) == 1 and parts[0].place and _needed(parts[0]) and parts[0].place.prior:
        parts.insert(0, _source(parts[0].place.prior))
    role, fields = _kind(parts[0].read, parts[0].name)
    if role == "generator":
        _check_cascade(parts)
    elif len(parts) > 1:
        raise ValueError(f"{parts[0].name} is no generator, and stages are of a generator alone")
    if size := _size(parts[-1].read):
        fields["size"] = size
    fields |= _weights(parts, role, given.get("dtype"))
    fields = {**fields, **{name: value for name, value in given.items() if value is not None}}
    if "size" not in fields:
        raise ValueError(
            f"the native size of {sources[-1]} is not told by its configs; give --size"
        )
    return role, {**_where(parts), **fields}


def _source(name: str) -> _Source:
    """Read the configs of a folder, or of a repository."""
    folder = from_home(name)
    if folder.is_dir():
        configs = {x.name: x for x in folder.glob("*.json")}
        configs |= {x.relative_to(folder).as_posix(): x for x in folder.glob("*/config.json")}
        if not configs and (stages := sorted(x.parent for x in folder.glob(f"*/{INDEX}"))):
            raise ValueError(
                f"{name} holds a cascade: name the folders of its stages in their order, such as "
                f"`workbench zoo add {' '.join(map(str, stages))}`"
            )
        return _Source(
            str(folder.resolve()), {x: download.read_config(path) for x, path in configs.items()}
        )
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise LookupError(f"no folder {name!r} here, and it is no hub id such as org/name")
    place = hub.listing(name)
    names = [f for f in place.files if f.name.endswith("config.json") or f.name == INDEX]
    read = {
        f.name: download.read_config(hub.fetch(place, f)) for f in names if f.name.count("/") < 2
    }
    return _Source(name, read, place)


def _where(parts: Sequence[_Source]) -> dict[str, Any]:
    """Return the fields of a row that locate its weights, and its stages."""
    names = [part.name for part in parts]
    places = [part.place for part in parts if part.place]
    if len(places) not in (0, len(parts)) or (not places and len({*map(_above, names)}) > 1):
        raise ValueError(
            "the stages of a cascade are hub ids alone, or folders of one folder; seen "
            + ", ".join(names)
        )
    if not places:
        if len(names) == 1:
            return {"source": names[0]}
        return {"source": _above(names[0]), "stages": [Path(name).name for name in names]}
    licence = ", ".join(dict.fromkeys(place.licence for place in places if place.licence))
    stages = {"stages": names} if len(names) > 1 else {}
    gated = any(place.gated for place in places)
    where = {"source": names[-1], "revision": "", "gated": gated}  # a download pins it
    return {**where, "licence": licence, **stages}


def _weights(parts: Sequence[_Source], role: str, dtype: str | None) -> dict[str, Any]:
    """Return the fields dtype, memory and largest: from the heads and sizes of the files.

    The dtype, where none is given, is that of the file that is the largest; of float32 files a
    generator's is the one that a variant of them has, else bfloat16, which has their range.
    """
    safe = [[file for file in _files(part) if file.name.endswith(SAFE)] for part in parts]
    if not any(safe):
        return {"dtype": dtype} if dtype else {}
    pairs = [(file, part) for part, files in zip(parts, safe, strict=True) for file in files]
    plain = [pair for pair in pairs if not variant_of(pair[0].name)] or pairs
    most, owner = max(plain, key=lambda pair: pair[0].size)
    kind = NUMBERS.get(_numbers(owner, most), "")
    if not dtype and kind in ("float32", "") and role == "generator":
        names = [file.name for file, _ in pairs]
        dtype = next((x for x in VARIANTS if variant_for(names, x)), "bfloat16")
    dtype = dtype or kind or "float32"
    sizes: dict[tuple[int, str], float] = {}
    for place, (part, files) in enumerate(zip(parts, safe, strict=True)):
        read = _components(part, later=place > 0)
        variant = download.variant_of_parts(files, read, dtype)
        by_part: dict[str, list[File]] = {}
        with contextlib.suppress(ValueError):  # variants alone: the download tells which
            for file in files_to_load(files, variant=variant, parts=read):
                by_part.setdefault(file.name.rpartition("/")[0], []).append(file)
        for name, some in by_part.items():
            each = BYTES.get(_numbers(part, some[0]), BYTES[dtype])
            sizes[place, name] = sum(file.size for file in some) * BYTES[dtype] / each / 2**30
    return {
        "dtype": dtype,
        "memory": float(f"{sum(sizes.values()):.4g}"),
        "largest": float(f"{max(sizes.values(), default=0.0):.4g}"),
    }


def _files(part: _Source) -> list[File]:
    """Return the files of a source that its loader may read."""
    if part.place:
        files = list(part.place.files)
    else:
        folder = Path(part.name)
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = [File(x.relative_to(folder).as_posix(), x.stat().st_size, "") for x in paths]
    read = _components(part, later=False)
    return [f for f in files if read is None or f.name.partition("/")[0] in read]


def _components(part: _Source, later: bool) -> set[str] | None:
    return components(part.read[INDEX], later) if INDEX in part.read else None


def _numbers(part: _Source, file: File) -> str:
    """Return what a safetensors file calls the dtype of most of its numbers; "" for a damaged."""
    if part.place:
        return hub.numbers(part.place, file)
    return memory.numbers_of(Path(part.name) / file.name)


def _above(folder: str) -> str:
    return str(Path(folder).parent)


def _check_cascade(parts: Sequence[_Source]) -> None:
    """Raise ValueError unless the first stage needs no other, and the last makes a picture."""
    from workbench.generators.diffusers import PRIORS

    last = str(parts[-1].read.get(INDEX, {}).get("_class_name"))
    how = "name all of its stages in their order: `workbench zoo add"
    if last in PRIORS:
        raise ValueError(
            f"{parts[-1].name} makes no picture, it is a {last}; {how} {parts[-1].name} DECODER`"
        )
    if needed := _needed(parts[0]):
        raise ValueError(
            f"{parts[0].name} cannot run by itself, it needs {needed}; {how} FIRST {parts[0].name}`"
        )
    first: Any = pipeline_class(parts[0].read[INDEX].get("_class_name"))
    if "prompt" not in inspect.signature(first.__call__).parameters:
        raise ValueError(f"{parts[0].name} takes no prompt: it is a {first.__name__}")


def _needed(part: _Source) -> str:
    """Return what a pipeline requires beside a prompt, such as an earlier stage's image."""
    if INDEX not in part.read:
        return ""
    kind: Any = pipeline_class(part.read[INDEX].get("_class_name"))
    check_parts(part.read[INDEX])
    call = list(inspect.signature(kind.__call__).parameters.values())[1:]
    named = [argument for argument in call if argument.kind is argument.POSITIONAL_OR_KEYWORD]
    required = [argument.name for argument in named if argument.default is argument.empty]
    needed = [name for name in required if name != "prompt"]
    return ", ".join(needed) or ("image" if re.search(WITH_A_PICTURE, kind.__name__) else "")


def _kind(read: Mapping[str, Any], source: str) -> tuple[str, dict[str, Any]]:
    """Return role, plug-in and class, from the configs at the top of the folder."""
    if INDEX in read:
        name = str(read[INDEX].get("_class_name", ""))
        return "generator", {"plugin": DIFFUSERS, "class": f"diffusers.{name}", "batch": 1}
    if "open_clip_config.json" in read:
        fields = {"plugin": OPEN_CLIP, "class": "open_clip.CLIP", "files": list(OPEN_CLIP_FILES)}
        return "encoder", fields
    config = read.get("config.json", {})
    if "architecture" in config and "pretrained_cfg" in config:
        return "encoder", {"plugin": TIMM, "batch": 1}
    names = config.get("architectures") or []
    names = list(map(str, names if isinstance(names, list) else [names]))
    for name in names:
        if name in PLUGINS:
            role, plugin = PLUGINS[name]
            return role, {"plugin": plugin, "class": f"transformers.{name}"}
        seeing = "vision_config" in config and name.endswith("ForConditionalGeneration")
        if seeing and name.isidentifier():
            return "inverter", {"plugin": CHAT, "class": f"transformers.{name}", "batch": 1}
    raise ValueError(
        f"{source} is no checkpoint we know how to read (its configs name: "
        f"{', '.join(names) or 'no class'}); there are: pipelines of diffusers (model_index.json), "
        "encoders of open_clip and timm, DINOv2, and captioners and chat models of transformers"
    )


def _size(read: Mapping[str, Any]) -> int:
    """Return the native side in pixels from the configs; 0 where none states it."""
    for name in ("unet/config.json", "transformer/config.json", "prior/config.json"):
        side = read.get(name, {}).get("sample_size")
        if isinstance(side, int) and side > 0:
            makers = (f"{name}/config.json" for name in ("vae", "vqvae", "movq"))
            blocks: Any = next((read[name] for name in makers if name in read), {})
            blocks = blocks.get("block_out_channels") or blocks.get("encoder_block_out_channels")
            return side * 2 ** (len(blocks) - 1) if isinstance(blocks, list) and blocks else side
    top, clip = read.get("config.json", {}), read.get("open_clip_config.json", {})
    data = _inside(top, "pretrained_cfg", "input_size")
    sides = [top.get("image_size"), _inside(top, "vision_config", "image_size")]
    sides += [_inside(clip, "model_cfg", "vision_cfg", "image_size")]
    sides += data[-1:] if isinstance(data, list) else []
    return next((side for side in sides if isinstance(side, int) and side > 0), 0)


def _inside(config: Any, *path: str) -> Any:
    """Return a value nested in tables of a config; None where it is not there."""
    for name in path:
        config = config.get(name) if isinstance(config, dict) else None
    return config
