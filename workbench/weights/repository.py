"""Select the files of a repository that a loader reads, and locate them; no network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAFE = (".safetensors",)
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
OTHERS = tuple(
    ".msgpack .h5 .onnx .onnx_data .ot .pb .tflite .gguf .mlmodel .xml .npz .tar .zip .md .png "
    ".jpg .jpeg .webp .gif .mp4 .pdf .py .ipynb .gitattributes .gitignore".split()
)
SUMS = "SHA256SUMS"
INDEX = "model_index.json"
REUSED = {"IFSuperResolutionPipeline": {"text_encoder"}}
"""Parts of a later stage that nothing reads, for the first stage's own do their work."""
VARIANTS = {"float16": "fp16", "bfloat16": "bf16"}
"""The variant of a weight file whose numbers are of a dtype already."""


@dataclass(frozen=True)
class File:
    """A file of a repository: its name, its size, and its sha256, or the sha1 of its git blob."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Repository:
    """The files and licence of a repository at one commit, as a hub lists them."""

    id: str
    commit: str
    files: tuple[File, ...]
    gated: bool = False
    licence: str = ""
    prior: str = ""  # the repository whose answer a decoder takes


def snapshot(repository: str, commit: str) -> Path:
    """Return the folder of a repository at a commit in the hub's cache, existing or not."""
    from huggingface_hub import constants

    name = "models--" + repository.replace("/", "--")
    return Path(constants.HF_HUB_CACHE) / name / "snapshots" / commit


def page_of(repository: str) -> str:
    """Return the address of a repository's page, where its licence is accepted."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repository}"


def components(index: Mapping[str, Any], later: bool = False) -> set[str]:
    """Return the parts of a pipeline, each a folder, listed by its model_index.json.

    Of one that is a `later` stage of a cascade, the first stage's stand in for some.

    >>> sorted(components({"_class_name": "X", "unet": ["a", "B"], "safety_checker": [None, None]}))
    ['unet']
    """
    parts = {
        x for x, entry in index.items() if isinstance(entry, list) and entry[:1] not in ([], [None])
    }
    return parts - (REUSED.get(str(index.get("_class_name")), set()) if later else set())


def files_to_load(
    files: Sequence[File],
    pickles: bool = False,
    variant: str = "",
    code: bool = False,
    parts: Set[str] | None = None,
) -> list[File]:
    """Return the files a loader reads: no other framework's, no second copy of the weights.

    Safetensors go before pickles, which are taken only where `pickles` allows them and a folder
    has nothing else. In the repository of a pipeline, whose `parts` are known, what else is there
    is other programs' copies. Of the variants of a weight file (fp16, …) the one named is taken,
    where there is one. Python files are taken where `code` asks for them.

    Raises ValueError where a folder holds its weights as pickles only, and these are not allowed,
    or as a variant only, which is not the one named.

    >>> names = "model_index.json all.safetensors unet/a.fp16.safetensors unet/a.safetensors"
    >>> files = [File(name, 1, "") for name in names.split()]
    >>> [file.name for file in files_to_load(files, parts={"unet"})]
    ['model_index.json', 'unet/a.safetensors']
    """
    if parts is not None:
        files = [file for file in files if {*file.name.split("/")[:-1][:1]} <= parts]
    others = tuple(ending for ending in OTHERS if not (code and ending == ".py"))
    readable = [file for file in files if not file.name.lower().endswith(others)]
    weights = [file for file in readable if file.name.endswith(SAFE + PICKLES)]
    chosen = [file for file in readable if file not in weights and not file.name.startswith(".")]
    folders: dict[str, list[File]] = {}
    for file in weights:
        folders.setdefault(file.name.rpartition("/")[0], []).append(file)
    for folder, there in folders.items():
        if parts is not None and not folder:
            continue
        ours = [f for f in there if variant and variant_of(f.name) == variant]
        plain = [f for f in there if not variant_of(f.name)]
        if not plain or any(f.name.endswith(SAFE) for f in ours):
            plain = ours
        if not plain:
            variants = sorted({variant_of(file.name) for file in there})
            raise ValueError(
                f"the weights {there[0].name} are there as a variant alone "
                f"({', '.join(variants)}): "
                f'write variant = "{variants[0]}" into the options of the row'
            )
        safe = [file for file in plain if file.name.endswith(SAFE)]
        if not safe and not pickles:
            raise ValueError(
                f"the weights {plain[0].name} are a pickle, which can run code, and there are no "
                "safetensors beside it: none is fetched unless the row says allow_pickle = true"
            )
        chosen += safe or plain
    names = [file.name for file in chosen]
    return [file for file in files if file.name in names]


def variant_of(name: str) -> str:
    """Return the variant in a file's name, any infix that is no number of a shard.

    >>> names = "un/a.fp16.safetensors a.int4-00001-of-00002.safetensors a-00001.safetensors b.pt"
    >>> [variant_of(name) for name in names.split()]
    ['fp16', 'int4', '', '']
    """
    parts = name.rpartition("/")[2].split(".")[1:-1]
    names = [part.split("-")[0] for part in parts]
    return next((part for part in names if part not in ("", "index") and not part.isdigit()), "")


def variant_for(names: Iterable[str], dtype: str) -> str:
    """Return the variant whose numbers are of a dtype already, where a file is one; else "".

    >>> variant_for(["unet/a.safetensors", "unet/a.fp16.safetensors"], "float16")
    'fp16'
    """
    wanted = VARIANTS.get(dtype, "")
    there = (variant_of(name) for name in names if name.endswith(SAFE))
    return wanted if wanted and wanted in there else ""


def variant_in(folder: Path, dtype: str) -> str:
    """Return the variant of a dtype that a pipeline's folder has in the place of plain weights."""
    parts: dict[str, list[str]] = {}
    for path in folder.glob("*/*"):
        if path.name.endswith(SAFE + PICKLES):
            parts.setdefault(path.parent.name, []).append(path.name)
    alone = (names for names in parts.values() if all(map(variant_of, names)))
    return next(filter(None, (variant_for(names, dtype) for names in alone)), "")


