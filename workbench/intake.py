"""Taking checkpoints in: what a download would fetch, fetching it, and the row of a new one.

`plan`, `download` and, of a hub id, `row_of` go to the network, and only because a user gave the
command.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from workbench import catalogue, checkpoints, hub, tables
from workbench.checkpoints import Checkpoint
from workbench.hub import INDEX, SUMS, File, Repository

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
DIFFUSERS = "workbench.generators.diffusers.Diffusers"
TIMM = "workbench.encoders.timm.Timm"
OPEN_CLIP = "workbench.encoders.open_clip.OpenClip"
CHAT = "workbench.inverters.chat.Chat"
OPEN_CLIP_FILES = (
    *("open_clip_model.safetensors", "open_clip_config.json"),
    *("*token*", "vocab*", "merges*"),
)


@dataclass(frozen=True)
class Plan:
    """What a download of a row fetches: files of repositories, or of plain addresses."""

    row: Checkpoint
    repositories: tuple[Repository, ...] = ()
    files: tuple[tuple[File, ...], ...] = ()

    @property
    def left(self) -> int:
        """Bytes that are not here yet."""
        places = zip(self.repositories, self.files, strict=True)
        return sum(self.left_of(place, files) for place, files in places)

    def left_of(self, place: Repository, files: Sequence[File]) -> int:
        """Count the bytes of some files of one of the repositories that are not here yet."""
        return sum(
            hub.left(place, file)
            if place.commit
            else hub.left_of(_place(self.row, place) / file.name, file.size)
            for file in files
        )


def plan(row: Checkpoint, revision: str = "") -> Plan:
    """Ask what a download of a row would fetch.

    Raises LookupError: not on the hub, not for you, or nothing to fetch. ValueError: pickles only,
    and the row does not allow them, or a row that leads elsewhere. OSError: no network.
    """
    if row.status == "withdrawn":
        raise LookupError(f"{row.name!r} was withdrawn by its owner: nobody can fetch it any more")
    if "://" in row.source:
        if revision:
            raise ValueError(f"{row.name!r} lies at an address without commits: no --revision")
        if not row.files or not row.source.startswith(("https://", "http://")):
            raise ValueError(
                f"{row.name!r} lies at an address: it begins with https://, and files of the row "
                f"names what to fetch there; seen {row.source}, {len(row.files)} files"
            )
        for name in (row.name, *row.files):
            if Path(name).name != name or name.startswith("."):
                raise ValueError(f"{name!r} leads elsewhere: nothing of {row.name!r} is fetched")
        there = tuple(File(x, hub.size_of_url(f"{row.source}/{x}"), "") for x in row.files)
        return Plan(row, (Repository(row.source, "", there),), (there,))
    if revision and len(row.repositories) > 1:
        raise ValueError(
            f"{row.name!r} has {len(row.repositories)} repositories, and --revision names the "
            "commit of one: leave it out"
        )
    if not row.repositories:
        raise LookupError(f"{row.name!r} is no checkpoint of a hub: there is nothing to fetch")
    places = tuple(hub.listing(x, revision or row.commit(x)) for x in row.repositories)
    variant = str(row.option("variant", ""))
    chosen: list[tuple[File, ...]] = []
    for place in places:
        files = [f for f in place.files if any(fnmatch(f.name, x) for x in row.files or ("*",))]
        index = next((_json(hub.fetch(place, f)) for f in files if f.name == INDEX), None)
        parts = None if index is None else hub.components(index, later=bool(chosen))
        how = row.allow_pickle, variant, row.remote_code, parts
        try:
            chosen.append(tuple(hub.wanted(files, *how)))
        except ValueError as error:
            raise ValueError(f"{row.name}: {error}") from error
        if not any(f.name.endswith(hub.SAFE + hub.PICKLES) for f in chosen[-1]):
            raise LookupError(
                f"{place.id} holds no weights for {row.name!r}: of its {len(place.files)} files "
                f"{len(files)} are asked for, and none is a .safetensors that a loader would read"
            )
    return Plan(row, places, tuple(chosen))


def room_for(plans: Sequence[Plan]) -> None:
    """Raise OSError where the disk has no room for all that is still to fetch, or nothing is kept.

    The hub's cache and the user's folder are each held to the whole: they often share a disk.
    """
    left = sum(plan.left for plan in plans)
    hub.room_for(tables.user_folder(), 0)
    for folder in {_place(plan.row, place) for plan in plans for place in plan.repositories}:
        hub.room_for(folder, left)


def download(plan: Plan, tick: Callable[[int], None] = lambda count: None) -> Path:
    """Fetch what is missing, check it, and pin the row; answer the file that says so.

    `tick` is called with the bytes of each step. Raises what `hub.fetch` does.
    """
    row = plan.row
    for place, files in zip(plan.repositories, plan.files, strict=True):
        if place.commit:
            hub.note(place, files, checkpoints.wants(row))
        for file in files:
            if place.commit:
                hub.fetch(place, file, tick)
            elif not (path := _place(row, place) / file.name).exists():
                hub.fetch_url(f"{place.id}/{file.name}", path, file.size, tick)
    if all(place.commit for place in plan.repositories):
        pin = " ".join(place.commit for place in plan.repositories)
        return tables.write(_table(row), row.name, {"revision": pin})
    (place,), (files,) = plan.repositories, plan.files
    folder = _place(row, place)
    sums = [f"{hub.digest_of(folder / file.name, '')}  {file.name}\n" for file in files]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    return folder / SUMS


def settled(row: Checkpoint) -> bool:
    """Tell whether all that a row wants is known to be here, without asking anybody."""
    if row.hosted or not checkpoints.here(row):
        return row.hosted
    wanted = checkpoints.wants(row)
    return all(hub.whole(x, row.commit(x), wanted) for x in row.repositories)


def fault(row: Checkpoint) -> str | None:
    """Find a file of downloaded weights that is not what was fetched; None when all are."""
    wrong: list[Path] = []
    for repository in row.repositories:
        if commit := row.commit(repository):
            wrong += hub.faults(hub.snapshot(repository, commit))
    if row.folder is not None:
        for name, digest in hub.summed(row.folder).items():
            if hub.digest_of(row.folder / name, digest) != digest:
                wrong.append(row.folder / name)
    if not wrong:
        return None
    return (
        f"the file {wrong[0].name} is not what was fetched, or gone: delete {wrong[0].resolve()}, "
        f"then `workbench zoo download {row.name}` fetches it again"
    )


@dataclass(frozen=True)
class _Source:
    """A folder or a repository that becomes a row, or a stage of one, and its configs by name."""

    name: str
    read: Mapping[str, Any]
    place: Repository | None = None


def row_of(*sources: str, **given: Any) -> tuple[str, dict[str, Any]]:
    """Write the row of a new checkpoint: its role, and its fields, told by its own configs.

    Args:
        *sources: a folder, or a hub id (org/name), whose small files are asked for; of a cascade
            all that make a picture one after the other, in order. A prior that a decoder's card
            names need not be.
        **given: fields that go before what is found: ``size``, ``class``, ``options`` …

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
    fields = {**fields, **{name: value for name, value in given.items() if value is not None}}
    if "size" not in fields:
        raise ValueError(
            f"the native size of {sources[-1]} is not told by its configs; give --size"
        )
    return role, {**_where(parts), **fields}


