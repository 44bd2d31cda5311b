"""Which files of a repository a loader reads, and where they lie here; no network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence, Set
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
VARIANTS = ("fp16", "bf16", "fp32", "non_ema", "ema_only")


@dataclass(frozen=True)
class File:
    """A file of a repository: its name, its bytes, and its sha256, or the sha1 of its git blob."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Repository:
    """What a hub tells of a repository at one commit."""

    id: str
    commit: str
    files: tuple[File, ...]
    gated: bool = False
    licence: str = ""
    prior: str = ""  # the repository whose answer a decoder takes


def snapshot(repository: str, commit: str) -> Path:
    """Name the folder where the hub's own cache keeps a repository at a commit, there or not."""
    from huggingface_hub import constants

    name = "models--" + repository.replace("/", "--")
    return Path(constants.HF_HUB_CACHE) / name / "snapshots" / commit


def page_of(repository: str) -> str:
    """Name the page of a repository, where its licence is accepted."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repository}"


def components(index: Mapping[str, Any], later: bool = False) -> set[str]:
    """Name the parts of a pipeline, each a folder, by its model_index.json.

    Of one that is a `later` stage of a cascade, the first stage's stand in for some.

    >>> sorted(components({"_class_name": "X", "unet": ["a", "B"], "safety_checker": [None, None]}))
    ['unet']
    """
    parts = {
        x for x, told in index.items() if isinstance(told, list) and told[:1] not in ([], [None])
    }
    return parts - (REUSED.get(str(index.get("_class_name")), set()) if later else set())


def files_to_load(
    files: Sequence[File],
    pickles: bool = False,
    variant: str = "",
    code: bool = False,
    parts: Set[str] | None = None,
) -> list[File]:
    """Choose the files a loader will read: no other framework's, no second copy of the weights.

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
    others = tuple(each for each in OTHERS if not (code and each == ".py"))
    kept = [file for file in files if not file.name.lower().endswith(others)]
    weights = [file for file in kept if file.name.endswith(SAFE + PICKLES)]
    chosen = [file for file in kept if file not in weights and not file.name.startswith(".")]
    folders: dict[str, list[File]] = {}
    for file in weights:
        folders.setdefault(file.name.rpartition("/")[0], []).append(file)
    for folder, there in folders.items():
        if parts is not None and not folder:
            continue
        plain = [f for f in there if variant_of(f.name) == variant] or [
            f for f in there if not variant_of(f.name)
        ]
        if not plain:
            found = sorted({variant_of(file.name) for file in there})
            raise ValueError(
                f"the weights {there[0].name} are there as a variant alone ({', '.join(found)}): "
                f'write variant = "{found[0]}" into the options of the row'
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
    """Tell the variant in a file's name: ``unet/model.fp16.safetensors`` → ``fp16``."""
    parts = name.rpartition("/")[2].split(".")[1:-1]
    found = [part.split("-")[0] for part in parts]
    return next((part for part in found if part in VARIANTS), "")


def left(repository: Repository, file: File) -> int:
    """Count the bytes of a file that are not in the hub's cache yet."""
    path, blob = places(repository, file)
    return 0 if path.exists() else left_of(blob, file.size)


def left_of(path: Path, size: int) -> int:
    """Count the bytes of a file of `size` bytes that are not at `path` yet."""
    part = part_of(path)
    begun = part.stat().st_size if part.exists() else 0
    return 0 if path.exists() else max(0, size - begun)


def note(repository: Repository, files: Sequence[File], key: str) -> None:
    """Note, before any is fetched, which files a row wants; `key` names what it chooses by."""
    path = _notes(repository.id, repository.commit) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text("".join(f"{file.name}\n" for file in files), encoding="utf-8")
    aside.replace(path)


def is_complete(repository: str, commit: str, key: str) -> bool | None:
    """Tell whether all is here that was noted; None of a commit that was not fetched by us."""
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
    """Name the two places of a file in the hub's cache: in the snapshot, and its bytes."""
    folder = snapshot(repository.id, repository.commit)
    return folder / file.name, folder.parents[1] / "blobs" / file.digest


def part_of(path: Path) -> Path:
    """Name the file that holds what came so far."""
    return path.with_name(f"{path.name}.part")


def digest_of(path: Path, like: str) -> str:
    """Digest a file as the hub does: sha256, or the sha1 of a git blob where `like` is one."""
    if len(like) == 40:
        blob = path.read_bytes()
        header = f"blob {len(blob)}\0".encode()
        return hashlib.sha1(header + blob, usedforsecurity=False).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summed(folder: Path) -> dict[str, str]:
    """Read what was noted of files from an address: name → sha256; {} where one of them is gone."""
    if not (folder / SUMS).is_file():
        return {}
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    found = {
        Path(name).name: digest for digest, _, name in (line.partition("  ") for line in lines)
    }
    return found if all((folder / name).is_file() for name in found) else {}


def faults(folder: Path) -> list[Path]:
    """List the files of a snapshot that are gone, or whose bytes the hub named otherwise."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink()
        and not (path.exists() and digest_of(path, path.resolve().name) == path.resolve().name)
    ]
