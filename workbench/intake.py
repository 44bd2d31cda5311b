"""Taking checkpoints in: what a download would fetch, fetching it, and the row of a new one.

Only what is called here goes to the network, and only because a user gave the command.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from workbench import catalogue, checkpoints, hub, presets, tables
from workbench.checkpoints import Checkpoint
from workbench.hub import File, Repository

SUMS = "SHA256SUMS"
INDEX = "model_index.json"
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
OPEN_CLIP_FILES = ("open_clip_*", "*token*", "vocab*", "merges*")


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


def members(name: str) -> list[Checkpoint]:
    """List the rows that a name stands for: a row, or all that a zoo or a preset needs.

    Raises LookupError: there is no such name; the sentence lists what there is.

    >>> [row.name for row in members("pocket-paper")][-2:]
    ['pocket-blip', 'pocket-clip']
    """
    known = {row.name: row for role in catalogue.ROLES for row in catalogue.rows(role).values()}
    zoos, settings = catalogue.zoos(), presets.read()
    if name in known:
        return [known[name]]
    if name in settings:
        preset = settings[name]
        models = zoos.get(preset.zoo, [preset.zoo]) if isinstance(preset.zoo, str) else preset.zoo
        texts = [*models, preset.inverter, preset.similarity]
    elif name in zoos:
        texts = zoos[name]
    else:
        there = ", ".join(sorted({*settings, *zoos, *known}))
        raise LookupError(f"no preset, zoo or checkpoint named {name!r}; there are: {there}")
    words = [word for text in texts for word in _words(text)]
    return [known[word] for word in dict.fromkeys(words) if word in known]


def check(preset: presets.Preset) -> None:
    """Raise LookupError, with the one command that helps, where a preset lacks several weights."""
    rows = members(preset.name) if preset.name in presets.read() else []
    away = [row.name for row in rows if _away(row)]
    if len(away) > 1:
        raise LookupError(
            f"{len(away)} of the {len(rows)} checkpoints of the preset {preset.name!r} are not on "
            f"this computer ({', '.join(away)}); `workbench zoo download {preset.name}` fetches "
            "them"
        )


def _away(row: Checkpoint) -> bool:
    """Tell weights that could be fetched, and were not."""
    return row.folder is None and not row.hosted and not checkpoints.here(row)


def _words(text: str) -> list[str]:
    """List the names in a name or a repr: ``Cosine("a", layer=4)`` → ``a``."""
    if "(" not in text:
        return [text]
    try:
        nodes = ast.walk(ast.parse(text, mode="eval"))
    except SyntaxError:
        return []  # who loads it will tell
    return [x.value for x in nodes if isinstance(x, ast.Constant) and isinstance(x.value, str)]


def plan(row: Checkpoint, revision: str = "") -> Plan:
    """Ask what a download of a row would fetch.

    Raises LookupError: not on the hub, not for you, or nothing to fetch. ValueError: pickles only,
    and the row does not allow them. OSError: no network.
    """
    if row.status == "withdrawn":
        raise LookupError(f"{row.name!r} was withdrawn by its owner: nobody can fetch it any more")
    if "://" in row.source:
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
    chosen = []
    for place in places:
        files = [f for f in place.files if any(fnmatch(f.name, x) for x in row.files or ("*",))]
        chosen.append(tuple(hub.wanted(files, row.allow_pickle, variant)))
    return Plan(row, places, tuple(chosen))


def room_for(plans: Sequence[Plan]) -> None:
    """Raise OSError where the disk has no room for all that is still to fetch.

    The hub's cache and the user's folder are each held to the whole: they often share a disk.
    """
    left = sum(plan.left for plan in plans)
    for folder in {_place(plan.row, place) for plan in plans for place in plan.repositories}:
        hub.room_for(folder, left)


def download(plan: Plan, tick: Callable[[int], None] = lambda count: None) -> Path:
    """Fetch what is missing, check it, and pin the row in the user's catalogue; answer that file.

    `tick` is called with the bytes of each step. Raises what `hub.fetch` does.
    """
    row = plan.row
    for place, files in zip(plan.repositories, plan.files, strict=True):
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
    now = {"source": f"weights/{row.name}", "revision": None, "files": None}
    return tables.write(_table(row), row.name, now)


def fault(row: Checkpoint) -> str | None:
    """Find a file of downloaded weights that is not what was fetched; None when all are."""
    wrong: list[Path] = []
    pinned = ""
    for repository in row.repositories:
        wrong += hub.faults(hub.snapshot(repository, row.commit(repository)))
    if row.folder is not None and (row.folder / SUMS).is_file():
        pinned = f" and source under [{row.name}] in {tables.user_folder() / _table(row)}"
        for line in (row.folder / SUMS).read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            path = row.folder / Path(name).name
            if not path.is_file() or hub.digest_of(path, digest) != digest:
                wrong.append(path)
    if not wrong:
        return None
    return (
        f"the file {wrong[0].name} is not what was fetched, or gone: delete {wrong[0].resolve()}"
        f"{pinned}, then `workbench zoo download {row.name}` fetches it again"
    )


def row_of(source: str, **given: Any) -> tuple[str, dict[str, Any]]:
    """Write the row of a new checkpoint: its role, and its fields, told by its own configs.

    Args:
        source: a folder, or a hub id (org/name), whose small files are asked for.
        **given: fields that go before what is found: ``size``, ``class``, ``options`` …

    Raises:
        LookupError: there is no such folder or repository.
        ValueError: no class of ours reads it, or its native size is not told by its configs.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        place, folder = None, folder.resolve()
        configs = {x.name: x for x in folder.glob("*.json")}
        configs |= {x.relative_to(folder).as_posix(): x for x in folder.glob("*/config.json")}
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        place = hub.listing(source)
        names = [f for f in place.files if f.name.endswith("config.json") or f.name == INDEX]
        configs = {file.name: hub.fetch(place, file) for file in names if file.name.count("/") < 2}
    else:
        raise LookupError(f"no folder {source!r} here, and it is no hub id such as org/name")
    read = {name: _json(path) for name, path in configs.items()}
    role, fields = _kind(read, source)
    if size := _size(read):
        fields["size"] = size
    fields = {**fields, **{name: value for name, value in given.items() if value is not None}}
    if "size" not in fields:
        raise ValueError(f"the native size of {source} is not told by its configs; give --size")
    where: dict[str, Any] = {"source": str(folder)}
    if place is not None:
        where = {"source": source, "revision": "", "gated": place.gated}  # a download pins it
        where |= {"licence": place.licence}
    return role, {**where, **fields}


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
    names = [str(name) for name in config.get("architectures") or []]
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
        if isinstance(side, int):
            blocks = read.get("vae/config.json", read.get("vqvae/config.json", {}))
            blocks = blocks.get("block_out_channels") or blocks.get("encoder_block_out_channels")
            return side * 2 ** (len(blocks) - 1) if blocks else side
    top = read.get("config.json", {})
    tower = read.get("open_clip_config.json", {}).get("model_cfg", {}).get("vision_cfg", {})
    data = top.get("pretrained_cfg", {}).get("input_size") or []
    vision = top.get("vision_config") or {}
    found = [top.get("image_size"), vision.get("image_size"), tower.get("image_size"), *data[-1:]]
    return next((int(side) for side in found if isinstance(side, int)), 0)


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