def _source(name: str) -> _Source:
    """Read the configs of a folder, or of a repository."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        configs = {x.name: x for x in folder.glob("*.json")}
        configs |= {x.relative_to(folder).as_posix(): x for x in folder.glob("*/config.json")}
        if not configs and (stages := sorted(x.parent for x in folder.glob(f"*/{INDEX}"))):
            raise ValueError(
                f"{name} holds a cascade: name the folders of its stages in their order, such as "
                f"`workbench zoo add {' '.join(map(str, stages))}`"
            )
        return _Source(str(folder.resolve()), {x: _json(path) for x, path in configs.items()})
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise LookupError(f"no folder {name!r} here, and it is no hub id such as org/name")
    place = hub.listing(name)
    names = [f for f in place.files if f.name.endswith("config.json") or f.name == INDEX]
    read = {f.name: _json(hub.fetch(place, f)) for f in names if f.name.count("/") < 2}
    return _Source(name, read, place)


def _where(parts: Sequence[_Source]) -> dict[str, Any]:
    """Tell where the weights of a row lie, and its stages."""
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
    first: Any = checkpoints.resolve_class(f"diffusers.{parts[0].read[INDEX]['_class_name']}")
    if "prompt" not in inspect.signature(first.__call__).parameters:
        raise ValueError(f"{parts[0].name} takes no prompt: it is a {first.__name__}")


def _needed(part: _Source) -> str:
    """Name what a pipeline's call needs beside a prompt, such as the picture of a stage before."""
    if INDEX not in part.read:
        return ""
    name = str(part.read[INDEX].get("_class_name", ""))
    kind: Any = checkpoints.resolve_class(f"diffusers.{name}")
    call = list(inspect.signature(kind.__call__).parameters.values())[1:]
    call = [each for each in call if each.kind is each.POSITIONAL_OR_KEYWORD]
    needed = [each.name for each in call if each.default is each.empty and each.name != "prompt"]
    return ", ".join(needed) or ("image" if re.search(WITH_A_PICTURE, name) else "")


