"""Checkpoints: the weights behind a plug-in, as a value: one row of the catalogue.

A plug-in holds a `Checkpoint`; `loading` and `inference` load and run what it names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.keys import digest
from workbench.paths import user_folder
from workbench.weights.repository import is_complete, page_of, snapshot, summed

LIBRARIES = ("diffusers", "transformers", "open_clip", "workbench")
STATUSES = ("current", "mirror", "withdrawn")
DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Name one set of weights and everything that decides what they answer.

    `source` is a folder (an absolute path), a hub id or an address; `stages` are subfolders or ids
    of a cascade, in order; `files` are patterns of what to fetch, where that is less than all a
    loader may read; `revision` is the commit, or one for each id. `batch` and `threads` are the
    fixed shape on the CPU, `size` the native side in pixels. `options` (a mapping; kept as
    sorted pairs) go to the plug-in: steps, guidance, …
    `memory` is what the weights take on a GPU at the row's dtype, in GiB, about; 0: not known.
    `status` is one of `STATUSES`. `allow_pickle` and `remote_code` let a loader read pickles (with
    weights_only) and, where the user confirms it too, run code that comes with the weights.

    >>> row = Checkpoint("pocket-clip", "encoder", "", "/weights")
    >>> row, row.option("steps", 20)
    (pocket-clip, 20)
    """

    name: str
    role: str
    plugin: str
    source: str
    revision: str = ""
    class_name: str = ""
    stages: tuple[str, ...] = ()
    dtype: str = "float32"
    batch: int = 4
    threads: int = 2
    size: int = 64
    options: Any = ()
    licence: str = ""
    family: str = ""
    verified: str = ""
    memory: float = 0.0
    gated: bool = False
    status: str = "current"
    files: tuple[str, ...] = ()
    allow_pickle: bool = False
    remote_code: bool = False
    seedable: bool = True

    def __post_init__(self) -> None:
        """Freeze what TOML gives as lists and tables; refuse an impossible shape."""
        items = self.options.items() if isinstance(self.options, Mapping) else self.options
        pairs = ((key, tuple(v) if isinstance(v, list) else v) for key, v in items)
        object.__setattr__(self, "options", tuple(sorted(pairs)))
        object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "files", tuple(self.files))
        if self.status not in STATUSES:
            raise ValueError(
                f"checkpoint {self.name!r} has no status {self.status!r}; "
                f"there are: {', '.join(STATUSES)}"
            )
        if self.dtype not in DTYPES:
            raise ValueError(
                f"checkpoint {self.name!r} has no dtype {self.dtype!r}; "
                f"there are: {', '.join(DTYPES)}"
            )
        if any(not re.fullmatch(r"\w[\w.-]*", each) for each in self.revision.split()):
            raise ValueError(
                f"checkpoint {self.name!r} has the revision {self.revision!r}, which is no commit"
            )
        if min(self.batch, self.threads, self.size) < 1 or not 0 <= self.memory < float("inf"):
            raise ValueError(
                f"checkpoint {self.name!r} needs batch, threads and size of at least 1, and a "
                f"memory of 0 or more; they are {self.batch}, {self.threads}, {self.size} and "
                f"{self.memory}"
            )

    def __repr__(self) -> str:
        """Return the name: a checkpoint is known by its catalogue row."""
        return self.name

    def option(self, key: str, default: Any = None) -> Any:
        """Look up one option of the row."""
        return dict(self.options).get(key, default)

    @property
    def folder(self) -> Path | None:
        """The folder of the weights; None for a hub id, and for an address until they came."""
        path = Path(self.source)
        if "://" in self.source:
            path = user_folder() / "weights" / self.name
            if Path(self.name).name != self.name or not summed(path):
                return None
        return path if path.is_absolute() else None

    @property
    def repositories(self) -> tuple[str, ...]:
        """The hub ids that hold the weights, one for each stage of another id; () for a folder."""
        if self.folder is not None or "://" in self.source or self.hosted:
            return ()
        return tuple(dict.fromkeys([hub_id(self), *(s for s in self.stages if "/" in s)]))

    def commit(self, repository: str) -> str:
        """The commit meant of one of `repositories`: the field revision is one, or a list."""
        commits = dict(zip(self.repositories, self.revision.split(), strict=False))
        return commits.get(repository, "")

    @property
    def hosted(self) -> bool:
        """Whether the model runs elsewhere, as its plug-in says, and has no weights to find."""
        try:
            return bool(getattr(resolve_class(self.plugin), "hosted", False))
        except ValueError:
            return False

    def digest(self) -> str:
        """Identify the weights: sha256 over a folder's file names and contents, or hub id@commit.

        Of a hosted model nothing is known but its id and its address: id@address. Raises
        LookupError where the weights are not on this computer.
        """
        if self.hosted:
            kind: Any = resolve_class(self.plugin)
            return f"{self.source}@{kind.address(self)}"
        if self.folder is None:
            found = [f"{name}@{self.commit(name)}" for name in self.repositories]
            if not found or any(each.endswith("@") for each in found):
                raise missing(self)
            return " ".join(found)
        if not self.folder.is_dir():
            raise missing(self)
        files = sorted(
            (path.relative_to(self.folder).as_posix(), path)
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )
        return digest([[name, _file_digest(path)] for name, path in files])