def left(repository: Repository, file: File) -> int:
    """Return how many bytes of a file are not in the hub's cache yet."""
    path, blob = places(repository, file)
    return 0 if path.exists() else left_of(blob, file.size)


def left_of(path: Path, size: int) -> int:
    """Return how many of a file's `size` bytes are not at `path` yet."""
    part = part_of(path)
    begun = part.stat().st_size if part.exists() else 0
    return 0 if path.exists() else max(0, size - begun)


def note(repository: Repository, files: Sequence[File], key: str) -> None:
    """Record, before the download, the files a row selects; `key` is its `selection_key`."""
    path = _notes(repository.id, repository.commit) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text("".join(f"{file.name}\n" for file in files), encoding="utf-8")
    aside.replace(path)


def is_complete(repository: str, commit: str, key: str) -> bool | None:
    """Return whether every file recorded by `note` is here; None for a commit without a record."""
    notes = _notes(repository, commit)
    if not notes.is_dir():
        return None
    if not (notes / key).is_file():
        return False
    names = (notes / key).read_text(encoding="utf-8").splitlines()
    return all((snapshot(repository, commit) / name).exists() for name in names)


def _notes(repository: str, commit: str) -> Path:
    return snapshot(repository, commit).parents[1] / "noted" / commit


def places(repository: Repository, file: File) -> tuple[Path, Path]:
    """Return the paths of a file in the hub's cache: in the snapshot, and of its blob."""
    folder = snapshot(repository.id, repository.commit)
    return folder / file.name, folder.parents[1] / "blobs" / file.digest


def part_of(path: Path) -> Path:
    """Return the path of the partial download beside a file."""
    return path.with_name(f"{path.name}.part")


def digest_of(path: Path, like: str) -> str:
    """Return the digest a hub has of a file: sha256, or a git blob's sha1 where `like` is one."""
    if len(like) == 40:
        blob = path.read_bytes()
        header = f"blob {len(blob)}\0".encode()
        return hashlib.sha1(header + blob, usedforsecurity=False).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summed(folder: Path) -> dict[str, str]:
    """Return name → sha256 of files fetched from an address; {} where one is missing."""
    if not (folder / SUMS).is_file():
        return {}
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    digests = {
        Path(name).name: digest for digest, _, name in (line.partition("  ") for line in lines)
    }
    return digests if all((folder / name).is_file() for name in digests) else {}


def faults(folder: Path) -> list[Path]:
    """Return the files of a snapshot that are missing, or whose digest is not the hub's."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink()
        and not (path.exists() and digest_of(path, path.resolve().name) == path.resolve().name)
    ]