def _kind(read: Mapping[str, Any], source: str) -> tuple[str, dict[str, Any]]:
    """Tell role, plug-in and class by the configs that lie at the top."""
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
        if "vision_config" in config and name.endswith("ForConditionalGeneration"):
            return "inverter", {"plugin": CHAT, "class": f"transformers.{name}", "batch": 1}
    raise ValueError(
        f"{source} is no checkpoint we know how to read (its configs name: "
        f"{', '.join(names) or 'no class'}); there are: pipelines of diffusers (model_index.json), "
        "encoders of open_clip and timm, DINOv2, and captioners and chat models of transformers"
    )


def _size(read: Mapping[str, Any]) -> int:
    """Find the native side in pixels in the configs; 0 where none tells it."""
    for name in ("unet/config.json", "transformer/config.json", "prior/config.json"):
        side = read.get(name, {}).get("sample_size")
        if isinstance(side, int) and side > 0:
            makers = (f"{name}/config.json" for name in ("vae", "vqvae", "movq"))
            blocks: Any = next((read[name] for name in makers if name in read), {})
            blocks = blocks.get("block_out_channels") or blocks.get("encoder_block_out_channels")
            return side * 2 ** (len(blocks) - 1) if isinstance(blocks, list) and blocks else side
    top, clip = read.get("config.json", {}), read.get("open_clip_config.json", {})
    data = _inside(top, "pretrained_cfg", "input_size")
    found = [top.get("image_size"), _inside(top, "vision_config", "image_size")]
    found += [_inside(clip, "model_cfg", "vision_cfg", "image_size")]
    found += data[-1:] if isinstance(data, list) else []
    return next((side for side in found if isinstance(side, int) and side > 0), 0)


def _inside(config: Any, *path: str) -> Any:
    """Look up a value in tables within tables of a config, which may hold anything."""
    for name in path:
        config = config.get(name) if isinstance(config, dict) else None
    return config


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _table(row: Checkpoint) -> str:
    """Name the table of a row's role."""
    return f"{catalogue.ROLES[row.role]}.toml"


def _place(row: Checkpoint, place: Repository) -> Path:
    """Name the folder where the files of a repository, or of an address, come to lie."""
    if place.commit:
        return hub.snapshot(place.id, place.commit)
    return tables.user_folder() / "weights" / row.name