_files: dict[tuple[str, int, int], str] = {}


def _file_digest(path: Path) -> str:
    """Hash a file once per (path, size, modification time)."""
    state = path.stat()
    key = (str(path), state.st_size, state.st_mtime_ns)
    if key not in _files:
        with path.open("rb") as file:
            _files[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _files[key]


def missing(checkpoint: Checkpoint, why: str = "") -> LookupError:
    """Say that weights are not here, or not good, and what would help."""
    name = checkpoint.name
    if checkpoint.status == "withdrawn":
        return LookupError(
            f"{name!r} was withdrawn by its owner, and its weights are not on this computer; "
            "choose another model"
        )
    if checkpoint.folder is not None or (why and is_downloaded(checkpoint)):
        trouble = f"cannot be loaded: {why}" if why else f"are not in {checkpoint.source}"
        helps = "restore them or choose another model"
        if checkpoint.folder is None:
            helps = f"`workbench zoo verify {name}` checks their files"
        return LookupError(f"the weights of {name!r} {trouble}; {helps}")
    because = f" ({why})" if why else ""
    first = ""
    if checkpoint.gated:
        page = page_of(checkpoint.source)
        first = f"accept the licence at {page} and log in with `hf auth login`, then "
    return LookupError(
        f"the weights of {name!r} ({checkpoint.source}) are not on this computer{because}; "
        f"{first}`workbench zoo download {name}` fetches them"
    )


def hub_id(checkpoint: Checkpoint) -> str:
    """Return the hub id of a row; an architecture of open_clip with its tag has one too.

    Raises LookupError for a tag without weights on the hub.
    """
    model, _, tag = checkpoint.source.partition("/")
    found = importlib.util.find_spec("open_clip")  # importing it takes seconds
    models = Path(str(found and found.origin)).with_name("model_configs")
    if checkpoint.role != "encoder" or not (models / f"{model}.json").is_file():
        return checkpoint.source
    import open_clip

    repository = open_clip_id(model, tag)
    if not repository:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model))
        raise LookupError(f"no weights {tag!r} on the hub for {model}; there are: {tags}")
    return repository


def open_clip_id(model: str, tag: str) -> str:
    """Name the repository that open_clip fetches a tag from; "" where it is on no hub."""
    import open_clip

    return str(open_clip.get_pretrained_cfg(model, tag).get("hf_hub", "")).rpartition("/")[0]


def locate(checkpoint: Checkpoint, stage: str = "") -> str:
    """Return the folder of the weights on this computer, or that of a stage.

    Raises LookupError when they are not here, whatever a hub may hold.
    """
    folder = checkpoint.folder
    if folder is not None:
        folder = folder / stage
    elif checkpoint.repositories:
        repository = stage if stage in checkpoint.repositories else checkpoint.repositories[0]
        folder = snapshot(repository, checkpoint.commit(repository) or "-")
        folder = folder if stage in ("", repository) else folder / stage
    if folder is None or not folder.is_dir():
        raise missing(checkpoint)
    return str(folder)


def is_downloaded(checkpoint: Checkpoint) -> bool:
    """Tell whether the weights of every stage are here, and no file was deleted since."""
    try:
        folders = [Path(locate(checkpoint, stage)) for stage in checkpoint.stages or ("",)]
    except LookupError:
        return False
    wanted = selection_key(checkpoint)
    for repository in checkpoint.repositories:
        if is_complete(repository, checkpoint.commit(repository), wanted) is False:
            return False
    return all(path.exists() for folder in folders for path in folder.rglob("*"))


def selection_key(checkpoint: Checkpoint) -> str:
    """Name all by which a row chooses among the files of its repositories."""
    row = checkpoint
    told = [row.files, row.stages, row.option("variant"), row.allow_pickle, row.remote_code]
    return digest([list(x) if isinstance(x, tuple) else x for x in told])[:16]


def resolve_class(name: str) -> type:
    """Import a class a catalogue row may name: of diffusers, transformers, open_clip or workbench.

    >>> resolve_class("os.system")
    Traceback (most recent call last):
    ValueError: no class 'os.system' for a checkpoint; there are: classes of diffusers, \
transformers, open_clip, workbench
    """
    module, _, attribute = name.rpartition(".")
    found = None
    if module.split(".")[0] in LIBRARIES:
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or "?"):
                raise
    if not isinstance(found, type):
        raise ValueError(
            f"no class {name!r} for a checkpoint; there are: classes of {', '.join(LIBRARIES)}"
        )
    return found
